/**
 * Threads that could run and do not: how long they have been ready, where they may run, and what runs there instead.
 *
 * They are found through the lists of processes and threads, whatever queue they wait in: XP's one set of lists, those of
 * the KPRCB, the shared ones of 8.1 and later, a list of deferred ones. KTHREAD.WaitTime is stamped again when a thread
 * becomes ready, so for a ready thread it dates the readiness.
 */
import type { Processor, Target, Thread } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { type Affinity, affinityOf, mayRun, type ProcessorPlace, processorPlace } from './affinity.ts';
import { isManualCode } from './dump-taker.ts';
import { spinSites } from './spin-sites.ts';
import { threadTimes } from './times.ts';

/** KTHREAD.State: on a ready queue; chosen as a processor's NextThread; on a processor's list, to be queued (2003 on). */
const READY = 1;
const STANDBY = 3;
const DEFERRED_READY = 7;

/** The balance set manager boosts a thread that stayed ready for this long (300 ticks, up to 1 s of scan interval). */
export const BOOST_SECONDS = 5.7;

export interface Occupant {
  readonly processor: Processor;
  /** What keeps the ready thread off the processor; null where nothing known does. */
  readonly reason: string | null;
  /** Its IRQL is DISPATCH_LEVEL or above: nothing is scheduled there at all. */
  readonly dispatch: boolean;
  /** The level is not recorded, and follows from the spin lock that the processor waits for. */
  readonly assumed: boolean;
  readonly thread: Thread | null;
}

export interface ReadyThread {
  readonly thread: Thread;
  readonly state: 'ready' | 'standby' | 'deferred ready';
  readonly readySeconds: number;
  readonly readyTicks: number;
  /** Null where it could not be read. */
  readonly affinity: Affinity | null;
  /** Processors that could take it: those of its affinity, or the one that has chosen it already. */
  readonly allowed: readonly Occupant[];
  /** Processors of the machine on which its affinity does not let it run. */
  readonly excluded: readonly Occupant[];
  /** False where the machine has processors that the dump does not show and its affinity may include. */
  readonly allSeen: boolean;
}

/** Ready threads of normal and real-time priority, longest ready first. */
export const readyThreads: FactKey<readonly ReadyThread[]> = defineFact('ready threads', (diagnosis: Diagnosis) => {
  const { target } = diagnosis;
  const { processors } = target;
  if (processors.length === 0) return [];
  const idle = new Set(processors.map((processor) => processor.idleThreadAddress));
  const running = new Set(processors.map((processor) => processor.currentThread));
  const places = processors.map((processor) => processorPlace(target, processor));
  const occupants = occupantsByPriority(diagnosis);
  const found: ReadyThread[] = [];
  for (const thread of target.threads()) {
    const state = stateOf(thread);
    // Zero is the priority of the zero page thread, which runs only when nothing else wants to.
    if (state === null || thread.priority === null || thread.priority <= 0) continue;
    if (idle.has(thread.address) || running.has(thread.address)) continue;
    const { ticksSinceWait, tickSeconds } = threadTimes(diagnosis, thread);
    if (ticksSinceWait === null || tickSeconds === null) continue;
    const affinity = affinityOf(target, thread);
    const all = occupants(thread.priority);
    const chosen = state === 'ready' ? null : choosing(processors, thread, state);
    const byAffinity = all.filter((_, i) => mayRun(affinity, places[i] ?? null));
    found.push({
      thread,
      state,
      readyTicks: ticksSinceWait,
      readySeconds: ticksSinceWait * tickSeconds,
      affinity,
      allowed: chosen === null ? byAffinity : all.filter(({ processor }) => processor === chosen),
      excluded: all.filter((_, i) => !mayRun(affinity, places[i] ?? null)),
      allSeen: chosen !== null || seesAll(target, affinity, places),
    });
  }
  return found.sort((a, b) => b.readyTicks - a.readyTicks);
});

function stateOf(thread: Thread): ReadyThread['state'] | null {
  if (thread.state === READY) return 'ready';
  if (thread.state === STANDBY) return 'standby';
  return thread.state === DEFERRED_READY ? 'deferred ready' : null;
}

/** A processor that has chosen the thread keeps it until it switches: no other one takes it over meanwhile. */
function choosing(processors: readonly Processor[], thread: Thread, state: ReadyThread['state']): Processor | null {
  if (state === 'standby') {
    const chosen = processors.find((processor) => processor.nextThread === thread.address);
    if (chosen !== undefined) return chosen;
  }
  // From 8 on the top bit of NextProcessor says that the thread is of a shared queue; 6.1 has DeferredProcessor beside it.
  const number =
    (state === 'deferred ready' ? thread.field('DeferredProcessor') : null) ??
    thread.field('NextProcessorNumber') ??
    thread.field('NextProcessor');
  return processors.find((processor) => number !== null && processor.number === Number(number)) ?? null;
}

/** Every processor that the affinity names is among those of the dump. */
function seesAll(target: Target, affinity: Affinity | null, places: readonly (ProcessorPlace | null)[]): boolean {
  if (places.length >= target.dump.header.numberProcessors) return true;
  if (affinity === null || places.includes(null)) return false;
  for (const [group, mask] of affinity.groups)
    for (let bit = 0; mask >> BigInt(bit) !== 0n; bit++)
      if (((mask >> BigInt(bit)) & 1n) === 1n && !places.some((place) => place?.group === group && place.bit === bit))
        return false;
  return true;
}

/** What runs on each processor as a thread of some priority sees it; made once for each priority. */
function occupantsByPriority(diagnosis: Diagnosis): (priority: number) => readonly Occupant[] {
  const { target } = diagnosis;
  const spinning = new Set(
    diagnosis
      .fact(spinSites)
      .filter(({ loop }) => loop.lockCell !== null || loop.shape === 'queued-wait')
      .map(({ waiter }) => waiter.processor.number),
  );
  const made = new Map<number, readonly Occupant[]>();
  return (priority) => {
    let occupants = made.get(priority);
    if (occupants === undefined) {
      occupants = target.processors.map((processor) =>
        occupant(target, processor, priority, spinning.has(processor.number)),
      );
      made.set(priority, occupants);
    }
    return occupants;
  };
}

function occupant(target: Target, processor: Processor, priority: number, spins: boolean): Occupant {
  const thread = processor.currentThread === null ? null : target.thread(processor.currentThread);
  const level = inDumpPath(target, processor) ? null : (processor.irql?.level ?? null);
  const free: Occupant = { processor, reason: null, dispatch: false, assumed: false, thread };
  if (processor.idle === true) return free;
  const who = thread === null ? 'a thread that could not be read' : `thread ${thread.address.toString(16)}`;
  if (processor.idle !== false && processor.idleThread !== false) return free;
  if (level !== null && level >= 2)
    return {
      processor,
      reason: `processor ${processor.number} is at IRQL ${level} in ${who}: nothing is scheduled there`,
      dispatch: true,
      assumed: false,
      thread,
    };
  if (level === null && spins)
    return {
      processor,
      reason: `processor ${processor.number} waits for a spin lock in ${who}, at DISPATCH_LEVEL or above by what such waits do: nothing is scheduled there`,
      dispatch: true,
      assumed: true,
      thread,
    };
  if (thread?.priority != null && processor.idleThread === false && thread.priority >= priority)
    return {
      processor,
      reason: `processor ${processor.number} runs ${who} at priority ${thread.priority}`,
      dispatch: false,
      assumed: false,
      thread,
    };
  return free;
}

/**
 * Where the code that a requested dump interrupted was not found, the level is that of the interrupt that asked for it: it
 * says nothing about what ran there before.
 */
function inDumpPath(target: Target, processor: Processor): boolean {
  const code = target.bugcheck?.baseCode;
  return (
    processor.contextTrust === 'bugchecking' &&
    code !== undefined &&
    isManualCode(code) &&
    processor.dpcRoutineActive !== true &&
    processor.interrupted?.pc === processor.registers?.pc
  );
}
