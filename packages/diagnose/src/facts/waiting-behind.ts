/** Who waits for what a thread holds: threads from which its node in the wait graph can be reached. */
import type { Diagnosis } from '../engine/diagnosis.ts';
import type { Evidence } from '../engine/evidence.ts';
import { plural } from '../engine/words.ts';
import { waitGraph } from '../waits/wait-graph.ts';

/** Holders whose waiters are looked up. */
const MAX_HOLDERS = 16;
const MAX_PROOFS = 4;

export interface WaitingBehind {
  readonly thread: bigint;
  /** Each once, in the order of the graph. */
  readonly waiters: readonly bigint[];
}

/** Holders without waiters are left out. */
export function waitingBehind(diagnosis: Diagnosis, threads: readonly bigint[]): readonly WaitingBehind[] {
  const graph = diagnosis.fact(waitGraph);
  return threads.slice(0, MAX_HOLDERS).flatMap((thread) => {
    const vertex = graph.vertex({ kind: 'thread', address: thread });
    if (vertex === undefined || vertex.in.length === 0) return [];
    const waiters = graph
      .upstream(vertex.component)
      .flatMap(({ node }) => (node.kind === 'thread' && node.address !== thread ? [node.address] : []));
    return waiters.length === 0 ? [] : [{ thread, waiters }];
  });
}

/** The reads that show how they depend on the thread: what it owns. */
export function behindEvidence(diagnosis: Diagnosis, { thread, waiters }: WaitingBehind, evidence: Evidence): void {
  const vertex = diagnosis.fact(waitGraph).vertex({ kind: 'thread', address: thread });
  const proofs = (vertex?.in ?? []).flatMap(({ proof }) => proof).slice(0, MAX_PROOFS);
  for (const { claim, address, length, command, source } of proofs) {
    if (address === null || length === null) evidence.fact(claim, 'true', command, source);
    else evidence.memory(claim, 'true', address, length, command ?? undefined);
  }
  evidence.fact(
    `${plural(waiters.length, 'thread waits', 'threads wait')} for what thread ${thread.toString(16)} holds, directly or behind others`,
    'true',
    '!locks',
    'wait graph',
  );
}
