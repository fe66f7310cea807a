/** Who waits for what a thread holds: threads from which its node in the wait graph can be reached. */
import type { Diagnosis } from '../engine/diagnosis.ts';
import type { Evidence } from '../engine/evidence.ts';
import { plural } from '../engine/words.ts';
import { citeProof } from '../waits/cite.ts';
import { dependentsOf } from './dependents.ts';

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
  return threads.slice(0, MAX_HOLDERS).flatMap((thread) => {
    const waiters = dependentsOf(diagnosis, thread).threads;
    return waiters.length === 0 ? [] : [{ thread, waiters }];
  });
}

/** The reads that show how they depend on the thread: what it owns. */
export function behindEvidence(diagnosis: Diagnosis, { thread, waiters }: WaitingBehind, evidence: Evidence): void {
  const proofs = dependentsOf(diagnosis, thread).edges.flatMap(({ proof }) => proof);
  for (const proof of proofs.slice(0, MAX_PROOFS)) citeProof(evidence, proof);
  evidence.fact(
    `${plural(waiters.length, 'thread waits', 'threads wait')} for what thread ${thread.toString(16)} holds, directly or behind others`,
    'true',
    '!locks',
    'wait graph',
  );
}
