import { type Memory, va } from '@dumpscope/core';
import { type ArmCode, type ArmUnwindData, instructionsOf, readArmUnwindData } from './arm64-unwind-data.ts';
import type { FunctionLookup, RegisterMap, Step, UnwindPorts } from './ports.ts';

type Entry = Extract<FunctionLookup, { kind: 'entry' }>;

function registerName(number: number): string {
  return number === 29 ? 'fp' : number === 30 ? 'lr' : `x${number}`;
}

/** Removes a pointer authentication code: bit 55 says to which half the pointer belongs, all above 48 bits repeat it. */
export function stripPac(address: bigint): bigint {
  const low = (1n << 48n) - 1n;
  return BigInt.asUintN(64, (address >> 55n) & 1n ? address | ~low : address & low);
}

/** Codes to execute for a position, and how many of their instructions are to be skipped. */
function selectCodes(data: ArmUnwindData, offset: number): readonly ArmCode[] {
  const from = (index: number): ArmCode[] =>
    data.codes.filter((entry) => entry.index >= index).map((entry) => entry.code);
  const scopeSize = (codes: readonly ArmCode[]): number => {
    let size = 0;
    for (const code of codes) {
      if (code.op === 'end' || code.op === 'end-c') break;
      size += instructionsOf(code);
    }
    return size;
  };
  const skip = (codes: readonly ArmCode[], count: number): readonly ArmCode[] => {
    let i = 0;
    for (; i < codes.length && count > 0; i++) {
      const code = codes[i];
      if (code === undefined || code.op === 'end' || code.op === 'end-c') break;
      count--;
    }
    return codes.slice(i);
  };
  const prolog = from(0);
  const at = offset / 4;
  if (data.hasProlog) {
    const size = scopeSize(prolog);
    if (at < size) return skip(prolog, size - at);
  }
  if (data.tailEpilog !== null) {
    const codes = from(data.tailEpilog);
    const start = data.functionLength / 4 - (scopeSize(codes) + 1);
    if (at >= start) return skip(codes, at - start);
  }
  for (const epilog of data.epilogs) {
    if (offset < epilog.start) break;
    const codes = from(epilog.index);
    const within = (offset - epilog.start) / 4;
    if (within < scopeSize(codes) + 1) return skip(codes, within);
  }
  return prolog;
}

interface State {
  readonly memory: Memory;
  readonly values: RegisterMap;
  sp: bigint;
  lrSlot: bigint | null;
}

function restore(state: State, first: number, count: number, offset: number): string | null {
  if (first + count > 31) return `unwind code names register ${first + count - 1}`;
  let address = offset >= 0 ? state.sp + BigInt(offset) : state.sp;
  for (let i = 0; i < count; i++) {
    const value = state.memory.u64(address);
    const number = first + i;
    if (value === undefined) {
      if (number >= 29) return `the saved ${registerName(number)} at ${address.toString(16)} cannot be read`;
      state.values.delete(registerName(number));
    } else state.values.set(registerName(number), value);
    if (number === 30) state.lrSlot = address;
    address += 8n;
  }
  if (offset < 0) state.sp = BigInt.asUintN(64, state.sp - BigInt(offset));
  return null;
}

const TRAP_X = 0xa0n;

/** Undoes one ARM64 function by its packed or full unwind data. */
export function unwindArm64(ports: UnwindPorts, entry: Entry, registers: RegisterMap, interrupted: boolean): Step {
  const pc = registers.get('pc') ?? 0n;
  let unwindData = entry.unwindData;
  let offset = Number(pc - entry.imageBase) - entry.begin;
  // Flag 3: a fragment that names its parent's entry; all of the parent's prologue has run.
  if ((unwindData & 3) === 3) {
    const parent = ports.memory.u32(entry.imageBase + BigInt((unwindData & ~3) >>> 0) + 4n);
    if (parent === undefined) return { kind: 'end', reason: 'unreadable', text: 'a parent entry cannot be read' };
    unwindData = parent;
    offset = Number.MAX_SAFE_INTEGER - 3;
  }
  const data = readArmUnwindData(ports.memory, entry.imageBase, unwindData);
  if (typeof data === 'string')
    return { kind: 'end', reason: data.includes('cannot be read') ? 'unreadable' : 'bad-unwind-data', text: data };
  const inBody = !interrupted || offset > data.functionLength;
  const codes = inBody ? data.codes.map((entry) => entry.code) : selectCodes(data, offset);
  const state: State = {
    memory: ports.memory,
    values: new Map(registers),
    sp: registers.get('sp') ?? 0n,
    lrSlot: null,
  };
  let next = 0;
  for (const code of codes) {
    let trouble: string | null = null;
    switch (code.op) {
      case 'alloc':
        state.sp = BigInt.asUintN(64, state.sp + BigInt(code.size));
        break;
      case 'save':
        trouble = restore(state, code.first, code.count === 2 ? 2 + 2 * next : code.count, code.offset);
        next = 0;
        break;
      case 'save-lr-pair':
        trouble = restore(state, code.first, 1, code.offset) ?? restore(state, 30, 1, code.offset + 8);
        break;
      case 'save-fp':
        if (code.offset < 0) state.sp = BigInt.asUintN(64, state.sp - BigInt(code.offset));
        next = 0;
        break;
      case 'save-next':
        next++;
        break;
      case 'set-fp':
      case 'add-fp': {
        const fp = state.values.get('fp');
        if (fp === undefined) trouble = 'the frame pointer is not known';
        else state.sp = BigInt.asUintN(64, fp - BigInt(code.op === 'add-fp' ? code.offset : 0));
        break;
      }
      case 'pac-sign-lr': {
        const lr = state.values.get('lr');
        if (lr !== undefined) state.values.set('lr', stripPac(lr));
        break;
      }
      case 'trap-frame':
        return throughTrapFrame(ports.memory, state);
      case 'machine-frame': {
        const sp = ports.memory.u64(state.sp);
        const at = ports.memory.u64(state.sp + 8n);
        if (sp === undefined || at === undefined) trouble = 'the machine frame cannot be read';
        else return arrive(state, at, sp, null, true);
        break;
      }
      case 'context':
        return throughContext(ports.memory, state);
      case 'clear-unwound-to-call': {
        const lr = state.values.get('lr');
        if (lr === undefined) trouble = 'lr is not known';
        else return arrive(state, lr, state.sp, null, true);
        break;
      }
      case 'invalid':
        return {
          kind: 'end',
          reason: 'bad-unwind-data',
          text: `unwind code ${code.byte.toString(16)} is not known`,
        };
      default:
        break;
    }
    if (trouble !== null) return { kind: 'end', reason: 'unreadable', text: trouble };
    if (code.op === 'end') break;
  }
  const lr = state.values.get('lr');
  if (lr === undefined) return { kind: 'end', reason: 'unreadable', text: 'the return address (lr) is not known' };
  return arrive(state, lr, state.sp, null, false);
}

function arrive(state: State, pc: bigint, sp: bigint, trapFrame: bigint | null, interrupted: boolean): Step {
  if (!interrupted) {
    // x0..x18 belong to the callee; lr is only known again once the caller's own save is undone.
    for (let i = 0; i <= 18; i++) state.values.delete(`x${i}`);
    state.values.delete('psr');
    state.values.delete('lr');
  }
  state.values.set('pc', interrupted ? pc : stripPac(pc));
  state.values.set('sp', sp);
  return {
    kind: 'caller',
    registers: state.values,
    trust: trapFrame === null ? 'unwind-data' : 'trap-frame',
    returnSlot: interrupted ? null : state.lrSlot,
    trapFrame,
    interrupted,
  };
}

function throughTrapFrame(memory: Memory, state: State): Step {
  const frame = state.sp;
  const bytes = memory.bytes(frame, 0x150);
  if (bytes === undefined)
    return { kind: 'end', reason: 'unreadable', text: `the trap frame at ${frame.toString(16)} cannot be read` };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < 19; i++) state.values.set(`x${i}`, view.getBigUint64(Number(TRAP_X) + i * 8, true));
  state.values.set('lr', view.getBigUint64(0x138, true));
  state.values.set('fp', view.getBigUint64(0x140, true));
  state.values.set('psr', BigInt(view.getUint32(0x90, true)));
  return arrive(state, view.getBigUint64(0x148, true), view.getBigUint64(0x98, true), frame, true);
}

function throughContext(memory: Memory, state: State): Step {
  const frame = state.sp;
  const bytes = memory.bytes(frame, 0x110);
  if (bytes === undefined)
    return { kind: 'end', reason: 'unreadable', text: `the context record at ${frame.toString(16)} cannot be read` };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < 29; i++) state.values.set(`x${i}`, view.getBigUint64(8 + i * 8, true));
  state.values.set('fp', view.getBigUint64(0xf0, true));
  state.values.set('lr', view.getBigUint64(0xf8, true));
  state.values.set('psr', BigInt(view.getUint32(4, true)));
  return arrive(state, view.getBigUint64(0x108, true), view.getBigUint64(0x100, true), null, true);
}

/** A function without entry: the caller is in lr, nothing was saved. */
export function leafArm64(registers: RegisterMap): Step {
  const lr = registers.get('lr');
  if (lr === undefined) return { kind: 'end', reason: 'no-return-address', text: 'lr is not known in a leaf function' };
  const values = new Map(registers);
  for (let i = 0; i <= 18; i++) values.delete(`x${i}`);
  values.delete('psr');
  values.delete('lr');
  values.set('pc', va(stripPac(lr)));
  return { kind: 'caller', registers: values, trust: 'leaf', returnSlot: null, trapFrame: null, interrupted: false };
}
