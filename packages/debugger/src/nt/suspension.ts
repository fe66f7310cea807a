/**
 * Suspended threads and frozen processes.
 *
 * A suspended thread waits for an object of its own: KTHREAD.SuspendSemaphore up to 7, SuspendEvent from 8 on, with wait
 * reason Suspended. SuspendCount counts SuspendThread; FreezeCount counts what the kernel itself adds (debuggers, exits): a
 * byte on XP, a ULONG on 7, a bit of the thread flags from 8 on, with FreezeFlags beside it on 11. From 8 on a whole
 * process is frozen by KPROCESS.FreezeCount, and DeepFreeze marks the apps that Windows itself put to sleep.
 */
import type { Process, Thread } from '../target/model.ts';
import { isWaiting, type ThreadWait } from './thread-wait.ts';

export interface Suspension {
  readonly suspendCount: number | null;
  /** FreezeCount, or any of FreezeFlags; null where the thread has neither or they cannot be read. */
  readonly freezeCount: number | null;
  /** The wait is for the thread's own suspend object: it does not run, whatever it did before. */
  readonly stopped: boolean;
}

/** KWAIT_REASON: Suspended and WrSuspended. */
const SUSPENDED: ReadonlySet<number> = new Set([5, 12]);

/** Null where the thread is neither suspended nor frozen, or where nothing of it can be read. */
export function readSuspension(thread: Thread, wait: ThreadWait): Suspension | null {
  const stored = thread.field('SuspendCount');
  const suspendCount = stored === null ? null : Number(BigInt.asIntN(8, stored));
  const freezeCount = freezeOf(thread);
  const stopped =
    isWaiting(thread) &&
    ((thread.waitReason !== null && SUSPENDED.has(thread.waitReason)) || waitsForItself(thread, wait));
  return stopped || (suspendCount ?? 0) > 0 || (freezeCount ?? 0) > 0 ? { suspendCount, freezeCount, stopped } : null;
}

function waitsForItself(thread: Thread, { blocks }: ThreadWait): boolean {
  if (blocks.length !== 1) return false;
  const own = thread.fieldAddress('SuspendSemaphore') ?? thread.fieldAddress('SuspendEvent');
  return own !== null && blocks[0]?.object === own;
}

function freezeOf(thread: Thread): number | null {
  const count = thread.field('FreezeCount');
  const flags = thread.field('FreezeFlags');
  if (count === null && flags === null) return null;
  return Math.max(Number(count ?? 0n), Number((flags ?? 0n) & 7n) === 0 ? 0 : 1);
}

export interface ProcessFreeze {
  /** KPROCESS.FreezeCount; null where the build has none (up to 7) or it cannot be read. */
  readonly freezeCount: number | null;
  /** Put to sleep by Windows' own life cycle of apps. */
  readonly deep: boolean | null;
  /** A debugger is attached (EPROCESS.DebugPort). */
  readonly debugged: boolean | null;
}

export function readProcessFreeze(process: Process): ProcessFreeze {
  const count = process.field('FreezeCount');
  const deep = process.field('DeepFreeze');
  const port = process.field('DebugPort');
  return {
    freezeCount: count === null ? null : Number(count),
    deep: deep === null ? null : deep !== 0n,
    debugged: port === null ? null : port !== 0n,
  };
}
