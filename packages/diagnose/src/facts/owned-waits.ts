/** Whether a thread waits for something that somebody owns, is, or has to answer: by the wait graph, so for every kind of lock in it. */
import type { Diagnosis } from '../engine/diagnosis.ts';
import type { GraphEdge } from '../waits/wait-edge.ts';
import { waitGraph } from '../waits/wait-graph.ts';

/** Objects of the graph that stand for nothing but themselves: anybody may signal them. */
const FREE: ReadonlySet<string> = new Set(['event', 'semaphore', 'timer', 'queue', 'gate', 'unknown object']);

/** The edge of the thread's wait to a lock, a thread, a process or a request; null where it waits for a bare object. */
export function ownedWait(diagnosis: Diagnosis, thread: bigint): GraphEdge | null {
  const vertex = diagnosis.fact(waitGraph).vertex({ kind: 'thread', address: thread });
  for (const edge of vertex?.out ?? []) {
    if (edge.relation !== 'waits-for') continue;
    if (edge.to.kind !== 'object' || !FREE.has(edge.to.object)) return edge;
  }
  return null;
}

/** Others wait for a lock that the thread owns. */
export function ownsLock(diagnosis: Diagnosis, thread: bigint): boolean {
  const vertex = diagnosis.fact(waitGraph).vertex({ kind: 'thread', address: thread });
  return vertex?.in.some(({ relation }) => relation === 'owned-by') === true;
}
