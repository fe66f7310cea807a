/**
 * A thread that has run in kernel mode without a wait for long, on a processor whose code or context cannot be read: a
 * spin is neither proven nor excluded. Without this, a missing page would read like "nothing wrong".
 */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { clock, json } from '../../engine/words.ts';
import { type Unexamined, unexaminedProcessors } from '../../facts/spin-sites.ts';
import { spinningSince, threadTimes } from '../../facts/times.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

const MIN_SECONDS = 1;
/** Of the time since the last wait began, this much must be kernel time of the thread itself. */
const MIN_SHARE = 0.9;

/** `open`: processors whose loop was found and could not be evaluated. */
export function unseenSpins(
  diagnosis: Diagnosis,
  judged: ReadonlySet<number | null>,
  open: readonly Unexamined[],
): readonly Finding[] {
  const { target } = diagnosis;
  const findings: Finding[] = [];
  for (const { processor, why } of [...diagnosis.fact(unexaminedProcessors), ...open]) {
    if (
      judged.has(processor.number) ||
      processor.idle === true ||
      processor.idleThread === true ||
      processor.currentThread === null
    )
      continue;
    const thread = target.thread(processor.currentThread);
    if (thread === null) continue;
    const times = threadTimes(diagnosis, thread);
    if (times.tickSeconds === null || times.kernelTicks === null || times.ticksSinceWait === null) continue;
    const seconds = times.ticksSinceWait * times.tickSeconds;
    if (seconds < MIN_SECONDS || times.kernelTicks < times.ticksSinceWait * MIN_SHARE) continue;
    const evidence = diagnosis.evidence('unseen');
    const at = thread.fieldAddress('Tcb.KernelTime') ?? thread.fieldAddress('KernelTime');
    const claim = `thread ${thread.address.toString(16)} began its last wait ${clock(seconds)} ago and has ${clock(times.kernelTicks * times.tickSeconds)} of kernel time: it ran nearly all of that time`;
    if (at === null) evidence.fact(claim, 'true', `!thread ${thread.address.toString(16)}`, '_KTHREAD');
    else evidence.memory(claim, 'true', at, 4, `!thread ${thread.address.toString(16)}`);
    evidence.fact(
      `what processor ${processor.number} was executing cannot be examined: ${why}`,
      'undetermined',
      `~${processor.number}s; r`,
      'missing',
    );
    const process = thread.process ?? thread.owningProcess;
    findings.push({
      ...blankFinding(
        'dispatch-level-spin',
        'undetermined',
        'possible',
        `Processor ${processor.number} may spin: undetermined`,
        `Its thread has run in the kernel without a wait for ${clock(seconds)}, but what it was executing cannot be examined (${why}). A spin is neither shown nor excluded.`,
      ),
      processor: processor.number,
      thread: json(thread.address),
      process: json(process),
      image: process === null ? null : (target.process(process)?.image ?? null),
      since: spinningSince(diagnosis, thread, { idleThread: false, inDpc: processor.dpcRoutineActive }),
      evidence: evidence.items,
      wouldChange: [why],
    });
  }
  return findings;
}
