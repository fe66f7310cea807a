/** Where a kernel stack ran out, whatever the bug check: a fault at its limit, a double fault, a failed check of the stack pointer. */
import type { Instruction } from '@dumpscope/cpu';
import type { Processor, Registers, StackRange } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { type DoubleFault, doubleFault } from './double-fault.ts';
import { faultView } from './fault-view.ts';
import { accessesOf } from './operand.ts';
import { overflowOf, type StackOverflow } from './stack-bounds.ts';

export interface OverflowAt {
  readonly overflow: StackOverflow;
  readonly registers: Registers | null;
  readonly pc: bigint | null;
  readonly processor: Processor | null;
  readonly thread: bigint | null;
  /** Context of 0x7F with 8. */
  readonly doubleFault: DoubleFault | null;
  readonly instruction: Instruction | null;
}

export const stackOverflowAt: FactKey<OverflowAt | null> = defineFact(
  'stack overflow',
  (diagnosis: Diagnosis) => atFault(diagnosis) ?? atDoubleFault(diagnosis) ?? atStackCheck(diagnosis),
);

function atFault(diagnosis: Diagnosis): OverflowAt | null {
  const view = diagnosis.fact(faultView);
  if (view?.category !== 'stack-overflow' || view.overflow === null) return null;
  const { fault, overflow } = view;
  const { registers, pc, processor, thread, instruction } = fault;
  return { overflow, registers, pc, processor, thread, doubleFault: null, instruction };
}

function bugchecking(diagnosis: Diagnosis): { processor: Processor | null; stacks: readonly StackRange[] } {
  const processor = diagnosis.target.processors.find((p) => p.contextTrust === 'bugchecking') ?? null;
  const stacks = (processor?.stacks ?? []).filter((stack) => stack.kind !== 'double-fault' && stack.kind !== 'nmi');
  return { processor, stacks };
}

/** 0x7F with 8. */
function atDoubleFault(diagnosis: Diagnosis): OverflowAt | null {
  const { target } = diagnosis;
  const { bugcheck } = target;
  if (bugcheck === null || bugcheck.baseCode !== 0x7f || bugcheck.parameters[0] !== 8n) return null;
  const { processor, stacks } = bugchecking(diagnosis);
  const fault = doubleFault(target, processor);
  const bytes = fault.pc === null ? new Uint8Array(0) : target.memory.prefix(fault.pc, target.disassembler.maxLength);
  const decoded =
    fault.pc === null || bytes.length === 0 ? null : target.disassembler.decode(bytes, 0, fault.pc as never);
  const instruction = decoded?.valid === true ? decoded : null;
  const accesses =
    instruction === null || fault.registers === null
      ? []
      : accessesOf(target, fault.registers, instruction, processor?.prcb ?? null);
  let overflow: StackOverflow | null = null;
  for (const access of accesses) {
    const found = overflowOf(target, stacks, fault.sp, access.address);
    if (found !== null && (overflow === null || found.by === 'access')) overflow = found;
  }
  overflow ??= overflowOf(target, stacks, fault.sp, null);
  if (overflow === null) return null;
  const { registers, pc } = fault;
  return {
    overflow,
    registers,
    pc,
    processor,
    thread: processor?.currentThread ?? null,
    doubleFault: fault,
    instruction,
  };
}

/** 0x1AA: parameter 1 is the stack pointer of an exception; 0x2B: parameter 1 is the trap frame of the stack switch. */
function atStackCheck(diagnosis: Diagnosis): OverflowAt | null {
  const { target } = diagnosis;
  const { bugcheck } = target;
  if (bugcheck === null || (bugcheck.baseCode !== 0x1aa && bugcheck.baseCode !== 0x2b)) return null;
  const { processor, stacks } = bugchecking(diagnosis);
  const [first] = bugcheck.parameters;
  const registers = bugcheck.baseCode === 0x2b ? target.trapFrame(first) : null;
  const sp = bugcheck.baseCode === 0x2b ? (registers?.sp ?? null) : first;
  const overflow = sp === null ? null : overflowOf(target, stacks, sp, null);
  if (overflow === null) return null;
  return {
    overflow,
    registers,
    pc: registers?.pc ?? null,
    processor,
    thread: processor?.currentThread ?? null,
    doubleFault: null,
    instruction: null,
  };
}
