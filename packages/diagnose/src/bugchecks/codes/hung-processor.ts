import type { Processor } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { argument, clock, irqlName, plural } from '../../engine/words.ts';
import { spinSites } from '../../facts/spin-sites.ts';
import type { Finding } from '../../report/report.ts';
import { parametersOf, type Reading } from './reading.ts';
import { culpritOn } from './stack-culprit.ts';

const INTERRUPT_FLAG = 0x200;

interface State {
  readonly text: string;
  /** Interrupts were off in a context that can be believed. */
  readonly interruptsOff: boolean | null;
}

function stateOf(diagnosis: Diagnosis, processor: Processor, evidence: Evidence): State {
  const { target } = diagnosis;
  const registers = processor.interrupted ?? processor.registers;
  if (registers === null) {
    evidence.fact(
      `processor ${processor.number} has no saved context (${processor.contextReason})`,
      'undetermined',
      `~${processor.number}s; r`,
      'KPRCB',
    );
    return { text: 'No context of it was saved.', interruptsOff: null };
  }
  const stale = processor.contextTrust === 'stale';
  const at = target.nameOf(registers.pc).text;
  const flags = registers.flags;
  const off = target.arch === 'arm64' || flags === null || stale ? null : (flags & INTERRUPT_FLAG) === 0;
  const irql = processor.irql;
  evidence.fact(
    `processor ${processor.number} is at ${at}${flags === null ? '' : `, EFLAGS ${flags.toString(16)}${off === true ? ' (interrupts off)' : ''}`}${irql === null ? '' : `, IRQL ${irql.kind === 'minimum' ? 'at least ' : ''}${irqlName(irql.level)}`}; context ${processor.contextTrust}: ${processor.contextReason}`,
    stale ? 'undetermined' : 'true',
    `~${processor.number}s; k`,
    processor.contextReason,
  );
  return {
    text: stale
      ? `Its saved context (${at}) is of an earlier moment: it did not answer the freeze either, as a processor that is stopped in firmware, in a long instruction or by hardware would.`
      : `It was at ${at}${off === true ? ' with interrupts off, which by itself keeps the clock away' : ''}.`,
    interruptsOff: off,
  };
}

function spinsAt(diagnosis: Diagnosis, number: number): boolean {
  return diagnosis.fact(spinSites).some((site) => site.waiter.processor.number === number);
}

/** 0x101 CLOCK_WATCHDOG_TIMEOUT: ticks, 0, PRCB and number of the processor that took no clock interrupt. */
export function clockWatchdog(diagnosis: Diagnosis, evidence: Evidence): Reading {
  const { target } = diagnosis;
  const [ticks, , prcb, index] = parametersOf(diagnosis);
  const processor =
    target.processors.find((p) => p.prcb === prcb) ??
    // The PRCB is what is meant; a number alone counts only where none is given.
    (prcb === 0n ? target.processors.find((p) => BigInt(p.number) === index) : undefined) ??
    null;
  const tick = target.time.tickIncrement === null ? null : target.time.tickIncrement / 1e7;
  const time = tick === null ? plural(Number(ticks), 'tick') : clock(Number(ticks) * tick);
  const number = processor?.number ?? Number(index);
  evidence.fact(
    `the kernel says that processor ${number} (PRCB ${argument(target, prcb)}) took no clock interrupt for ${plural(Number(ticks), 'tick')}`,
    'true',
    '.bugcheck',
    'bug check parameters',
  );
  if (processor === null)
    return {
      verdict: 'hung-processor',
      confidence: 'possible',
      title: `Processor ${number} took no clock interrupt for ${time}`,
      summary: [
        `Processor ${number} took no clock interrupt; its PRCB ${argument(target, prcb)} is not in the dump, so what it was doing is not known.`,
      ],
      processor: null,
      thread: null,
      wouldChange: [`the PRCB and context of processor ${number}`],
    };
  const state = stateOf(diagnosis, processor, evidence);
  const stale = processor.contextTrust === 'stale' || processor.contextTrust === 'missing';
  const culprit = stale
    ? null
    : culpritOn(diagnosis, processor.interrupted ?? processor.registers, evidence, 'running code');
  const spin = spinsAt(diagnosis, processor.number);
  return {
    verdict: 'hung-processor',
    confidence: stale ? 'likely' : 'strong',
    title: `Processor ${number} took no clock interrupt for ${time}`,
    summary: [
      `Processor ${number} took no clock interrupt for ${time}; the processor that noticed it raised the bug check and is no culprit.`,
      state.text,
      ...(spin ? ['It is in a loop: see dispatch-level-spin for what it waits for.'] : []),
    ],
    processor: processor.number,
    thread: processor.currentThread,
    blame: culprit?.blame ?? [],
    cleared: noticed(diagnosis, processor.number),
    assumptions: stale
      ? []
      : [
          'the saved context is that of the hang: the processor answered the freeze, so it took at least that interrupt',
        ],
    wouldChange: ['a context of that processor at the time of the hang'],
    downstream: [`whatever is bound to processor ${number}, and IPIs that wait for it`],
  };
}

function noticed(diagnosis: Diagnosis, hung: number): Finding['cleared'] {
  const processor = diagnosis.target.processors.find((p) => p.contextTrust === 'bugchecking');
  return processor === undefined || processor.number === hung
    ? []
    : [{ what: `processor ${processor.number}`, reason: 'it only noticed that the other one did not answer' }];
}

/** 0x1DB IPI_WATCHDOG_TIMEOUT: frequency, counter now, counter at the start of the wait. */
export function ipiWatchdog(diagnosis: Diagnosis, evidence: Evidence): Reading {
  const { target } = diagnosis;
  const [frequency, now, start] = parametersOf(diagnosis);
  const seconds = frequency === 0n || now < start ? null : Number(now - start) / Number(frequency);
  evidence.fact(
    `an IPI was not acknowledged for ${seconds === null ? 'a time that the parameters do not give' : clock(seconds)}`,
    seconds === null ? 'undetermined' : 'true',
    '.bugcheck',
    'bug check parameters 1 to 3',
  );
  const sender = target.processors.find((p) => p.contextTrust === 'bugchecking') ?? null;
  const suspects: Processor[] = [];
  const spinning: number[] = [];
  for (const processor of target.processors) {
    if (processor === sender || processor.idle === true) continue;
    const registers = processor.interrupted ?? processor.registers;
    const stale = processor.contextTrust === 'stale';
    const off = registers?.flags != null && target.arch !== 'arm64' && (registers.flags & INTERRUPT_FLAG) === 0;
    if (!stale && !off) continue;
    stateOf(diagnosis, processor, evidence);
    suspects.push(processor);
    if (spinsAt(diagnosis, processor.number)) spinning.push(processor.number);
  }
  const [only] = suspects;
  const culprit =
    only !== undefined && suspects.length === 1 && only.contextTrust !== 'stale'
      ? culpritOn(diagnosis, only.interrupted ?? only.registers, evidence, 'running code')
      : null;
  return {
    verdict: 'ipi-timeout',
    confidence: only === undefined ? 'possible' : suspects.length === 1 ? 'likely' : 'possible',
    title: `An IPI was not acknowledged${seconds === null ? '' : ` for ${clock(seconds)}`}${only === undefined ? '' : `: processor ${suspects.map((p) => p.number).join(', ')} took none`}`,
    summary: [
      `${sender === null ? 'A processor' : `Processor ${sender.number}`} waited for others to take its IPI and gave up.`,
      only === undefined
        ? 'No processor with interrupts off or without an answer was found: the one that did not answer cannot be told.'
        : `${suspects.length === 1 ? 'One processor' : `${suspects.length} processors`} could not take an IPI: interrupts off, or no answer to the freeze.`,
      ...(spinning.length === 0 ? [] : [`Processor ${spinning.join(', ')} is in a loop: see dispatch-level-spin.`]),
    ],
    processor: only?.number ?? null,
    thread: only?.currentThread ?? null,
    blame: culprit?.blame ?? [],
    cleared: sender === null ? [] : [{ what: `processor ${sender.number}`, reason: 'it sent the IPI and waited' }],
    wouldChange: ['the set of processors that had not acknowledged'],
  };
}
