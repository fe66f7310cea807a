/** Ready threads that every processor they may run on keeps waiting, grouped by those processors. */
import type { Diagnosis } from '../engine/diagnosis.ts';
import type { Confidence } from '../report/report.ts';
import { type Occupant, type ReadyThread, readyThreads } from './ready-threads.ts';

export interface HeldBack {
  readonly by: readonly Occupant[];
  /** Longest ready first. */
  readonly threads: readonly ReadyThread[];
}

/** Groups of threads that are ready for at least `seconds`; `when` picks among those that are held back. */
export function heldBack(
  diagnosis: Diagnosis,
  seconds: number,
  when: (ready: ReadyThread) => boolean,
): readonly HeldBack[] {
  const groups = new Map<string, { by: readonly Occupant[]; threads: ReadyThread[] }>();
  for (const ready of diagnosis.fact(readyThreads)) {
    if (ready.readySeconds < seconds || ready.allowed.length === 0) continue;
    if (ready.allowed.some((occupant) => occupant.reason === null) || !when(ready)) continue;
    const key = ready.allowed.map((occupant) => occupant.processor.number).join();
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { by: ready.allowed, threads: [ready] });
    else group.threads.push(ready);
  }
  return [...groups.values()];
}

/** How sure a finding about the group can be: processors out of sight may be free, contexts may be of another moment. */
export function boundBy({ by, threads }: HeldBack, confidence: Confidence): Confidence {
  if (threads.some((ready) => !ready.allSeen)) return 'possible';
  const old = by.some(
    ({ processor, dispatch, assumed }) =>
      dispatch && (assumed || processor.contextTrust === 'stale' || processor.contextTrust === 'missing'),
  );
  return old && confidence === 'strong' ? 'likely' : confidence;
}

export function assumedLevels({ by }: HeldBack): readonly string[] {
  return by
    .filter(({ assumed }) => assumed)
    .map(({ processor }) => `processor ${processor.number} is at DISPATCH_LEVEL or above: its level is not recorded`);
}

/** Its affinity leaves out a processor that would take it now. */
export function freeElsewhere(ready: ReadyThread): readonly Occupant[] {
  return ready.affinity === null
    ? []
    : ready.excluded.filter(({ processor, reason, thread }) => {
        if (reason !== null) return false;
        if (processor.idle === true) return true;
        const own = ready.thread.priority;
        return processor.idleThread === false && thread?.priority != null && own !== null && thread.priority < own;
      });
}

/** Processors that its affinity leaves out and of which nothing tells whether they would take it. */
export function unknownElsewhere(ready: ReadyThread): readonly Occupant[] {
  if (ready.affinity === null) return [];
  return ready.excluded.filter(
    ({ processor, reason, thread }) =>
      reason === null && processor.idle === null && (processor.idleThread !== false || thread?.priority == null),
  );
}
