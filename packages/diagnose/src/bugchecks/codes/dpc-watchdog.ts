import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { clock, count, json, plural } from '../../engine/words.ts';
import { spinSites } from '../../facts/spin-sites.ts';
import { watchdogProfiles } from '../../facts/watchdog-profile.ts';
import type { Finding } from '../../report/report.ts';
import { isKernelOrHal } from '../frames.ts';
import { member, memberOf } from '../kernel-struct.ts';
import { memberEvidence, parametersOf, type Reading } from './reading.ts';
import { culpritOn } from './stack-culprit.ts';

/** 0x133 DPC_WATCHDOG_VIOLATION. 0: one DPC or ISR ran longer than its limit. 1: too much time at DISPATCH_LEVEL in all. */
export function dpcWatchdog(diagnosis: Diagnosis, evidence: Evidence): Reading | null {
  const [form] = parametersOf(diagnosis);
  return form === 0n ? singleDpc(diagnosis, evidence) : form === 1n ? cumulative(diagnosis, evidence) : null;
}

/**
 * The cumulative form where neither a loop was found nor the watchdog's profile says one (that is dispatch-level-spin's): the code
 * that happened to be interrupted at the end is weak evidence, and says so.
 */
function cumulative(diagnosis: Diagnosis, evidence: Evidence): Reading | null {
  const { target } = diagnosis;
  const processor = target.processors.find((p) => p.contextTrust === 'bugchecking') ?? null;
  if (diagnosis.fact(watchdogProfiles).length > 0) return null;
  if (processor !== null && diagnosis.fact(spinSites).some((s) => s.waiter.processor.number === processor.number))
    return null;
  const [, period] = parametersOf(diagnosis);
  const tick = target.time.tickIncrement === null ? null : target.time.tickIncrement / 1e7;
  const time = tick === null ? plural(Number(period), 'tick') : clock(Number(period) * tick);
  evidence.fact(
    `the watchdog's period is ${plural(Number(period), 'tick')}${tick === null ? '' : ` (${time})`}: so long nothing below DISPATCH_LEVEL ran there`,
    'true',
    '.bugcheck',
    'bug check parameter 2',
  );
  const registers = processor?.interrupted ?? null;
  const culprit = culpritOn(diagnosis, registers, evidence, 'interrupted code');
  const who = processor === null ? 'A processor' : `Processor ${processor.number}`;
  return {
    verdict: 'cumulative-time',
    confidence: 'likely',
    title: `${who} stayed at DISPATCH_LEVEL or above for ${time} in all`,
    summary: [
      `${who} gave the scheduler no chance for ${time}: many short DPCs and interrupts, or one long stretch.`,
      registers === null
        ? 'What it was executing was not found.'
        : `At the end it was at ${target.nameOf(registers.pc).text}; that is one sample, not what took the time.`,
      'The watchdog left no profile in this dump, and no loop was found.',
    ],
    blame: culprit.blame,
    wouldChange: ["the watchdog's profile", 'an event trace of DPCs and interrupts'],
  };
}

function singleDpc(diagnosis: Diagnosis, evidence: Evidence): Reading {
  const { target } = diagnosis;
  const [, ticks, limit] = parametersOf(diagnosis);
  const processor = target.processors.find((p) => p.contextTrust === 'bugchecking') ?? null;
  const tick = target.time.tickIncrement === null ? null : target.time.tickIncrement / 1e7;
  const spent = tick === null ? '' : ` (${clock(Number(ticks) * tick)})`;
  const allowed = tick === null ? '' : ` (${clock(Number(limit) * tick)})`;
  evidence.fact(
    `the watchdog counted ${plural(Number(ticks), 'tick')}${spent} in one DPC or ISR; it allows ${count(limit)}${allowed}`,
    'true',
    '.bugcheck',
    'bug check parameters 2 and 3',
  );
  const who = processor === null ? 'A processor' : `Processor ${processor.number}`;
  let routine: bigint | null = null;
  if (processor !== null) {
    memberEvidence(
      evidence,
      'KPRCB.DpcTimeCount',
      memberOf(target, '_KPRCB', processor.prcb, ['DpcTimeCount', 'DpcTimeCountTicks']),
      (value) => plural(Number(value), 'tick'),
    );
    routine = dpcRoutine(diagnosis, processor.prcb, evidence);
    if (processor.dpcRoutineActive !== null)
      evidence.fact(
        processor.dpcRoutineActive
          ? 'DpcRoutineActive is set: a DPC is running'
          : 'DpcRoutineActive is clear: no DPC is running, so an ISR or raised IRQL is what took the time',
        'true',
        '!pcr',
        'KPRCB',
      );
  }
  const registers = processor?.interrupted ?? null;
  const site = registers === null ? null : target.nameOf(registers.pc).text;
  const culprit = culpritOn(diagnosis, registers, evidence, 'running code');
  const spin =
    processor !== null && diagnosis.fact(spinSites).some((s) => s.waiter.processor.number === processor.number);
  const module = routine === null ? undefined : target.moduleAt(routine);
  const name = routine === null ? null : target.nameOf(routine).text;
  const blame: Finding['blame'][number][] = [];
  if (module !== undefined && name !== null)
    blame.push({
      module: module.name,
      function: name,
      role: 'DPC routine',
      reason: isKernelOrHal(target, module)
        ? 'it is the DPC that was running; the kernel runs it for others'
        : 'it is the DPC that was running',
      address: json(routine),
    });
  blame.push(...culprit.blame.filter((item) => item.module !== module?.name));
  return {
    verdict: 'dpc-timeout',
    confidence: site === null ? 'likely' : 'strong',
    title: `${who} spent ${tick === null ? `${count(ticks)} ticks` : clock(Number(ticks) * tick)} in one ${processor?.dpcRoutineActive === false ? 'ISR or section at raised IRQL' : 'DPC'}${name === null ? '' : `, ${name}`}`,
    summary: [
      `${who} ran one DPC or ISR for ${count(ticks)} ticks${spent}, ${count(limit)}${allowed} are allowed.`,
      name === null ? 'Which DPC it was is not recorded.' : `The DPC is ${name}.`,
      site === null ? 'What it was executing was not found.' : `It was interrupted at ${site}.`,
      ...(spin ? ['That code is a loop: see dispatch-level-spin for what it waits for.'] : []),
    ],
    processor: processor?.number ?? null,
    thread: processor?.currentThread ?? null,
    blame,
    since:
      tick === null
        ? null
        : {
            minSeconds: Math.max(0, Number(ticks) - 1) * tick,
            maxSeconds: (Number(ticks) + 1) * tick,
            reason: `the watchdog counted ${plural(Number(ticks), 'tick')}`,
          },
    assumptions: ['the code that was interrupted for the bug check is that of the same DPC or ISR'],
    wouldChange: ['an interrupted context of another DPC than the one that was counted'],
    downstream: [`the DPC queue of ${who.toLowerCase()}, its ready threads, and IPIs that it does not take`],
  };
}

/** CurrentDpcRoutine (Windows 10 2004 on), else DpcData[0].ActiveDpc's routine (Windows 8 on). */
function dpcRoutine(diagnosis: Diagnosis, prcb: bigint, evidence: Evidence): bigint | null {
  const { target } = diagnosis;
  const current = member(target, '_KPRCB', prcb, 'CurrentDpcRoutine');
  if (current?.value != null && current.value !== 0n) {
    evidence.memory(
      `KPRCB.CurrentDpcRoutine is ${target.nameOf(current.value).text}`,
      'true',
      current.address,
      current.size,
    );
    return current.value;
  }
  const active = member(target, '_KPRCB', prcb, 'DpcData[0].ActiveDpc');
  if (active?.value == null || active.value === 0n) return null;
  const routine = member(target, '_KDPC', active.value, 'DeferredRoutine');
  if (routine?.value == null || routine.value === 0n) return null;
  evidence.memory(
    `the active DPC's DeferredRoutine is ${target.nameOf(routine.value).text}`,
    'true',
    routine.address,
    routine.size,
  );
  return routine.value;
}
