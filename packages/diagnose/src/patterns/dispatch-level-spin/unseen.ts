/**
 * A thread that has run in kernel mode without a wait for long, on a processor whose code or context cannot be read: a
 * spin is neither proven nor excluded. Without this, a missing page would read like "nothing wrong".
 */
import type { Processor, Thread } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { clock, json } from '../../engine/words.ts';
import { isManualCode } from '../../facts/dump-taker.ts';
import { type Unexamined, unexaminedProcessors } from '../../facts/spin-sites.ts';
import { spinningSince, threadTimes } from '../../facts/times.ts';
import { allProcessorsKnown } from '../../locks/holders.ts';
import { isKernelAddress } from '../../locks/queue-entry.ts';
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
  const missing = missingProcessors(diagnosis);
  if (missing !== null) findings.push(missing);
  for (const { processor, why } of [...diagnosis.fact(unexaminedProcessors), ...open]) {
    if (judged.has(processor.number) || processor.idle === true || processor.currentThread === null) continue;
    // User mode runs at PASSIVE_LEVEL.
    if (processor.interrupted !== null && !isKernelAddress(target, processor.interrupted.pc)) continue;
    if (processor.idleThread === true) {
      if (processor.dpcRoutineActive === true && aboutHang(diagnosis))
        findings.push(unseenDpc(diagnosis, processor, why));
      continue;
    }
    const thread = target.thread(processor.currentThread);
    if (thread === null) continue;
    const ran = ranWithoutWait(diagnosis, thread);
    // Times that cannot be read exclude nothing either, where a hang is what the dump is about.
    if (ran === false || (ran === null && !wasAskedFor(diagnosis))) continue;
    const evidence = diagnosis.evidence('unseen');
    const at = thread.fieldAddress('Tcb.KernelTime') ?? thread.fieldAddress('KernelTime');
    if (ran !== null) {
      const claim = `thread ${thread.address.toString(16)} began its last wait ${clock(ran.seconds)} ago and has ${clock(ran.kernelSeconds)} of kernel time: it ran nearly all of that time`;
      if (at === null) evidence.fact(claim, 'true', `!thread ${thread.address.toString(16)}`, '_KTHREAD');
      else evidence.memory(claim, 'true', at, 4, `!thread ${thread.address.toString(16)}`);
    }
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
        `${ran === null ? 'It runs a thread of which the times cannot be read, and' : `Its thread has run in the kernel without a wait for ${clock(ran.seconds)}, but`} what it was executing cannot be examined (${why}). A spin is neither shown nor excluded.`,
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

/** How long the thread has run in the kernel without a wait; false where it has not for long, null where its times are unknown. */
function ranWithoutWait(
  diagnosis: Diagnosis,
  thread: Thread,
): { readonly seconds: number; readonly kernelSeconds: number } | false | null {
  const { tickSeconds, kernelTicks, ticksSinceWait } = threadTimes(diagnosis, thread);
  if (tickSeconds === null || kernelTicks === null || ticksSinceWait === null) return null;
  const seconds = ticksSinceWait * tickSeconds;
  return seconds < MIN_SECONDS || kernelTicks < ticksSinceWait * MIN_SHARE
    ? false
    : { seconds, kernelSeconds: kernelTicks * tickSeconds };
}

/** Somebody wanted to see the state of a hang. */
function wasAskedFor({ target }: Diagnosis): boolean {
  return target.bugcheck !== null && isManualCode(target.bugcheck.baseCode);
}

/** The dump was asked for, or a watchdog wrote it: somebody waits for something that does not end. */
function aboutHang({ target }: Diagnosis): boolean {
  const code = target.bugcheck?.baseCode;
  return code === undefined || isManualCode(code) || code === 0x133 || code === 0x101;
}

/** Processors of a dump on request that are not in it: any of them may be what hangs. A triage dump holds one by design. */
function missingProcessors(diagnosis: Diagnosis): Finding | null {
  const { target } = diagnosis;
  const known = target.processors.length;
  if (!wasAskedFor(diagnosis) || (known > 0 && (target.dump.triage !== null || allProcessorsKnown(target))))
    return null;
  const why = target.processorNote ?? 'their blocks could not be read';
  const declared = target.dump.header.numberProcessors;
  const evidence = diagnosis.evidence('unseen');
  evidence.fact(`what the processors were executing cannot be examined: ${why}`, 'undetermined', '~', 'missing');
  return {
    ...blankFinding(
      'dispatch-level-spin',
      'undetermined',
      'possible',
      'Whether a processor spins could not be seen: undetermined',
      known === 0
        ? `The dump was written to look into a hang, but no processor's state can be read (${why}). A spin is neither shown nor excluded.`
        : `The dump was written to look into a hang, but the state of ${declared - known} of ${declared} processors cannot be read (${why}). A spin on them is neither shown nor excluded.`,
    ),
    evidence: evidence.items,
    wouldChange: [why],
  };
}

/** A DPC over the idle thread: its time is charged to no thread, so nothing but its code could tell. */
function unseenDpc(diagnosis: Diagnosis, processor: Processor, why: string): Finding {
  const evidence = diagnosis.evidence('unseen');
  evidence.fact(
    `processor ${processor.number} runs a DPC (DpcRoutineActive) that cannot be examined: ${why}`,
    'undetermined',
    `~${processor.number}s; r`,
    'missing',
  );
  return {
    ...blankFinding(
      'dispatch-level-spin',
      'undetermined',
      'possible',
      `Processor ${processor.number} may spin: undetermined`,
      `It runs a DPC over its idle thread, but what that was executing cannot be examined (${why}). A spin is neither shown nor excluded.`,
    ),
    processor: processor.number,
    thread: json(processor.currentThread),
    evidence: evidence.items,
    wouldChange: [why],
  };
}
