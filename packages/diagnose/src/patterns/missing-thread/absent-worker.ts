/** A worker that its queue counts on and that is no thread any more. */

import type { Diagnosis } from '../../engine/diagnosis.ts';
import { argument, count, json, plural } from '../../engine/words.ts';
import { type MissingWorkers, missingWorkers } from '../../facts/missing-workers.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';
import { citeProof } from '../../waits/cite.ts';

const MAX_QUEUES = 8;

export function absentWorkers(diagnosis: Diagnosis): readonly Finding[] {
  return diagnosis
    .fact(missingWorkers)
    .slice(0, MAX_QUEUES)
    .map((missing) => finding(diagnosis, missing));
}

function finding(diagnosis: Diagnosis, { queue, listed, missing }: MissingWorkers): Finding {
  const { target } = diagnosis;
  const evidence = diagnosis.evidence('workers');
  const where = argument(target, queue.address);
  evidence.memory(
    `queue ${where} has ${plural(listed, 'worker')} on its list, ${count(queue.running)} of ${count(queue.maximum)} running, and ${plural(queue.entries.length, 'entry', 'entries')} that nobody took`,
    'true',
    queue.address,
    target.layouts.table.struct(queue.type)?.size ?? target.pointerSize * 8,
    `dt nt!${queue.type} ${where}`,
  );
  for (const { proof } of missing) citeProof(evidence, proof);
  const waiting = queue.entries.length;
  const sure = waiting > 0 && missing.some(({ how }) => how !== 'unlisted') && target.bugcheck !== null;
  return {
    ...blankFinding(
      'missing-thread',
      'absent-worker',
      sure ? 'likely' : 'possible',
      `${count(missing.length)} of ${plural(listed, 'worker')} of a queue ${missing.length === 1 ? 'is' : 'are'} missing`,
      `Queue ${where} still counts on ${missing.length === 1 ? 'a worker that is' : 'workers that are'} no thread any more${waiting === 0 ? '; no work waits in it now' : `, and ${plural(waiting, 'entry waits', 'entries wait')} in it`}. A worker that ends takes itself off its queue: one that did not was ended inside the work that it had taken.`,
    ),
    thread: json(missing[0]?.thread),
    evidence: evidence.items,
    assumptions: ['the list of workers was not just being changed'],
    wouldChange: ['the worker among the threads of a second dump'],
  };
}
