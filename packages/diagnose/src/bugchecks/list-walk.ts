/** A faulting access through the link register of a list: where the bad pointer came from, read off the code behind the fault. */
import { va } from '@dumpscope/core';
import type { Instruction } from '@dumpscope/cpu';
import type { Target } from '@dumpscope/debugger';

export interface ListWalk {
  /** Loads the register through itself: `mov rbx,[rbx]`. */
  readonly load: Instruction;
  /** Offset of the link in a node. */
  readonly offset: bigint;
  /** Goes back to the faulting instruction or a little above it. */
  readonly branch: Instruction;
  /** The register is tested against null between the two. */
  readonly endsAtNull: boolean;
}

const MAX_INSTRUCTIONS = 24;
const MAX_BODY = 0x200n;

/** Straight-line code from the fault: the register is reloaded through itself, then a branch goes back. Null otherwise. */
export function listWalk(target: Target, from: Instruction, register: string): ListWalk | null {
  const { disassembler, memory } = target;
  const bytes = memory.prefix(from.address, 0x80);
  let at = 0;
  let load: Instruction | null = null;
  let offset = 0n;
  let endsAtNull = false;
  for (let n = 0; n < MAX_INSTRUCTIONS && at < bytes.length; n++) {
    const instruction = disassembler.decode(bytes, at, va(from.address + BigInt(at)));
    if (instruction === null || !instruction.valid) return null;
    at += instruction.length;
    const [to, source] = instruction.operands;
    if (
      instruction.mnemonic === 'mov' &&
      to?.kind === 'register' &&
      to.register === register &&
      source?.kind === 'memory' &&
      source.base === register &&
      source.index === null
    ) {
      load = instruction;
      offset = source.displacement;
    } else if (instruction.writes.includes(register)) return null;
    else if (
      load !== null &&
      instruction.mnemonic === 'test' &&
      instruction.operands.every((operand) => operand.kind === 'register' && operand.register === register)
    )
      endsAtNull = true;
    const back = instruction.target;
    if (load !== null && back !== null && back <= from.address && from.address - back < MAX_BODY) {
      if (instruction.flow === 'conditional' || instruction.flow === 'jump')
        return { load, offset, branch: instruction, endsAtNull };
    }
    if (instruction.flow !== 'next' && instruction.flow !== 'conditional') return null;
  }
  return null;
}
