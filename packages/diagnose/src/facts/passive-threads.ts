/**
 * Threads that wait because there is nothing to do: idle workers of queues, servers without a request, the kernel's own
 * threads and those of drivers in their own routine. Whoever looks for what hangs leaves them out.
 *
 * Told by what is waited for, not by names: the wait reason, the kind of object and where it lies. An event on the
 * waiter's own stack is the decisive difference: it belongs to one request that somebody still has to complete.
 */
import { type Module, OBJECT_TYPE, type Target, type Thread } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { ownedWait, ownsLock } from './owned-waits.ts';
import { isKernelCode, waitStack } from './wait-stacks.ts';
import { type WaitingThread, waitingThreads } from './waiting-threads.ts';

export type PassiveRole = 'queue' | 'server' | 'messages' | 'zero-page' | 'memory' | 'kernel-worker' | 'driver-worker';

export interface PassiveThread extends WaitingThread {
  readonly role: PassiveRole;
  /** A thread of the kernel or of a driver, without a user part. */
  readonly system: boolean;
  /** Where its routine lies; null for user threads. */
  readonly module: Module | null;
  readonly reason: string;
}

/** KWAIT_REASON, the same numbers from XP to 11. */
const REASON = {
  executive: 0,
  wrExecutive: 7,
  wrFreePage: 8,
  wrUserRequest: 13,
  wrQueue: 15,
  wrLpcReceive: 16,
  wrVirtualMemory: 18,
  wrPageOut: 19,
} as const;

/** Reasons of a wait for a particular owner or page, and of suspension: nobody waits so for work. */
const DIRECTED: ReadonlySet<number> = new Set([2, 3, 5, 9, 10, 12, 17, 22, 23, 27, 28, 29, 34, 35, 36, 39]);

/** DelayExecution, WrDelayExecution. */
const DELAYS: ReadonlySet<number> = new Set([4, 11]);

/** KOBJECTS: KQUEUE, and KPRIQUEUE of 8.1 and later (EventPair before; nobody waits on one with WrQueue). */
const QUEUES: ReadonlySet<number> = new Set([OBJECT_TYPE.queue, 21]);
/** IopThreadStart, PspSystemThreadStartup, KiStartSystemThread. */
const START_FRAMES = 3;
/** More frames of its own below the wait, and a driver's thread is at work. */
const MAX_OWN_FRAMES = 4;

export const passiveThreads: FactKey<ReadonlyMap<bigint, PassiveThread>> = defineFact(
  'passive threads',
  (diagnosis: Diagnosis) => {
    const found = new Map<bigint, PassiveThread>();
    for (const waiting of diagnosis.fact(waitingThreads)) {
      const passive = passiveRole(diagnosis, waiting);
      if (passive !== null) found.set(waiting.thread.address, { ...waiting, ...passive });
    }
    return found;
  },
);

/** SystemThread is a bit of ETHREAD up to Vista and of KTHREAD later; null where neither can be read. */
export function isSystemThread(thread: Thread): boolean | null {
  const bit = thread.field('SystemThread');
  return bit === null ? null : bit === 1n;
}

type Role = Pick<PassiveThread, 'role' | 'system' | 'module' | 'reason'>;

function passiveRole(diagnosis: Diagnosis, waiting: WaitingThread): Role | null {
  const { target } = diagnosis;
  const { thread, wait } = waiting;
  const reason = thread.waitReason;
  // Whoever waits for work with a lock in hand is what others wait for.
  if (reason === null || ownsLock(diagnosis, thread.address)) return null;
  const system = isSystemThread(thread) === true;
  const start = thread.field('StartAddress');
  const module = !system || start === null ? null : routineModule(diagnosis, thread, target.moduleAt(start) ?? null);
  const as = (role: PassiveRole, why: string): Role => ({ role, system, module, reason: why });
  if (reason === REASON.wrQueue) {
    const strange = wait.blocks.find((block) => block.type !== null && !QUEUES.has(block.type));
    return strange === undefined ? as('queue', 'it waits for an entry of a queue (WrQueue)') : null;
  }
  if (reason === REASON.wrLpcReceive) return as('server', 'it waits for a request to its port (WrLpcReceive)');
  // win32k's own threads (raw input, desktops) wait so in kernel mode, all others in user mode.
  if (reason === REASON.wrUserRequest) return as('messages', 'it waits for window messages (WrUserRequest)');
  if (module === null || DIRECTED.has(reason)) return null;
  const own = isKernelCode(target, module);
  if (reason === REASON.wrFreePage)
    return own && thread.priority !== null && thread.priority <= 0
      ? as('zero-page', 'it runs at priority 0 and waits for free pages to zero (WrFreePage)')
      : null;
  const where = waitsForWork(diagnosis, waiting, module);
  if (where === null) return null;
  if (!own) return as('driver-worker', `it waits in its own routine ${where}`);
  return reason === REASON.wrVirtualMemory || reason === REASON.wrPageOut
    ? as('memory', `it waits ${where} in a wait of the memory manager`)
    : as('kernel-worker', `it waits ${where}`);
}

/**
 * IoCreateSystemThread (8 and later) starts in the kernel, which calls the driver's routine. A worker that took an item from
 * its queue has the same stack, but keeps that queue in KTHREAD.Queue; and whoever serves requests has more of the kernel
 * below the driver.
 */
function routineModule(diagnosis: Diagnosis, thread: Thread, start: Module | null): Module | null {
  const { target } = diagnosis;
  if (start === null || !isKernelCode(target, start) || thread.field('Queue') !== 0n) return start;
  const stack = waitStack(diagnosis, thread);
  const [only, ...others] = stack?.drivers ?? [];
  if (stack === null || only === undefined || others.length > 0) return start;
  const outermost = stack.frames.findLastIndex((frame) => target.moduleAt(frame.pc) === only);
  return stack.frames.length - 1 - outermost <= START_FRAMES ? only : start;
}

/** Where the objects lie, if the thread waits for something to do; null where it waits for something to end. */
function waitsForWork(diagnosis: Diagnosis, { thread, wait }: WaitingThread, module: Module): string | null {
  const { target } = diagnosis;
  if (owesSomething(target, thread) !== false) return null;
  if (wait.blocks.length === 0) {
    // KeDelayExecutionThread waits for the thread's own timer alone: a worker that looks again and again.
    if (!(wait.timeout === true && wait.complete) && !DELAYS.has(thread.waitReason ?? -1)) return null;
  } else if (!wait.complete) return null;
  if (ownedWait(diagnosis, thread.address) !== null) return null;
  let inImage = wait.blocks.length > 0;
  for (const block of wait.blocks) {
    if (block.type === null || onOwnStack(thread, block.object) !== false) return null;
    if (target.moduleAt(block.object) !== module) inImage = false;
  }
  const stack = waitStack(diagnosis, thread);
  if (stack !== null) {
    if (stack.drivers.some((driver) => driver !== module)) return null;
    const ownFrames = isKernelCode(target, module)
      ? 0
      : stack.frames.filter((frame) => target.moduleAt(frame.pc) === module).length;
    if (ownFrames > MAX_OWN_FRAMES) return null;
  }
  if (wait.blocks.length === 0) return 'for its own timer';
  return inImage ? `for an object in the data of ${module.name}` : 'for an object that outlives any request';
}

/** Requests of its own that are pending, or mutants that it owns; null where the lists cannot be read. */
function owesSomething(target: Target, thread: Thread): boolean | null {
  for (const path of ['IrpList', 'MutantListHead']) {
    const head = thread.fieldAddress(path);
    const first = head === null ? undefined : target.memory.pointer(head);
    if (first === undefined) return null;
    if (first !== head) return true;
  }
  return false;
}

/** Null where the bounds of the stack are not known. */
export function onOwnStack(thread: Thread, address: bigint): boolean | null {
  const { stackBase, stackLimit } = thread;
  if (stackBase === null || stackLimit === null) return null;
  return address >= stackLimit && address < stackBase;
}
