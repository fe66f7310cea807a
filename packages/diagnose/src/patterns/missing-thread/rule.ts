import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { argument, json, list, plural } from '../../engine/words.ts';
import { dependentsOf } from '../../facts/dependents.ts';
import { type MissingHow, type MissingOwner, missingOwners } from '../../facts/missing-owners.ts';
import { type UncountedThreads, uncountedThreads } from '../../facts/uncounted-threads.ts';
import { blankFinding } from '../../report/blank.ts';
import { graphPicture } from '../../report/graph-picture.ts';
import type { Confidence, Finding } from '../../report/report.ts';
import { citeEdges, citeProof } from '../../waits/cite.ts';
import { nodeText, threadText } from '../../waits/words.ts';
import { absentWorkers } from './absent-worker.ts';
import { zombieProcesses } from './zombies.ts';

const MAX_OWNERS = 16;
const MAX_NAMED = 16;
const MAX_EDGES = 40;
/** More missing threads than these, and than are there, make a wrong count. */
const MAX_GONE = 8;

/** What should be a thread and is none: owners of locks, threads that a process counts, processes that have ended. */
export const missingThread: Pattern = definePattern({
  id: 'missing-thread',
  title: 'Missing Thread',
  run: (diagnosis: Diagnosis) => [
    ...diagnosis
      .fact(missingOwners)
      .slice(0, MAX_OWNERS)
      .map((owner) => orphaned(diagnosis, owner)),
    ...absentWorkers(diagnosis),
    ...diagnosis
      .fact(uncountedThreads)
      .slice(0, MAX_OWNERS)
      .map((uncounted) => unlisted(diagnosis, uncounted)),
    ...zombieProcesses(diagnosis),
  ],
});

const words: Readonly<Record<MissingHow, string>> = {
  ended: 'a thread that has ended',
  freed: 'a thread whose memory was given back',
  unmapped: 'an address where no thread is',
  other: 'something that is no thread',
  unlisted: 'a thread that is in no list',
};

function orphaned(diagnosis: Diagnosis, owner: MissingOwner): Finding {
  const { target } = diagnosis;
  const evidence = diagnosis.evidence('missing');
  const dependents = dependentsOf(diagnosis, owner.thread);
  const edges = [...owner.edges, ...dependents.waits].slice(0, MAX_EDGES);
  citeProof(evidence, owner.proof);
  citeEdges(evidence, edges);
  const locks = [...new Set(owner.edges.map(({ from }) => nodeText(target, from)))];
  const [first] = owner.edges;
  const waiting = dependents.threads.length;
  return {
    ...blankFinding(
      'missing-thread',
      'orphaned-owner',
      confidenceOf(diagnosis, owner),
      `${locks.length === 1 ? locks[0] : plural(locks.length, 'lock')} ${locks.length === 1 ? 'is' : 'are'} owned by ${words[owner.how]}`,
      `${list(locks.slice(0, 4))} ${locks.length === 1 ? 'has' : 'have'} ${argument(target, owner.thread)} as owner: ${words[owner.how]}. Nobody is left to give ${locks.length === 1 ? 'it' : 'them'} back${waiting === 0 ? '' : `, and ${plural(waiting, 'thread waits', 'threads wait')} for that`}. Look for code that ends its thread, or returns to user mode, with the lock held.`,
    ),
    thread: json(owner.thread),
    lock:
      first?.from.kind === 'object'
        ? { kind: first.from.object, address: json(first.from.address) ?? '', word: null, container: null }
        : null,
    evidence: evidence.items,
    assumptions: [
      'nobody else was to release the lock on behalf of that thread',
      ...(owner.how === 'unlisted' ? ['no thread is kept off the lists on purpose'] : []),
    ],
    wouldChange: ['the owner among the threads of a second dump'],
    downstream: dependents.threads.slice(0, MAX_NAMED).map((address) => threadText(target, address)),
    picture: graphPicture(target, edges),
  };
}

/** Owner pointers and searches only infer an owner; memory that was copied while the system ran is of several moments. */
function confidenceOf({ target }: Diagnosis, { how, edges }: MissingOwner): Confidence {
  if (!edges.some(({ certainty }) => certainty === 'recorded')) return 'possible';
  const sure = how !== 'unlisted' && target.bugcheck !== null;
  return sure ? 'strong' : 'likely';
}

function unlisted(diagnosis: Diagnosis, { process, counted, alive, found }: UncountedThreads): Finding {
  const { target } = diagnosis;
  const evidence = diagnosis.evidence('missing');
  const show = `!process ${argument(target, process.address)} 2`;
  const at = process.fieldAddress('ActiveThreads');
  const claim = `process ${argument(target, process.address)} counts ${plural(counted, 'active thread')}`;
  if (at === null) evidence.fact(claim, 'true', show, '_EPROCESS.ActiveThreads');
  else evidence.memory(claim, 'true', at, 4, show);
  evidence.fact(
    `its thread list runs back to its head and holds ${plural(alive, 'thread')} that ${alive === 1 ? 'has' : 'have'} not ended`,
    'true',
    show,
    'thread list',
  );
  for (const thread of found.slice(0, MAX_NAMED))
    evidence.memory(
      `thread ${argument(target, thread.address)} is of this process and on no list: a lock or a wait names it`,
      'true',
      thread.address,
      4,
      `!thread ${argument(target, thread.address)}`,
    );
  const missing = counted - alive;
  return {
    ...blankFinding(
      'missing-thread',
      'unlisted-thread',
      found.length > 0 || (missing > 1 && missing <= Math.max(MAX_GONE, alive)) ? 'likely' : 'possible',
      `${plural(missing, 'thread')} of ${process.image ?? 'a process'} ${missing === 1 ? 'is' : 'are'} not on its list`,
      `${process.image ?? 'A process'} counts ${counted} active threads, and its list, followed to the end, holds ${alive}. A thread is counted and linked together: one was taken off the list, by a broken link or on purpose, or the count is wrong.`,
    ),
    process: json(process.address),
    image: process.image,
    evidence: evidence.items,
    assumptions: ['no processor was just linking a thread'],
    wouldChange: ['the thread on the list of a second dump'],
    downstream: found.slice(0, MAX_NAMED).map(({ address }) => threadText(target, address)),
  };
}
