import type { StackRange } from '@dumpscope/debugger';
import { parameterEvidence, recordEvidence } from '../../bugchecks/fault-evidence.ts';
import { clearedIdle } from '../../bugchecks/fault-finding.ts';
import { instructionText, pcEvidenceCommand } from '../../bugchecks/fault-text.ts';
import { faultView } from '../../bugchecks/fault-view.ts';
import { isKernelOrHal } from '../../bugchecks/frames.ts';
import { type OverflowAt, stackOverflowAt } from '../../bugchecks/stack-overflow-at.ts';
import { type StackUsage, stackUsage } from '../../bugchecks/stack-usage.ts';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument, count, json, plural } from '../../engine/words.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** A kernel stack that ran out: a fault at or below its limit, or a double fault with the stack pointer there. */
export const stackOverflow: Pattern = definePattern({
  id: 'stack-overflow',
  title: 'Stack Overflow (kernel)',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const found = diagnosis.fact(stackOverflowAt);
    return found === null ? [] : [judge(diagnosis, found)];
  },
});

/** What shows the stack pointer: the record of the fault, or of the double fault. */
function contextEvidence(diagnosis: Diagnosis, found: OverflowAt, evidence: Evidence): void {
  const { target } = diagnosis;
  parameterEvidence(target, evidence);
  const view = diagnosis.fact(faultView);
  if (view !== null) recordEvidence(target, view.fault, evidence);
  const double = found.doubleFault;
  if (double !== null) {
    const claim = `at the first fault sp was ${double.sp === null ? 'unknown' : address(target, double.sp)}${double.pc === null ? '' : `, at ${target.nameOf(double.pc).text}`} (${double.from})`;
    const at = double.address;
    if (at === null) evidence.fact(claim, 'true', '.bugcheck', double.from);
    else
      evidence.memory(
        claim,
        'true',
        at,
        double.length,
        target.arch === 'x86' ? `dt nt!_KTSS ${argument(target, at)}` : `.trap ${argument(target, at)}`,
      );
  }
  if (found.instruction !== null && found.pc !== null)
    evidence.memory(
      `the instruction there is ${instructionText(target, found.instruction)}`,
      'true',
      found.pc,
      found.instruction.length,
      pcEvidenceCommand(target, found.pc),
    );
}

function judge(diagnosis: Diagnosis, found: OverflowAt): Finding {
  const { target } = diagnosis;
  const { overflow, registers } = found;
  const evidence = diagnosis.evidence('stack');
  contextEvidence(diagnosis, found, evidence);
  const { stack } = overflow;
  boundsEvidence(diagnosis, stack, evidence);
  const what =
    overflow.by === 'access'
      ? `the access at ${address(target, overflow.address ?? 0n)} is 0x${overflow.below.toString(16)} below the limit`
      : overflow.below > 0n
        ? `sp is 0x${overflow.below.toString(16)} below the limit`
        : `sp is 0x${(-overflow.below).toString(16)} above the limit, with no room for another call`;
  evidence.fact(`${what} ${address(target, stack.limit)}`, 'true', 'r', stack.source);
  const usage = registers === null ? null : stackUsage(target, registers, stack);
  if (usage !== null) usageEvidence(diagnosis, usage, stack, evidence);
  const size = Number(stack.base - stack.limit);
  const recursion = usage?.recursion ?? null;
  const large = usage?.largest != null && usage.largest.bytes * 4 >= size ? usage.largest : null;
  const cause =
    recursion !== null
      ? `The same ${plural(recursion.round.length, 'call')} (${recursion.round.slice(0, 4).join(' <- ')}${recursion.round.length > 4 ? ' …' : ''}) stand${recursion.round.length === 1 ? 's' : ''} ${count(recursion.times)} times in a row on it: recursion.`
      : large !== null
        ? `One frame takes ${count(large.bytes)} bytes of it: ${large.name}.`
        : usage === null
          ? 'What filled it cannot be told: no registers to walk from.'
          : `${plural(usage.frames.length, 'frame')} fill it${usage.modules[0] === undefined ? '' : `, most of it by ${usage.modules[0].name} (${count(usage.modules[0].bytes)} bytes)`}.`;
  const site = found.pc === null ? '' : ` at ${target.nameOf(found.pc).text}`;
  const finding = blankFinding(
    'stack-overflow',
    recursion !== null ? 'recursion' : large !== null ? 'large-frame' : 'overflow',
    overflow.by === 'access' || overflow.below > 0n ? 'proven' : 'strong',
    `The ${stack.kind} stack ran out${site}`,
    `The ${stack.kind} stack ${address(target, stack.limit)}..${address(target, stack.base)} has ${count(size)} bytes, and ${what}. ${cause}`,
  );
  return {
    ...finding,
    processor: found.processor?.number ?? null,
    thread: json(found.thread),
    blame: usage === null ? [] : blameOf(diagnosis, usage),
    cleared: clearedIdle(diagnosis),
    evidence: evidence.items,
    assumptions:
      stack.source.includes('usual size') || stack.thread === null
        ? [`the stack has the usual size: ${stack.source}`]
        : [],
    wouldChange: [`a stack limit below ${address(target, overflow.address ?? overflow.sp ?? 0n)}`],
  };
}

function boundsEvidence(diagnosis: Diagnosis, stack: StackRange, evidence: Evidence): void {
  const { target } = diagnosis;
  const thread = stack.thread === null ? null : target.thread(stack.thread);
  const claim = `the ${stack.kind} stack is ${address(target, stack.limit)}..${address(target, stack.base)} (${stack.source})`;
  const at = thread?.fieldAddress('StackLimit') ?? null;
  if (at === null) evidence.fact(claim, 'true', null, stack.source);
  else evidence.memory(claim, 'true', at, target.pointerSize);
}

function usageEvidence(diagnosis: Diagnosis, usage: StackUsage, stack: StackRange, evidence: Evidence): void {
  const { target } = diagnosis;
  for (const item of usage.modules.slice(0, 3))
    evidence.fact(
      `${item.name}: ${plural(item.frames, 'frame')}, ${count(item.bytes)} bytes of the ${stack.kind} stack`,
      'true',
      'kf',
      'stack walk',
    );
  const { recursion } = usage;
  const slot = recursion?.frames[0]?.returnSlot ?? null;
  if (recursion === null) return;
  const claim = `${recursion.round.join(' <- ')} repeats ${count(recursion.times)} times`;
  if (slot === null) evidence.fact(claim, 'true', 'kf', 'stack walk');
  else evidence.memory(claim, 'true', slot, target.pointerSize, `dps ${argument(target, slot)}`);
}

function blameOf(diagnosis: Diagnosis, usage: StackUsage): Finding['blame'] {
  const { target } = diagnosis;
  const frame =
    usage.recursion?.frames.find(
      (item) => !isKernelOrHal(target, target.moduleAt(item.pc)) && target.moduleAt(item.pc) !== undefined,
    ) ?? null;
  if (frame !== null)
    return [
      {
        module: target.moduleAt(frame.pc)?.name ?? '?',
        function: target.nameOf(frame.pc).text,
        role: 'recursing code',
        reason: 'it stands in every round of the calls that filled the stack',
        address: json(frame.pc),
      },
    ];
  return usage.modules
    .filter((item) => {
      const module = target.modules.find((m) => m.name === item.name);
      return module !== undefined && !isKernelOrHal(target, module);
    })
    .slice(0, 2)
    .map((item) => ({
      module: item.name,
      function: null,
      role: 'stack user',
      reason: `its ${plural(item.frames, 'frame')} take ${count(item.bytes)} bytes of the stack`,
    }));
}
