/** What each thread did between two dumps: switches, CPU time, state, wait. */
import type { Process, Target, Thread } from '@dumpscope/debugger';
import { json } from '../engine/words.ts';
import type { ThreadChange, ThreadDiff } from './diff.ts';

/** KTHREAD.State (KTHREAD_STATE). */
const states: readonly string[] = [
  'initialized',
  'ready',
  'running',
  'standby',
  'terminated',
  'waiting',
  'transition',
  'deferred ready',
  'gate wait',
  'waiting for process in swap',
];

export interface Interval {
  readonly seconds: number | null;
  readonly tickSeconds: number | null;
}

export function compareThreads(first: Target, second: Target, interval: Interval): ThreadDiff[] {
  const before = threadsOf(first);
  const after = threadsOf(second);
  // Counters of a thread of an idle processor run on in both; they say how often it had work.
  const rows: ThreadDiff[] = [];
  for (const [address, thread] of after) {
    const old = before.get(address);
    if (old !== undefined && sameThread(old, thread)) {
      rows.push(compare(second, old, thread, interval));
      continue;
    }
    if (old !== undefined) rows.push(single(first, old, 'gone'));
    rows.push(single(second, thread, 'new'));
  }
  for (const [address, thread] of before) if (!after.has(address)) rows.push(single(first, thread, 'gone'));
  return rows;
}

function threadsOf(target: Target): Map<bigint, Thread> {
  return new Map(target.threads().map((thread) => [thread.address, thread]));
}

/** The memory of a thread that ended is used again: client id, process and creation time tell. */
function sameThread(a: Thread, b: Thread): boolean {
  const [x, y] = [a.field('CreateTime'), b.field('CreateTime')];
  if (x !== null && y !== null && x !== y) return false;
  if (a.cid !== null && b.cid !== null && (a.cid.process !== b.cid.process || a.cid.thread !== b.cid.thread))
    return false;
  return a.owningProcess === null || b.owningProcess === null || a.owningProcess === b.owningProcess;
}

function compare(target: Target, first: Thread, second: Thread, interval: Interval): ThreadDiff {
  const switches = delta(first.contextSwitches, second.contextSwitches);
  const seconds = (a: number | null, b: number | null): number | null => {
    const ticks = delta(a, b);
    return ticks === null || interval.tickSeconds === null ? null : ticks * interval.tickSeconds;
  };
  const kernel = seconds(first.kernelTime, second.kernelTime);
  const user = seconds(first.userTime, second.userTime);
  const used = kernel === null || user === null ? null : kernel + user;
  return {
    ...identity(target, second),
    change: changeOf(switches, used, first, second),
    state: { first: stateOf(first), second: stateOf(second) },
    contextSwitches: switches,
    kernelSeconds: kernel,
    userSeconds: user,
    share: used === null || interval.seconds === null || interval.seconds <= 0 ? null : used / interval.seconds,
    sameWait: first.waitTime === null || second.waitTime === null ? null : first.waitTime === second.waitTime,
  };
}

function changeOf(switches: number | null, used: number | null, first: Thread, second: Thread): ThreadChange {
  if (switches === null) return 'unknown';
  if (switches > 0) return 'switched';
  if (used === null) return 'unknown';
  // A running thread may have been charged nothing yet: less than a tick, or its time is charged to DPCs.
  if (used > 0) return 'ran';
  return first.state === second.state ? 'still' : 'unknown';
}

/** Counters are 32-bit and wrap. */
function delta(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : (b - a) >>> 0;
}

function single(target: Target, thread: Thread, change: 'new' | 'gone'): ThreadDiff {
  const state = stateOf(thread);
  return {
    ...identity(target, thread),
    change,
    state: change === 'new' ? { first: null, second: state } : { first: state, second: null },
    contextSwitches: null,
    kernelSeconds: null,
    userSeconds: null,
    share: null,
    sameWait: null,
  };
}

function identity(target: Target, thread: Thread): Pick<ThreadDiff, 'thread' | 'cid' | 'image'> {
  const process = thread.owningProcess ?? thread.process;
  const owner: Process | null = process === null ? null : target.process(process);
  return {
    thread: json(thread.address) ?? '',
    cid: thread.cid === null ? null : `${thread.cid.process.toString(16)}.${thread.cid.thread.toString(16)}`,
    image: owner?.image ?? null,
  };
}

function stateOf(thread: Thread): string | null {
  return thread.state === null ? null : (states[thread.state] ?? `state ${thread.state}`);
}
