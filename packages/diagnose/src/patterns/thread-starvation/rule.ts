import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { argument, clock, count, json, list, plural } from '../../engine/words.ts';
import { cpuSeconds, cpuTime, shareText, uptimes, uptimeText } from '../../facts/cpu-time.ts';
import {
  assumedLevels,
  boundBy,
  freeElsewhere,
  type HeldBack,
  heldBack,
  unknownElsewhere,
} from '../../facts/held-back.ts';
import { BOOST_SECONDS, type Occupant } from '../../facts/ready-threads.ts';
import { behindEvidence, waitingBehind } from '../../facts/waiting-behind.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';
import { readyPicture } from '../../report/wait-nodes.ts';

const LOWEST_REALTIME = 16;
const STRONG_SECONDS = 10;
const MAX_NAMED = 16;

type Verdict = 'dispatch-level' | 'realtime-priority' | 'normal-priority';

/**
 * Threads that stay ready longer than the balance set manager lets them: its boost to priority 15 does not reach above
 * a real-time thread, and nothing is scheduled at DISPATCH_LEVEL.
 */
export const threadStarvation: Pattern = definePattern({
  id: 'thread-starvation',
  title: 'Thread Starvation',
  run: (diagnosis: Diagnosis) =>
    heldBack(diagnosis, BOOST_SECONDS, (ready) => freeElsewhere(ready).length === 0).map((group) =>
      finding(diagnosis, group),
    ),
});

/** The mildest of its processors decides: each of them alone would let the thread run. */
function verdictOf(by: readonly Occupant[]): Verdict {
  const below = by.filter((occupant) => !occupant.dispatch);
  if (below.length === 0) return 'dispatch-level';
  return below.every(({ thread }) => (thread?.priority ?? 0) >= LOWEST_REALTIME)
    ? 'realtime-priority'
    : 'normal-priority';
}

const meaning: Readonly<Record<Verdict, string>> = {
  'dispatch-level': 'no priority helps there: the dispatcher does not run until the IRQL falls',
  'realtime-priority': 'the boost for starved threads ends at 15, below every real-time priority',
  'normal-priority': 'a boost should have helped after about 4 s; it did not or was used up',
};

function finding(diagnosis: Diagnosis, group: HeldBack): Finding {
  const { target } = diagnosis;
  const { by, threads } = group;
  const evidence = diagnosis.evidence('starve');
  const named = threads.slice(0, MAX_NAMED);
  for (const ready of named) {
    const show = `!thread ${argument(target, ready.thread.address)}`;
    const claim = `thread ${ready.thread.address.toString(16)} (priority ${ready.thread.priority}) is ${ready.state} for ${count(ready.readyTicks)} ticks = ${clock(ready.readySeconds)}`;
    const at = ready.thread.fieldAddress('WaitTime');
    if (at === null) evidence.fact(claim, 'true', show, '_KTHREAD.WaitTime');
    else evidence.memory(claim, 'true', at, 4, show);
  }
  for (const occupant of by)
    evidence.fact(occupant.reason ?? '', 'true', `~${occupant.processor.number}s; k`, occupant.processor.contextReason);
  const idlers = by.filter((occupant) => usesLittle(diagnosis, occupant, threads[0]?.readySeconds ?? 0, evidence));
  const behind = waitingBehind(
    diagnosis,
    named.map(({ thread }) => thread.address),
  );
  for (const holder of behind) behindEvidence(diagnosis, holder, evidence);
  const waiters = [...new Set(behind.flatMap((holder) => holder.waiters))];
  const unread = threads.filter((ready) => ready.affinity === null).length;
  const verdict = verdictOf(by);
  const hidden = [...new Set(threads.flatMap(unknownElsewhere).map(({ processor }) => processor.number))];
  const first = threads[0];
  const seconds = first?.readySeconds ?? 0;
  const culprit = by[0]?.thread ?? null;
  const process = culprit?.owningProcess ?? null;
  return {
    ...blankFinding(
      'thread-starvation',
      verdict,
      hidden.length > 0
        ? 'possible'
        : boundBy(
            group,
            seconds >= STRONG_SECONDS && verdict !== 'normal-priority' && unread === 0 ? 'strong' : 'likely',
          ),
      `${plural(threads.length, 'ready thread')} cannot get a processor, for ${clock(seconds)}`,
      `${list(by.map((occupant) => occupant.reason ?? ''))}. ${plural(threads.length, 'ready thread has', 'ready threads have')} nowhere else to run, the oldest for ${clock(seconds)}; ${meaning[verdict]}.${waiters.length === 0 ? '' : ` ${plural(waiters.length, 'more thread waits', 'more threads wait')} for what they hold.`}`,
    ),
    processor: by[0]?.processor.number ?? null,
    thread: json(culprit?.address),
    process: json(process),
    image: process === null ? null : (target.process(process)?.image ?? null),
    since: { minSeconds: 0, maxSeconds: seconds, reason: 'WaitTime is stamped when a thread becomes ready' },
    evidence: evidence.items,
    assumptions: [
      ...assumedLevels(group),
      ...hidden.map(
        (number) =>
          `processor ${number}, which its affinity leaves out, is as busy: if it is free, this is affine-thread; what it runs could not be read`,
      ),
      ...(unread === 0 ? [] : ['threads whose affinity could not be read may run on every processor']),
      ...idlers.map(
        ({ processor }) =>
          `before the thread that processor ${processor.number} runs now, which has not run that long, others of its priority ran there`,
      ),
    ],
    wouldChange: ['a second dump in which the threads have run'],
    downstream: [
      ...named.map((ready) => `thread ${ready.thread.address.toString(16)}`),
      ...waiters.slice(0, MAX_NAMED).map((thread) => `thread ${thread.toString(16)}, which waits for what it holds`),
    ],
    picture: readyPicture(target, named, by),
  };
}

/** A thread that has used less than this share of the time that others wait is not what kept them waiting all along. */
const MIN_SHARE = 0.5;

/** Below DISPATCH_LEVEL the thread may have got the processor just now. Its CPU time goes into the evidence. */
function usesLittle(
  diagnosis: Diagnosis,
  { thread, dispatch }: Occupant,
  readySeconds: number,
  evidence: Evidence,
): boolean {
  if (thread === null || dispatch) return false;
  const cpu = cpuTime(diagnosis, thread);
  if (cpu === null) return true;
  const used = cpuSeconds(cpu);
  const known = diagnosis.fact(uptimes);
  const at = thread.fieldAddress('KernelTime');
  const show = `!thread ${argument(diagnosis.target, thread.address)}`;
  const claim = `thread ${thread.address.toString(16)} has used ${clock(cpu.userSeconds)} in user mode and ${clock(cpu.kernelSeconds)} in the kernel${known.length === 0 ? '' : ` = ${shareText(used, known)} of one processor (up for ${uptimeText(known)})`}`;
  if (at === null) evidence.fact(claim, 'true', show, '_KTHREAD');
  else evidence.memory(claim, 'true', at, 4, show);
  return used < readySeconds * MIN_SHARE;
}
