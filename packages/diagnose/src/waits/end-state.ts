/** What the thread at the end of a chain does instead of letting go. */
import {
  isWaiting,
  OBJECT_TYPE,
  readSuspension,
  readThreadWait,
  Structure,
  THREAD_STATE,
  type Thread,
} from '@dumpscope/debugger';
import type { Diagnosis } from '../engine/diagnosis.ts';
import { address, clock } from '../engine/words.ts';
import { listedThreads } from '../facts/listed-threads.ts';
import { readyThreads } from '../facts/ready-threads.ts';
import { isStuck, spinSites } from '../facts/spin-sites.ts';
import { threadWaits } from '../facts/thread-waits.ts';
import { threadTimes } from '../facts/times.ts';
import type { GraphNode } from './node.ts';
import { waitGraph } from './wait-graph.ts';
import { nodeText } from './words.ts';

export type EndKind =
  | 'running'
  | 'spinning'
  | 'ready'
  | 'suspended'
  | 'sleeping'
  /** Waits for something that nobody is recorded to own. */
  | 'waiting'
  /** Is being terminated and waits, so that it does not end. */
  | 'terminating'
  /** Has ended, or is in no list of threads. */
  | 'gone'
  /** Has been given what it waits for, and has not run since. */
  | 'woken'
  | 'device'
  /** A process of which no thread has taken what it is asked. */
  | 'unserved'
  | 'unknown';

export interface EndState {
  readonly kind: EndKind;
  /** `waits for event X, which records no owner, for 12.000 s`: goes behind the name of the thread. */
  readonly text: string;
  /** How long it has been so, in seconds; null where that is not known. */
  readonly seconds: number | null;
  /** A timer of its own ends it. */
  readonly timed: boolean;
  readonly userMode: boolean | null;
  /** An object that it waits for could not be read: who owns it, and whether it is set, is not known. */
  readonly unread: boolean;
  /** The processor that it runs on or needs cannot leave a loop. */
  readonly spins: boolean;
  /** What the statement reads: evidence for it. */
  readonly proof: {
    readonly claim: string;
    readonly address: bigint | null;
    readonly length: number;
    readonly command: string;
  } | null;
}

/** KWAIT_REASON DelayExecution and WrDelayExecution. */
const DELAY = [4, 11];

export function endState(diagnosis: Diagnosis, end: GraphNode, holder: bigint | null): EndState {
  const { target } = diagnosis;
  if (end.kind === 'processor') return onProcessor(diagnosis, end.number, holder);
  if (end.kind === 'device') return onDevice(diagnosis, end, holder);
  if (end.kind === 'process' && asked(diagnosis, end)) return plain('unserved', 'has not taken the request');
  if (end.kind === 'thread') return ofThread(diagnosis, end.address);
  return plain('unknown', end.kind === 'unknown' ? `is ${end.label}` : `could not be told: ${nodeText(target, end)}`);
}

function plain(kind: EndKind, text: string): EndState {
  return { kind, text, seconds: null, timed: false, userMode: null, unread: false, spins: false, proof: null };
}

/** Whether a process is asked for something; else others wait for its end. */
function asked(diagnosis: Diagnosis, process: GraphNode): boolean {
  const edges = diagnosis.fact(waitGraph).vertex(process)?.in ?? [];
  return edges.length > 0 && edges.every(({ relation }) => relation === 'answered-by');
}

/** The last thread of the chain waits for the device; where the chain is that one wait, the device has the request. */
function onDevice(diagnosis: Diagnosis, device: GraphNode, holder: bigint | null): EndState {
  const { target } = diagnosis;
  if (holder === null) return plain('device', 'has a request that it has not completed');
  const thread = target.thread(holder);
  if (thread === null) return plain('device', `waits for ${nodeText(target, device)}`);
  const where = { address: thread.fieldAddress('State'), length: 1, command: `!thread ${holder.toString(16)}` };
  const waiting = ofWaiting(diagnosis, thread, where);
  const text = `waits for ${nodeText(target, device)}${waiting.seconds === null ? '' : ` for ${clock(waiting.seconds)}`}`;
  return { ...waiting, kind: 'device', text, proof: null };
}

function ofThread(diagnosis: Diagnosis, at: bigint): EndState {
  const { target } = diagnosis;
  const thread = target.thread(at);
  const type = new Structure(target, '_DISPATCHER_HEADER', at).number('Type');
  const command = `!thread ${at.toString(16)}`;
  if (thread === null || type === undefined) return plain('unknown', 'could not be read');
  const state = thread.state;
  const where = { address: thread.fieldAddress('State'), length: 1, command };
  if (
    (type & 0x7f) !== OBJECT_TYPE.thread ||
    state === THREAD_STATE.terminated ||
    !diagnosis.fact(listedThreads).has(at)
  ) {
    const ended = state === THREAD_STATE.terminated && (type & 0x7f) === OBJECT_TYPE.thread;
    const whole = target.listsWhole();
    return {
      ...plain(
        ended || whole ? 'gone' : 'unknown',
        ended
          ? 'has ended without giving it back'
          : whole
            ? 'is in no list of threads: it has ended without giving it back, or the owner field is wrong'
            : 'is in none of the lists of threads, which the dump does not hold whole',
      ),
      proof: { ...where, claim: `thread ${address(target, at)}: state ${state ?? '?'}, object type ${type & 0x7f}` },
    };
  }
  if (state !== null && isWaiting(thread)) return ofWaiting(diagnosis, thread, where);
  if (state === THREAD_STATE.ready || state === THREAD_STATE.deferredReady || state === THREAD_STATE.standby) {
    const ready = diagnosis.fact(readyThreads).find((candidate) => candidate.thread.address === at);
    const seconds = ready?.readySeconds ?? null;
    return {
      ...plain(
        'ready',
        `is ready to run${seconds === null ? '' : ` for ${clock(seconds)}`} and does not get a processor`,
      ),
      seconds,
      proof: { ...where, claim: `thread ${address(target, at)} is ready (state ${state})` },
    };
  }
  if (state === THREAD_STATE.transition)
    return {
      ...plain('unknown', 'could run, but its kernel stack has to be brought into memory first'),
      proof: { ...where, claim: `thread ${address(target, at)} is in state 6 (transition)` },
    };
  return {
    ...plain(
      state === THREAD_STATE.running ? 'running' : 'unknown',
      state === THREAD_STATE.running ? 'runs, on a processor that is not in the dump' : `is in state ${state ?? '?'}`,
    ),
    proof: { ...where, claim: `thread ${address(target, at)}: state ${state ?? '?'}` },
  };
}

function ofWaiting(
  diagnosis: Diagnosis,
  thread: Thread,
  where: { readonly address: bigint | null; readonly length: number; readonly command: string },
): EndState {
  const { target } = diagnosis;
  // What keeps a device may be a thread that no list holds.
  const wait = diagnosis.fact(threadWaits).get(thread.address) ?? readThreadWait(target, thread);
  const { ticksSinceWait, tickSeconds } = threadTimes(diagnosis, thread);
  const seconds =
    ticksSinceWait === null || tickSeconds === null ? null : Math.max(0, ticksSinceWait - 1) * tickSeconds;
  const long = seconds === null ? '' : ` for ${clock(seconds)}`;
  const timed = wait?.timeout === true;
  const unread = wait === null || !wait.complete || wait.blocks.some(({ type }) => type === null);
  const common = { seconds, timed, userMode: wait?.userMode ?? null, unread };
  const claim = (text: string): EndState['proof'] => ({
    ...where,
    claim: `thread ${address(target, thread.address)} ${text}`,
  });
  if (wait !== null && readSuspension(thread, wait)?.stopped === true) {
    const text = `is suspended${long}`;
    return { ...plain('suspended', text), ...common, proof: claim(text) };
  }
  const graph = diagnosis.fact(waitGraph);
  if (graph.woken.has(thread.address)) {
    const text = 'has been given what it waited for and has not run since';
    return { ...plain('woken', text), ...common, proof: claim(text) };
  }
  const objects = (graph.vertex({ kind: 'thread', address: thread.address })?.out ?? [])
    .filter(({ relation }) => relation === 'waits-for')
    .map(({ to }) => nodeText(target, to));
  if (objects.length === 0 && (DELAY.includes(thread.waitReason ?? -1) || timed)) {
    const text = `sleeps${long}`;
    return { ...plain('sleeping', text), ...common, timed: true, proof: claim(text) };
  }
  const what =
    objects.length === 0
      ? 'waits for something that its wait blocks do not tell'
      : `waits for ${objects.slice(0, 4).join(' or ')}${objects.length > 4 ? ` or ${objects.length - 4} more` : ''}, of which no owner is recorded,`;
  const limit = timed ? ', with a time limit' : '';
  if (thread.field('Terminated') === 1n) {
    const text = `is being terminated and does not end: it ${what}${long}${limit}`;
    return { ...plain('terminating', text), ...common, proof: claim(text) };
  }
  const text = `${what}${long}${limit}`.replace(/,$/, '');
  return { ...plain('waiting', text), ...common, proof: claim(text) };
}

function onProcessor(diagnosis: Diagnosis, number: number, holder: bigint | null): EndState {
  const { target } = diagnosis;
  const processor = target.processors.find((candidate) => candidate.number === number);
  const site = diagnosis.fact(spinSites).find((candidate) => candidate.waiter.processor.number === number);
  // A lock that is free by now: the loop is about to end.
  const spins = site !== undefined && isStuck(site) && site.loop.exits.every(({ taken }) => taken !== true);
  // Without a holder the chain ends in the processor itself: nobody but it runs a DPC or a timer that is its own.
  const itself = holder === null;
  const runs = itself || processor?.currentThread === holder;
  const level = processor?.irql == null ? '' : ` at IRQL ${processor.irql.level}`;
  const at = processor?.interrupted == null ? '' : ` in ${target.nameOf(processor.interrupted.pc).text}`;
  const what = spins ? `spins${at}${level}` : `runs${at}${level}`;
  const ready =
    holder === null || runs ? undefined : diagnosis.fact(readyThreads).find(({ thread }) => thread.address === holder);
  const text = runs
    ? `${spins ? 'spins' : 'runs'}${itself ? '' : ` on processor ${number}`}${at}${level}`
    : `${ready === undefined ? 'needs' : `is ready for ${clock(ready.readySeconds)} and needs`} processor ${number}, which ${what}`;
  return {
    ...plain(runs ? (spins ? 'spinning' : 'running') : 'ready', text),
    seconds: ready?.readySeconds ?? null,
    spins,
    proof: { claim: `processor ${number} ${what}`, address: null, length: 0, command: `~${number}s; k` },
  };
}
