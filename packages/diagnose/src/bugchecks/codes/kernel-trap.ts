import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument } from '../../engine/words.ts';
import { doubleFault } from '../double-fault.ts';
import { trapName } from '../exception-names.ts';
import { parametersOf, type Reading } from './reading.ts';
import { bugcheckRegisters, culpritOn } from './stack-culprit.ts';

/** 0x7F UNEXPECTED_KERNEL_MODE_TRAP that is no stack overflow (the pattern of that name has those). */
export function kernelTrap(diagnosis: Diagnosis, evidence: Evidence): Reading | null {
  const { target } = diagnosis;
  const [vector] = parametersOf(diagnosis);
  const name = trapName(Number(vector)) ?? `trap ${vector.toString(16)}`;
  if (vector !== 8n) {
    const registers = bugcheckRegisters(diagnosis);
    const culprit = culpritOn(diagnosis, registers, evidence, 'faulting code');
    const site = registers === null ? 'code that is not recorded' : target.nameOf(registers.pc).text;
    return {
      verdict: 'trap',
      confidence: 'strong',
      title: `The processor raised ${name} (vector ${vector.toString(16)}) in kernel mode`,
      summary: [
        `Vector ${vector.toString(16)}, ${name}, came from kernel code, where nothing handles it; the context found behind it is at ${site}.`,
      ],
      blame: culprit.blame,
      wouldChange: ['the trap frame of the fault, where the stack does not lead to it'],
    };
  }
  const processor = target.processors.find((p) => p.contextTrust === 'bugchecking') ?? null;
  const fault = doubleFault(target, processor);
  const stack = fault.sp === null ? null : target.stackAt(fault.sp);
  const claim = `at the first fault sp was ${fault.sp === null ? 'unknown' : address(target, fault.sp)}${fault.pc === null ? '' : `, at ${target.nameOf(fault.pc).text}`} (${fault.from})`;
  if (fault.address === null)
    evidence.fact(claim, fault.sp === null ? 'undetermined' : 'true', '.bugcheck', fault.from);
  else evidence.memory(claim, 'true', fault.address, fault.length, `.trap ${argument(target, fault.address)}`);
  if (stack !== null && fault.sp !== null)
    evidence.fact(
      `that is inside the ${stack.kind} stack ${address(target, stack.limit)}..${address(target, stack.base)}, 0x${(fault.sp - stack.limit).toString(16)} above its limit: it did not run out`,
      'true',
      null,
      stack.source,
    );
  const culprit = culpritOn(diagnosis, fault.registers, evidence, 'faulting code');
  const site = fault.pc === null ? '' : ` at ${target.nameOf(fault.pc).text}`;
  return {
    verdict: 'double-fault',
    confidence: fault.sp === null ? 'possible' : 'strong',
    title: `Double fault${site}${stack === null ? '' : ', with room on the stack'}`,
    summary: [
      fault.sp === null
        ? 'A fault could not be delivered; the context of the first one was not found, so whether the stack ran out is not known.'
        : stack === null
          ? `A fault could not be delivered; sp was ${address(target, fault.sp)}, in no known stack: the stack pointer itself is bad.`
          : 'A fault could not be delivered although the stack had room: a corrupt stack, descriptor or page table, or hardware.',
    ],
    blame: culprit.blame,
    wouldChange: ['an sp at or below the limit of its stack'],
  };
}
