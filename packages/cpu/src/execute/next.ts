import type { Instruction } from '../instruction.ts';

/** The address after an instruction. */
export function nextOf(instruction: Instruction, is64: boolean): bigint {
  return BigInt.asUintN(is64 ? 64 : 32, instruction.address + BigInt(instruction.length));
}
