import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { argument, clock, count, json, list, plural } from '../../engine/words.ts';
import { systemAffinity } from '../../facts/affinity.ts';
import { assumedLevels, boundBy, freeElsewhere, type HeldBack, heldBack } from '../../facts/held-back.ts';
import { behindEvidence, waitingBehind } from '../../facts/waiting-behind.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';
import { readyPicture } from '../../report/wait-nodes.ts';

/** Ready for less than this is ordinary scheduling. */
const MIN_SECONDS = 1;
const STRONG_SECONDS = 10;
const MAX_NAMED = 16;

/** A thread bound to a processor that does not let it run, while another processor that it must not use would. */
export const affineThread: Pattern = definePattern({
  id: 'affine-thread',
  title: 'Affine Thread',
  run: (diagnosis: Diagnosis) =>
    heldBack(diagnosis, MIN_SECONDS, (ready) => freeElsewhere(ready).length > 0).map((group) =>
      finding(diagnosis, group),
    ),
});

function finding(diagnosis: Diagnosis, group: HeldBack): Finding {
  const { target } = diagnosis;
  const { by, threads } = group;
  const evidence = diagnosis.evidence('affine');
  const named = threads.slice(0, MAX_NAMED);
  for (const ready of named) {
    const show = `!thread ${argument(target, ready.thread.address)}`;
    const claim = `thread ${ready.thread.address.toString(16)} (priority ${ready.thread.priority}) is ${ready.state} for ${count(ready.readyTicks)} ticks = ${clock(ready.readySeconds)}; its affinity is ${ready.affinity?.text ?? 'not known'}`;
    if (ready.affinity === null) evidence.fact(claim, 'true', show, '_KTHREAD');
    else evidence.memory(claim, 'true', ready.affinity.address, ready.affinity.length, show);
    const own = systemAffinity(target, ready.thread);
    if (own !== null && own.at !== null)
      evidence.memory(
        `it bound itself there in the kernel (SystemAffinityActive)${own.user === null ? '' : `; outside that its affinity is ${own.user.text}`}`,
        'true',
        own.at,
        1,
        show,
      );
  }
  for (const occupant of by)
    evidence.fact(occupant.reason ?? '', 'true', `~${occupant.processor.number}s; k`, occupant.processor.contextReason);
  const first = threads[0];
  const free = first === undefined ? [] : freeElsewhere(first);
  for (const { processor } of free)
    evidence.fact(
      `processor ${processor.number}, which its affinity leaves out, would run it: ${processor.idle === true ? 'it is idle' : 'it runs a thread of lower priority'}`,
      'true',
      `~${processor.number}s; !thread`,
      processor.idleReason,
    );
  const behind = waitingBehind(
    diagnosis,
    named.map(({ thread }) => thread.address),
  );
  for (const holder of behind) behindEvidence(diagnosis, holder, evidence);
  const waiters = [...new Set(behind.flatMap((holder) => holder.waiters))];
  const process = first?.thread.owningProcess ?? null;
  const seconds = first?.readySeconds ?? 0;
  const where = list(by.map(({ processor }) => `processor ${processor.number}`));
  return {
    ...blankFinding(
      'affine-thread',
      null,
      boundBy(group, seconds >= STRONG_SECONDS ? 'strong' : 'likely'),
      `${plural(threads.length, 'ready thread')} may run only on ${where}, for ${clock(seconds)}`,
      `${list(by.map((occupant) => occupant.reason ?? ''))}. ${threads.length === 1 ? 'A thread bound there is' : `${count(threads.length)} threads bound there are`} ready and cannot move to ${list(free.map(({ processor }) => `processor ${processor.number}`))}. ${waiters.length === 0 ? `Whoever waits for ${threads.length === 1 ? 'it' : 'them'}` : `${plural(waiters.length, 'thread that waits', 'threads that wait')} for what ${threads.length === 1 ? 'it holds' : 'they hold'}`} ${waiters.length > 1 ? 'hang' : 'hangs'} because of what runs there.`,
    ),
    processor: by[0]?.processor.number ?? null,
    thread: json(first?.thread.address),
    process: json(process),
    image: process === null ? null : (target.process(process)?.image ?? null),
    since: { minSeconds: 0, maxSeconds: seconds, reason: 'WaitTime is stamped when a thread becomes ready' },
    evidence: evidence.items,
    assumptions: [
      'an affinity mask that was read from the thread is the one that the scheduler used',
      ...assumedLevels(group),
    ],
    wouldChange: ['an affinity mask that includes an idle processor', 'a second dump in which the thread has run'],
    downstream: [
      ...named.map((ready) => `thread ${ready.thread.address.toString(16)}`),
      ...waiters.slice(0, MAX_NAMED).map((thread) => `thread ${thread.toString(16)}, which waits for what it holds`),
    ],
    picture: readyPicture(target, named, by),
  };
}
