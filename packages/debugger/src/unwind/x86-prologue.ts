import { va } from '@dumpscope/core';
import type { CodeReader, Disassembler, Instruction } from '@dumpscope/cpu';

/** What a function has done with a preserved register of its caller. */
export interface X86Preserved {
  /** Bytes below the return address at which the caller's value was saved, by register. */
  readonly saved: ReadonlyMap<string, number>;
  /** Registers that were written without having been saved: the caller's value is gone. */
  readonly lost: ReadonlySet<string>;
}

/** Where a function's return address lies at one of its instructions, found by following its code from the start. */
export type X86FrameState = X86Preserved &
  (
    | /** Return address at esp + depth; ebp is still the caller's, or saved at esp + savedEbp. */
    { readonly kind: 'depth'; readonly depth: number; readonly savedEbp: number | null }
    /** `push ebp; mov ebp,esp` has run: the return address is at ebp + 4. */
    | { readonly kind: 'ebp-frame' }
  );

/** Bytes of arguments that the callee of a call pops; null where that cannot be told. */
export type CalleePops = (call: Instruction) => number | null;

/** Registers besides ebp that a function gives back as it found them (x86 calling conventions of Windows). */
export const PRESERVED_X86: readonly string[] = ['ebx', 'esi', 'edi'];

/** Instructions looked at before giving up. */
const MAX_INSTRUCTIONS = 2000;
const MAX_DISTANCE = 0x4000;

interface State {
  readonly depth: number;
  /** Depth just after `push ebp`, or null. */
  readonly pushedEbp: number | null;
  readonly frame: boolean;
  readonly saved: ReadonlyMap<string, number>;
  readonly lost: ReadonlySet<string>;
}

const START: State = { depth: 0, pushedEbp: null, frame: false, saved: new Map(), lost: new Set() };

function withSaved(state: State, register: string, depth: number): State {
  return { ...state, saved: new Map([...state.saved, [register, depth]]) };
}

/** Follows ebx, esi and edi: first stores of the caller's values, restores, and writes. */
function preserve(instruction: Instruction, state: State): State {
  const [to, from] = instruction.operands;
  const untouched = (register: string): boolean =>
    PRESERVED_X86.includes(register) && !state.saved.has(register) && !state.lost.has(register);
  if (instruction.mnemonic === 'push' && to?.kind === 'register' && untouched(to.register))
    return withSaved(state, to.register, state.depth + 4);
  if (
    instruction.mnemonic === 'mov' &&
    to?.kind === 'memory' &&
    from?.kind === 'register' &&
    untouched(from.register)
  ) {
    const { base, index, displacement } = to;
    const offset = Number(BigInt.asIntN(32, displacement));
    if (index !== null) return state;
    if (base === 'esp') return withSaved(state, from.register, state.depth - offset);
    if (base === 'ebp' && state.frame && state.pushedEbp !== null)
      return withSaved(state, from.register, state.pushedEbp - offset);
    return state;
  }
  if (instruction.mnemonic === 'pop' && to?.kind === 'register' && state.saved.get(to.register) === state.depth) {
    const saved = new Map(state.saved);
    saved.delete(to.register);
    return { ...state, saved };
  }
  const lost = PRESERVED_X86.filter((register) => untouched(register) && instruction.writes.includes(register));
  return lost.length === 0 ? state : { ...state, lost: new Set([...state.lost, ...lost]) };
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
      if (isRegister(instruction, 0, 'ebp')) return { ...state, depth: state.depth - 4, pushedEbp: null, frame: false };
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
        ? { ...state, depth: state.pushedEbp - 4, pushedEbp: null, frame: false }
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

/** Bytes that the function at `start` pops when it returns (`ret n`); null where no return is found. */
export function poppedBy(disassembler: Disassembler, code: CodeReader, start: bigint): number | null {
  const work = [start];
  const seen = new Set<bigint>();
  for (let count = 0; count < MAX_INSTRUCTIONS; count++) {
    const address = work.pop();
    if (address === undefined) return null;
    if (seen.has(address) || address < start - BigInt(MAX_DISTANCE) || address > start + BigInt(MAX_DISTANCE)) continue;
    seen.add(address);
    const instruction = decodeAt(disassembler, code, address);
    if (instruction === null || instruction.flow === 'exception' || instruction.flow === 'indirect-jump') continue;
    if (instruction.flow === 'return') {
      const [operand] = instruction.operands;
      return operand?.kind === 'immediate' ? Number(operand.value) : 0;
    }
    const { target } = instruction;
    if ((instruction.flow === 'jump' || instruction.flow === 'conditional') && target !== null) work.push(target);
    if (instruction.flow !== 'jump') work.push((address + BigInt(instruction.length)) & 0xffffffffn);
  }
  return null;
}

function decodeAt(disassembler: Disassembler, code: CodeReader, address: bigint): Instruction | null {
  let bytes: Uint8Array | null = null;
  for (let length = 15; length > 0 && bytes === null; length--) bytes = code(va(address), length);
  const instruction = bytes === null ? null : disassembler.decode(bytes, 0, va(address));
  return instruction?.valid === true ? instruction : null;
}

/**
 * Follows the function at `start` to `pc`, all paths, and says what its stack looks like there. Null where it cannot be
 * told: code missing, pc not reached, or a call of which `calleePops` does not know what it pops lies on the way.
 */
export function x86FrameAt(
  disassembler: Disassembler,
  code: CodeReader,
  start: bigint,
  pc: bigint,
  calleePops: CalleePops = () => null,
): X86FrameState | null {
  const work: { address: bigint; state: State }[] = [{ address: start, state: START }];
  const seen = new Set<bigint>();
  for (let count = 0; count < MAX_INSTRUCTIONS; count++) {
    const item = work.pop();
    if (item === undefined) return null;
    let { address, state } = item;
    if (seen.has(address)) continue;
    seen.add(address);
    if (address === pc) {
      const { saved, lost } = state;
      if (state.frame) return { kind: 'ebp-frame', saved, lost };
      if (state.depth < 0) return null;
      return {
        kind: 'depth',
        saved,
        lost,
        depth: state.depth,
        savedEbp: state.pushedEbp === null ? null : state.depth - state.pushedEbp,
      };
    }
    if (address < start - BigInt(MAX_DISTANCE) || address > start + BigInt(MAX_DISTANCE)) continue;
    const instruction = decodeAt(disassembler, code, address);
    if (instruction === null) continue;
    if (instruction.flow === 'return' || instruction.flow === 'indirect-jump' || instruction.flow === 'exception')
      continue;
    if (instruction.flow === 'call' || instruction.flow === 'indirect-call') {
      // The callee may pop its arguments: without knowing how many, only a frame pointer survives.
      const pops = calleePops(instruction);
      if (pops !== null) state = { ...state, depth: state.depth - pops };
      else if (!state.frame) continue;
    } else {
      const next = apply(instruction, preserve(instruction, state));
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
