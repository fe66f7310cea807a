import { type Va, va } from '@dumpscope/core';
import type { Instruction, MemoryOperand } from '@dumpscope/cpu';
import type { Registers } from '../../target/model.ts';
import { registerByName } from './registers-by-name.ts';

/** Address of a memory operand on these registers; null where a register is not known (fs/gs bases are not either). */
export function effectiveAddress(operand: MemoryOperand, registers: Registers): Va | null {
  if ((operand.segment === 'fs' || operand.segment === 'gs') && !operand.ripRelative) return null;
  let sum = operand.displacement;
  for (const [name, scale] of [
    [operand.base, 1],
    [operand.index, operand.scale],
  ] as const) {
    if (name === null) continue;
    const value = registerByName(registers, name)?.value;
    if (value === undefined) return null;
    sum += value * BigInt(scale);
  }
  return va(BigInt.asUintN(operand.addressSize * 8, sum));
}

/** The operand whose address and value the debugger shows beside the current instruction: the first that is accessed. */
export function shownOperand(instruction: Instruction): MemoryOperand | null {
  const explicit = instruction.operands.find((o): o is MemoryOperand => o.kind === 'memory' && o.size > 0);
  if (explicit !== undefined) return explicit;
  const implicit = instruction.memory.find((m) => m.access !== 'none' && m.operand.size > 0);
  // push, pop, call and ret show nothing in WinDbg.
  if (implicit === undefined || /^(?:push|pop|call|ret|leave|enter|iret|int)/.test(instruction.mnemonic)) return null;
  return implicit.operand;
}
