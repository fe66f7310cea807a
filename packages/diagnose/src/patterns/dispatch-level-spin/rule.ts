import type { Processor } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, definePattern, type FactKey, type Pattern } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, irqlName, json } from '../../engine/words.ts';
import type { LoopView } from '../../facts/loop-view.ts';
import { type SpinSite, spinSites, type Unexamined } from '../../facts/spin-sites.ts';
import { spinningSince } from '../../facts/times.ts';
import { containerOf } from '../../locks/container.ts';
import { ipiWaitOf } from '../../locks/ipi-wait.ts';
import { lockPlace } from '../../locks/lock-place.ts';
import { queuedWaitOf } from '../../locks/spin-graph.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';
import { blameOf, clearedFor, spinSignature } from './blame.ts';
import { judgeChain } from './judge-chain.ts';
import { judgeIpi } from './judge-ipi.ts';
import { judgeLoop } from './judge-loop.ts';
import { judgeQueued } from './judge-queued.ts';
import { judgeWord } from './judge-word.ts';
import type { Judgement } from './judgement.ts';
import { spinPicture } from './picture.ts';
import { levelIsUnknown, perhapsBelow } from './unknown-level.ts';
import { unseenSpins } from './unseen.ts';
import { watchdogFindings } from './watchdog.ts';

export const dispatchLevelSpin: Pattern = definePattern({
  id: 'dispatch-level-spin',
  title: 'Dispatch Level Spin',
  run: (diagnosis: Diagnosis): readonly Finding[] => diagnosis.fact(spinFindings),
});

/** For rules whose own finding is downstream of a spin on the same processor. */
export const spinFindings: FactKey<readonly Finding[]> = defineFact('spin findings', (diagnosis: Diagnosis) => {
  const findings: Finding[] = [];
  const open: Unexamined[] = [];
  for (const site of diagnosis.fact(spinSites)) {
    const finding = judge(diagnosis, site);
    if (finding !== null) findings.push(finding);
    else if (cannotBeEvaluated(site.loop))
      open.push({
        processor: site.waiter.processor,
        why: `the exits of the loop at ${loopName(diagnosis, site)} cannot be evaluated: ${site.loop.execution.text}`,
      });
  }
  const judged = new Set(findings.map((finding) => finding.processor));
  findings.push(...watchdogFindings(diagnosis, judged));
  findings.push(...unseenSpins(diagnosis, new Set(findings.map((finding) => finding.processor)), open));
  return findings;
});

const numbers = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];

function judge(diagnosis: Diagnosis, site: SpinSite): Finding | null {
  const { target } = diagnosis;
  const { waiter, loop } = site;
  const evidence = diagnosis.evidence('spin');
  describeContext(diagnosis, site, evidence);
  describeLoop(diagnosis, site, evidence);
  const judged = judgement_(diagnosis, site, evidence);
  if (judged === null) return null;
  const irql = waiter.processor.irql;
  // Below DISPATCH_LEVEL the scheduler can take the processor away: that is a spike, not this pattern.
  if (irql !== null && irql.kind === 'exact' && irql.level < 2 && judged.lock === null && !interruptsOff(site))
    return null;
  // The idle thread's own loop never ends by design, also where the pages that name it are missing.
  const idling = isIdling(waiter.processor);
  if (judged.lock === null && idling === true) return null;
  const sure = judged.lock === null && idling === null ? perhapsIdle(judged) : judged;
  const below = sure.lock === null && !interruptsOff(site) && levelIsUnknown(diagnosis, site);
  const judgement = below ? perhapsBelow(sure) : sure;
  describeIrql(diagnosis, site, evidence);
  const thread = waiter.processor.currentThread === null ? null : target.thread(waiter.processor.currentThread);
  const process = thread?.process ?? thread?.owningProcess ?? null;
  const image = process === null ? null : (target.process(process)?.image ?? null);
  const container =
    judgement.lock === null ? null : containerOf(target, waiter, loop.frameIndex, judgement.lock.address);
  if (container !== null && judgement.lock !== null) {
    const text = `the lock ${address(target, judgement.lock.address)} is embedded at +0x${container.offset.toString(16)} of an object at ${address(target, container.object)} (${container.by})`;
    if (container.instruction === null) evidence.fact(text, 'true', 'r', 'interrupted registers');
    else
      evidence.memory(
        text,
        'true',
        container.instruction.address,
        container.instruction.length,
        `u ${container.instruction.address.toString(16)} l1`,
      );
  }
  const place = judgement.lock === null ? null : lockPlace(diagnosis, judgement.lock.address);
  if (place !== null && judgement.lock !== null) {
    const claim = `the lock ${address(target, judgement.lock.address)} lies ${place.text}`;
    if (place.proof !== null)
      evidence.memory(claim, 'true', place.proof.address, place.proof.length, place.proof.command);
    else if (place.kind !== 'other')
      evidence.fact(
        claim,
        'true',
        place.kind === 'unmapped'
          ? `!pte ${judgement.lock.address.toString(16)}`
          : `ln ${judgement.lock.address.toString(16)}`,
        'place of the lock',
      );
  }
  const since = spinningSince(diagnosis, thread, {
    idleThread: waiter.processor.idleThread === true,
    inDpc: waiter.processor.dpcRoutineActive,
  });
  const where = loopName(diagnosis, site);
  const number = waiter.processor.number;
  const never = judgement.verdict !== 'transient' && judgement.verdict !== 'undetermined';
  // Somebody who can go on may still end these.
  const may = judgement.verdict === 'held-elsewhere' || judgement.verdict === 'reader-writer-convoy';
  const lockText =
    judgement.lock === null
      ? ''
      : ` The ${judgement.lock.kind} is ${address(target, judgement.lock.address)}${container === null ? '' : `, embedded at +0x${container.offset.toString(16)} of an object at ${address(target, container.object)}`}${place === null || place.kind === 'other' ? '' : `; it lies ${place.text}`}.`;
  const summary = [
    `Processor ${number} ${may ? 'waits in' : never ? 'cannot leave' : 'was stopped in'} the ${numbers[loop.instructionCount] ?? loop.instructionCount}-instruction loop at ${where}.`,
    exitText(loop),
    lockText.trim(),
    judgement.why,
  ]
    .filter((part) => part !== '')
    .join(' ');
  const downstream = [...judgement.downstream];
  if (never)
    downstream.push(
      `whatever is bound to processor ${number} waits for it: its ready threads (affine-thread, thread-starvation), its DPC queue, IPIs that it does not take`,
    );
  return {
    ...blankFinding(
      'dispatch-level-spin',
      judgement.verdict,
      judgement.confidence,
      `Processor ${number} ${never && !may ? 'spins for ever' : 'spins'} at ${where}: ${judgement.verdict}`,
      summary,
    ),
    processor: number,
    thread: json(waiter.processor.currentThread),
    process: json(process),
    image,
    lock:
      judgement.lock === null
        ? null
        : {
            kind: judgement.lock.kind,
            address: json(judgement.lock.address) ?? '',
            word: json(judgement.lock.word),
            container: container === null ? null : `${json(container.object)}+0x${container.offset.toString(16)}`,
            place: place === null || place.kind === 'other' ? null : { kind: place.kind, text: place.text },
          },
    loop: {
      start: json(loop.start) ?? '',
      end: json(loop.end) ?? '',
      function: loop.functionName,
      exits: loop.exits.map((exit) => ({
        address: json(exit.branch) ?? '',
        reads: exit.cells.length === 0 ? null : [...new Set(exit.cells.map((cell) => json(cell.address)))].join(', '),
        value: json(exit.cells[0]?.value),
        condition: exit.condition,
      })),
    },
    since,
    blame: blameOf(diagnosis, site, judgement),
    signature: spinSignature(diagnosis, site, judgement),
    cleared: clearedFor(diagnosis, site),
    evidence: evidence.items,
    assumptions: [...judgement.assumptions],
    wouldChange: [...judgement.wouldChange],
    downstream,
    picture: spinPicture(diagnosis, site, judgement),
  };
}

/** Runs the idle thread, no DPC over it, and on no other stack; null where DpcRoutineActive cannot be read. */
function isIdling(processor: Processor): boolean | null {
  if (processor.idleThread !== true || processor.dpcRoutineActive === true) return false;
  const elsewhere = processor.stacks.some(
    (stack) => stack.kind !== 'idle' && stack.kind !== 'thread' && inRange(stack, processor.interrupted?.sp ?? null),
  );
  return elsewhere ? false : processor.dpcRoutineActive === false ? true : null;
}

function perhapsIdle(judgement: Judgement): Judgement {
  return {
    ...judgement,
    verdict: 'undetermined',
    confidence: 'possible',
    why: `The processor runs its idle thread, and whether a DPC runs over it (DpcRoutineActive) could not be read: the loop may be that of an idle processor. ${judgement.why}`,
    wouldChange: ['DpcRoutineActive of its PRCB', ...judgement.wouldChange],
  };
}

function inRange(stack: { readonly limit: bigint; readonly base: bigint }, sp: bigint | null): boolean {
  return sp !== null && sp >= stack.limit && sp <= stack.base;
}

/** No exit is known to be taken or not: registers or memory that decide are missing. */
function cannotBeEvaluated(loop: LoopView): boolean {
  return loop.execution.end === 'unknown' && loop.exits.length > 0 && loop.exits.every((exit) => exit.taken === null);
}

function judgement_(diagnosis: Diagnosis, site: SpinSite, evidence: Evidence): Judgement | null {
  const found = judgeByShape(diagnosis, site, evidence);
  if (found === null || site.waiter.processor.contextTrust !== 'stale') return found;
  // Registers of an earlier moment beside memory of now (acquisition tools, processors that never answered the freeze).
  const confidence = found.confidence === 'proven' || found.confidence === 'strong' ? 'likely' : found.confidence;
  return {
    ...found,
    confidence,
    assumptions: [...found.assumptions, 'the processor is still where its saved context shows it: that is stale'],
  };
}

function judgeByShape(diagnosis: Diagnosis, site: SpinSite, evidence: Evidence): Judgement | null {
  const wait = queuedWaitOf(diagnosis, site);
  if (wait !== null) return judgeQueued(diagnosis, site, wait, evidence);
  if (site.loop.lockCell !== null) return judgeWord(diagnosis, site, site.loop.lockCell, evidence);
  if (site.loop.chain !== null) return judgeChain(diagnosis, site, site.loop.chain, evidence);
  const ipi = ipiWaitOf(diagnosis, site);
  return ipi === null ? judgeLoop(diagnosis, site, evidence) : judgeIpi(diagnosis, site, ipi, evidence);
}

function loopName(diagnosis: Diagnosis, site: SpinSite): string {
  return diagnosis.target.nameOf(site.loop.header).text;
}

function exitText(loop: LoopView): string {
  const { exits } = loop;
  if (exits.length === 0) return 'It has no exit.';
  const parts = exits.slice(0, 3).map((exit) => {
    const seen = exit.cells.filter((cell, n) => exit.cells.findIndex((other) => other.address === cell.address) === n);
    const held = seen
      .map((cell) =>
        cell.value === null
          ? `${cell.gap ?? 'not readable'}`
          : `it holds ${cell.value.toString(16).padStart(cell.size * 2, '0')}`,
      )
      .join(', ');
    return `${exit.needs === null ? exit.condition : `needs ${exit.needs}`}${held === '' ? '' : `; ${held}`}`;
  });
  const flags =
    loop.flags.agree === true
      ? ', and EFLAGS agree'
      : loop.flags.agree === false
        ? ', but EFLAGS say that it has changed'
        : '';
  return `${exits.length === 1 ? 'Its one exit' : `Its ${exits.length} exits`}${exits.length === 1 && /^(needs|leaves)/.test(parts[0] ?? '') ? ' ' : ': '}${parts.join('; ')}${flags}.`;
}

function describeContext(diagnosis: Diagnosis, site: SpinSite, evidence: Evidence): void {
  const { processor, registers } = site.waiter;
  const { target } = diagnosis;
  const claim = `processor ${processor.number} was executing ${target.nameOf(registers.pc).text} (${registers.source}; context ${processor.contextTrust}: ${processor.contextReason})`;
  const at = registers.address;
  if (at === null) evidence.fact(claim, 'true', `~${processor.number}s; r`, registers.source);
  else
    evidence.memory(
      claim,
      'true',
      at,
      target.arch === 'x86' ? 0x8c : 0x40,
      /trap/.test(registers.source) ? `.trap ${at.toString(16)}` : `~${processor.number}s; r`,
    );
}

function describeLoop(diagnosis: Diagnosis, site: SpinSite, evidence: Evidence): void {
  const { target } = diagnosis;
  const { loop } = site;
  const length = Number(loop.end - loop.start);
  evidence.memory(
    `the innermost closed loop around it is ${address(target, loop.start)}..${address(target, loop.end - 1n)}, ${loop.instructionCount} instructions, ${loop.exits.length === 1 ? 'one exit' : `${loop.exits.length} exits`}, ${loop.stores === 0 ? 'no store' : `${loop.stores} stores`}`,
    'true',
    loop.start,
    Math.min(length, 256),
    `u ${loop.start.toString(16)} l${loop.instructionCount.toString(16)}`,
  );
  for (const exit of loop.exits) {
    const cell = exit.cells[0];
    const taken = exit.taken === null ? 'undetermined' : exit.taken ? 'taken' : 'not taken';
    const text = `the exit at ${address(target, exit.branch)} ${exit.condition}: with the captured values it is ${taken}${exit.mayBeStored ? '; a store of the loop may reach the cell' : ''}`;
    if (cell === undefined)
      evidence.fact(
        text,
        exit.taken === null ? 'undetermined' : 'true',
        `u ${exit.branch.toString(16)} l1`,
        'loop analysis',
      );
    else evidence.memory(text, exit.taken === null ? 'undetermined' : 'true', cell.address, cell.size);
  }
  evidence.fact(
    loop.flags.text,
    loop.flags.agree === null ? 'undetermined' : loop.flags.agree ? 'true' : 'false',
    'r',
    site.waiter.registers.source,
  );
}

/** EFLAGS.IF clear: nothing takes the processor away, whatever its IRQL says. */
function interruptsOff(site: SpinSite): boolean {
  const { arch, flags } = site.waiter.registers;
  return arch !== 'arm64' && flags !== null && (flags & 0x200) === 0;
}

function describeIrql(diagnosis: Diagnosis, site: SpinSite, evidence: Evidence): void {
  const { processor } = site.waiter;
  const irql = processor.irql;
  if (interruptsOff(site))
    evidence.fact(
      `interrupts are off (IF=0 in EFLAGS ${(site.waiter.registers.flags ?? 0).toString(16).padStart(8, '0')}): no level matters, nothing interrupts processor ${processor.number} but an NMI`,
      'true',
      'r',
      site.waiter.registers.source,
    );
  if (irql === null)
    evidence.fact(
      `the interrupted IRQL of processor ${processor.number} is recorded nowhere in the dump`,
      'undetermined',
      '!irql',
      'no source',
    );
  else if (irql.address === null)
    evidence.fact(
      `IRQL ${irql.kind === 'minimum' ? 'at least ' : ''}${irqlName(irql.level)} (${irql.source})`,
      'true',
      '!irql',
      irql.source,
    );
  else
    evidence.memory(
      `IRQL ${irql.kind === 'minimum' ? 'at least ' : ''}${irqlName(irql.level)} (${irql.source})`,
      'true',
      irql.address,
      1,
    );
  void diagnosis;
}
