import { va } from '@dumpscope/core';
import type { CodeReader, Disassembler, Instruction } from '@dumpscope/cpu';

/** Where a function's return address lies at one of its instructions, found by following its code from the start. */
export type X86FrameState =
  /** Return address at esp + depth; ebp is still the caller's, or saved at esp + savedEbp. */
  | { readonly kind: 'depth'; readonly depth: number; readonly savedEbp: number | null }
  /** `push ebp; mov ebp,esp` has run: the return address is at ebp + 4. */
  | { readonly kind: 'ebp-frame' };

/** Instructions looked at before giving up. */
const MAX_INSTRUCTIONS = 2000;
const MAX_DISTANCE = 0x4000;

interface State {
  readonly depth: number;
  /** Depth just after `push ebp`, or null. */
  readonly pushedEbp: number | null;
  readonly frame: boolean;
}

function immediateOf(instruction: Instruction): number | null {
  const operand = instruction.operands[1];
  return operand?.kind === 'immediate' ? Number(BigInt.asIntN(32, operand.value)) : null;
}

function isRegister(instruction: Instruction, index: number, name: string): boolean {
  const operand = instruction.operands[index];
  return operand?.kind === 'register' && operand.register === name;
}

/** Effect of one instruction; null where the depth can no longer be told. */
function apply(instruction: Instruction, state: State): State | null {
  const writesEsp = instruction.writes.includes('esp');
  switch (instruction.mnemonic) {
    case 'push':
    case 'pushfd':
      if (isRegister(instruction, 0, 'ebp') && state.pushedEbp === null)
        return { ...state, depth: state.depth + 4, pushedEbp: state.depth + 4 };
      return { ...state, depth: state.depth + 4 };
    case 'pop':
    case 'popfd':
      if (isRegister(instruction, 0, 'ebp')) return { depth: state.depth - 4, pushedEbp: null, frame: false };
      return isRegister(instruction, 0, 'esp') ? null : { ...state, depth: state.depth - 4 };
    case 'sub':
    case 'add': {
      if (!isRegister(instruction, 0, 'esp')) break;
      const amount = immediateOf(instruction);
      if (amount === null) return null;
      return { ...state, depth: state.depth + (instruction.mnemonic === 'sub' ? amount : -amount) };
    }
    case 'leave':
      return state.frame && state.pushedEbp !== null
        ? { depth: state.pushedEbp - 4, pushedEbp: null, frame: false }
        : null;
    case 'mov':
      if (isRegister(instruction, 0, 'ebp') && isRegister(instruction, 1, 'esp'))
        return state.pushedEbp === state.depth ? { ...state, frame: true } : null;
      if (isRegister(instruction, 0, 'esp') && isRegister(instruction, 1, 'ebp'))
        return state.frame && state.pushedEbp !== null ? { ...state, depth: state.pushedEbp } : null;
      break;
    default:
      break;
  }
  if (writesEsp) return state.frame ? state : null;
  return state;
}

/**
 * Follows the function at `start` to `pc`, all paths, and says what its stack looks like there. Null where it cannot be
 * told: code missing, pc not reached, or a call whose callee may pop arguments lies on the way.
 */
export function x86FrameAt(
  disassembler: Disassembler,
  code: CodeReader,
  start: bigint,
  pc: bigint,
): X86FrameState | null {
  const work: { address: bigint; state: State }[] = [
    { address: start, state: { depth: 0, pushedEbp: null, frame: false } },
  ];
  const seen = new Set<bigint>();
  for (let count = 0; count < MAX_INSTRUCTIONS; count++) {
    const item = work.pop();
    if (item === undefined) return null;
    let { address, state } = item;
    if (seen.has(address)) continue;
    seen.add(address);
    if (address === pc) {
      if (state.frame) return { kind: 'ebp-frame' };
      if (state.depth < 0) return null;
      return {
        kind: 'depth',
        depth: state.depth,
        savedEbp: state.pushedEbp === null ? null : state.depth - state.pushedEbp,
      };
    }
    if (address < start - BigInt(MAX_DISTANCE) || address > start + BigInt(MAX_DISTANCE)) continue;
    let bytes: Uint8Array | null = null;
    for (let length = 15; length > 0 && bytes === null; length--) bytes = code(va(address), length);
    if (bytes === null) continue;
    const instruction = disassembler.decode(bytes, 0, va(address));
    if (instruction === null || !instruction.valid) continue;
    if (instruction.flow === 'return' || instruction.flow === 'indirect-jump' || instruction.flow === 'exception')
      continue;
    if (instruction.flow === 'call' || instruction.flow === 'indirect-call') {
      // The callee may pop its arguments: only a frame pointer survives that knowledge gap.
      if (!state.frame) continue;
    } else {
      const next = apply(instruction, state);
      if (next === null) continue;
      state = next;
    }
    const after = (address + BigInt(instruction.length)) & 0xffffffffn;
    if (instruction.flow === 'jump') {
      if (instruction.target !== null) work.push({ address: instruction.target, state });
      continue;
    }
    if (instruction.flow === 'conditional' && instruction.target !== null)
      work.push({ address: instruction.target, state });
    work.push({ address: after, state });
  }
  return null;
}
