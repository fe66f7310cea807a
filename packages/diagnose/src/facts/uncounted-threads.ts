/** Processes that count more threads than their lists lead to. */
import { type Process, THREAD_STATE, type Thread } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { waitGraph } from '../waits/wait-graph.ts';

export interface UncountedThreads {
  readonly process: Process;
  /** EPROCESS.ActiveThreads: threads that have not begun to exit. */
  readonly counted: number;
  /** Threads on the list that have not ended. */
  readonly alive: number;
  /** Threads of this process that something else leads to. */
  readonly found: readonly Thread[];
}

const MAX_PLAUSIBLE = 100_000;
/** Where more processes than these (or one in ten) disagree, the count is not what it is taken for in this build. */
const MAX_DISAGREEING = 3;

/**
 * A thread is counted and linked under one lock when it is made; it is discounted when it begins to exit and unlinked when
 * its object goes. So the list never holds fewer than are counted, but for an instant.
 */
export const uncountedThreads: FactKey<readonly UncountedThreads[]> = defineFact(
  'uncounted threads',
  (diagnosis: Diagnosis) => {
    const { target } = diagnosis;
    // Memory that was copied while the system ran shows count and list at two moments.
    if (target.bugcheck === null) return [];
    const found: UncountedThreads[] = [];
    const listed = new Map<bigint, Thread[]>();
    for (const thread of target.threads()) {
      const process = thread.owningProcess;
      if (process === null) continue;
      const before = listed.get(process);
      if (before === undefined) listed.set(process, [thread]);
      else before.push(thread);
    }
    for (const process of target.processes()) {
      const counted = Number(process.field('ActiveThreads') ?? 0n);
      if (counted === 0 || counted > MAX_PLAUSIBLE || !target.listsWhole(process)) continue;
      // The idle process is on no list, and its threads are the processors'.
      if ((process.pid ?? 0) === 0) continue;
      const own = listed.get(process.address) ?? [];
      const alive = own.filter((thread) => thread.state !== THREAD_STATE.terminated).length;
      if (alive < counted)
        found.push({
          process,
          counted,
          alive,
          found: elsewhere(diagnosis, process, new Set(own.map((t) => t.address))),
        });
    }
    return found.length > Math.max(MAX_DISAGREEING, target.processes().length / 10) ? [] : found;
  },
);

/** Threads of the process that locks and waits name and the lists do not. */
function elsewhere(diagnosis: Diagnosis, process: Process, known: ReadonlySet<bigint>): Thread[] {
  const { target } = diagnosis;
  return diagnosis.fact(waitGraph).vertices.flatMap(({ node }) => {
    if (node.kind !== 'thread' || known.has(node.address)) return [];
    const thread = target.thread(node.address);
    const type = target.memory.u8(node.address);
    return thread !== null && type !== undefined && (type & 0x7f) === 6 && thread.owningProcess === process.address
      ? [thread]
      : [];
  });
}
