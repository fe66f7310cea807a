/**
 * Threads that could run and do not: how long they have been ready, where they may run, and what runs there instead.
 *
 * KTHREAD.WaitTime is stamped again when a thread becomes ready, so for a ready thread it dates the readiness.
 */
import type { Processor, Target, Thread } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { threadTimes } from './times.ts';

/** KTHREAD.State. */
const READY = 1;
const GROUP_SIZE = 64;
/** The balance set manager boosts a thread that stayed ready for this long (300 ticks, up to 1 s of scan interval). */
export const BOOST_SECONDS = 5.7;

export interface Occupant {
  readonly processor: Processor;
  /** What keeps the ready thread off the processor; null where nothing known does. */
  readonly reason: string | null;
  /** Its IRQL is DISPATCH_LEVEL or above: nothing is scheduled there at all. */
  readonly dispatch: boolean;
  readonly thread: Thread | null;
}

export interface ReadyThread {
  readonly thread: Thread;
  readonly readySeconds: number;
  readonly readyTicks: number;
  /** Mask over processors of group 0; null where it could not be read or the thread is of another group. */
  readonly affinity: bigint | null;
  readonly allowed: readonly Occupant[];
  /** Processors of the machine on which its affinity does not let it run. */
  readonly excluded: readonly Occupant[];
}

/** Ready threads of normal and real-time priority, longest ready first. */
export const readyThreads: FactKey<readonly ReadyThread[]> = defineFact('ready threads', (diagnosis: Diagnosis) => {
  const { target } = diagnosis;
  if (target.processors.length === 0) return [];
  const idle = new Set(target.processors.map((processor) => processor.idleThreadAddress));
  const running = new Set(target.processors.map((processor) => processor.currentThread));
  const found: ReadyThread[] = [];
  for (const thread of target.threads()) {
    // Zero is the priority of the zero page thread, which runs only when nothing else wants to.
    if (thread.state !== READY || thread.priority === null || thread.priority <= 0) continue;
    if (idle.has(thread.address) || running.has(thread.address)) continue;
    const { ticksSinceWait, tickSeconds } = threadTimes(diagnosis, thread);
    if (ticksSinceWait === null || tickSeconds === null) continue;
    const affinity = affinityOf(target, thread);
    const allowed: Occupant[] = [];
    const excluded: Occupant[] = [];
    for (const processor of target.processors)
      (mayRun(affinity, processor) ? allowed : excluded).push(occupant(target, processor, thread.priority));
    found.push({
      thread,
      readyTicks: ticksSinceWait,
      readySeconds: ticksSinceWait * tickSeconds,
      affinity,
      allowed,
      excluded,
    });
  }
  return found.sort((a, b) => b.readyTicks - a.readyTicks);
});

function mayRun(affinity: bigint | null, processor: Processor): boolean {
  return affinity === null || processor.number >= GROUP_SIZE || ((affinity >> BigInt(processor.number)) & 1n) === 1n;
}

/**
 * KAFFINITY up to Vista, GROUP_AFFINITY from 7 to Windows 10, pointer to KAFFINITY_EX from 11 (22000): layouts of
 * 5.1.2600, 6.1.7601, 10.0.19041 and 10.0.22000.
 */
function affinityOf(target: Target, thread: Thread): bigint | null {
  const grouped = thread.field('Affinity.Mask');
  if (grouped !== null) return thread.field('Affinity.Group') === 0n ? nonZero(grouped) : null;
  const embedded = thread.field('Affinity.Bitmap[0]');
  if (embedded !== null) return nonZero(embedded);
  const plain = thread.field('Affinity');
  if (plain === null) return null;
  if (target.pointerSize === 8 && plain >> 47n !== 0n && target.processors.length < GROUP_SIZE / 2) {
    const bitmap = target.memory.u64(BigInt.asUintN(64, plain) + 8n);
    return bitmap === undefined ? null : nonZero(bitmap);
  }
  return target.pointerSize === 8 && plain >> 47n !== 0n ? null : nonZero(plain);
}

function nonZero(mask: bigint): bigint | null {
  return mask === 0n ? null : mask;
}

function occupant(target: Target, processor: Processor, priority: number): Occupant {
  const thread = processor.currentThread === null ? null : target.thread(processor.currentThread);
  const level = processor.irql?.level ?? null;
  if (processor.idle === true) return { processor, reason: null, dispatch: false, thread };
  const who = thread === null ? 'a thread that could not be read' : `thread ${thread.address.toString(16)}`;
  if (processor.idle !== false && processor.idleThread !== false)
    return { processor, reason: null, dispatch: false, thread };
  if (level !== null && level >= 2)
    return {
      processor,
      reason: `processor ${processor.number} is at IRQL ${level} in ${who}: nothing is scheduled there`,
      dispatch: true,
      thread,
    };
  if (thread?.priority != null && processor.idleThread === false && thread.priority >= priority)
    return {
      processor,
      reason: `processor ${processor.number} runs ${who} at priority ${thread.priority}`,
      dispatch: false,
      thread,
    };
  return { processor, reason: null, dispatch: false, thread };
}
