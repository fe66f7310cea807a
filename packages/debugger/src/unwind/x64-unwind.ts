import type { Memory } from '@dumpscope/core';
import type { FunctionLookup, RegisterMap, Step, UnwindPorts } from './ports.ts';
import { parseEpilogue } from './x64-epilogue.ts';
import { readUnwindInfo, type UnwindInfo, uwop, x64RegisterNames } from './x64-unwind-info.ts';

/** Chains are two or three deep in practice. */
const MAX_CHAIN = 32;

/** A callee may change these: in its caller they are not known. */
const VOLATILE: readonly string[] = ['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11', 'efl'];

type Entry = Extract<FunctionLookup, { kind: 'entry' }>;

function reg(values: RegisterMap, number: number): bigint | undefined {
  return values.get(x64RegisterNames[number] ?? '');
}

function wrap(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

/**
 * The RIP slot of a machine frame tells where a KTRAP_FRAME begins, when it is one: Rip is its last quarter, at +0x168.
 * A stack switch pushes the same five words without a trap frame around them, so the selectors and flags must be those
 * of an interrupt.
 */
export function trapFrameOfMachineFrame(memory: Memory, ripSlot: bigint): bigint | null {
  const cs = memory.u64(ripSlot + 8n);
  const flags = memory.u64(ripSlot + 16n);
  const ss = memory.u64(ripSlot + 32n);
  if (cs === undefined || flags === undefined || ss === undefined) return null;
  const selector = cs & 0xffffn;
  if (selector !== 0x10n && selector !== 0x33n && selector !== 0x23n) return null;
  if ((flags & 0x2n) === 0n || (flags & 0xff008028n) !== 0n) return null;
  const stack = ss & 0xffffn;
  if (stack !== 0x18n && stack !== 0x2bn && stack !== 0n) return null;
  return wrap(ripSlot - 0x168n);
}

interface Undo {
  values: RegisterMap;
  sp: bigint;
  /** Slot of RIP in a machine frame; null for an ordinary return. */
  machineFrame: bigint | null;
}

function applyCodes(memory: Memory, info: UnwindInfo, from: number, state: Undo, frame: bigint): string | null {
  for (const code of info.codes) {
    if (code.offset > from) continue;
    switch (code.op) {
      case uwop.pushNonvol: {
        const value = memory.u64(state.sp);
        if (value === undefined) return `the saved ${x64RegisterNames[code.info]} cannot be read`;
        state.values.set(x64RegisterNames[code.info] ?? '', value);
        state.sp = wrap(state.sp + 8n);
        break;
      }
      case uwop.allocLarge:
      case uwop.allocSmall:
        state.sp = wrap(state.sp + BigInt(code.operand));
        break;
      case uwop.setFpreg: {
        const base = reg(state.values, info.frameRegister);
        if (base === undefined) return `the frame register ${x64RegisterNames[info.frameRegister]} is not known`;
        state.sp = wrap(base - BigInt(info.frameOffset));
        break;
      }
      case uwop.saveNonvol:
      case uwop.saveNonvolFar: {
        const value = memory.u64(wrap(frame + BigInt(code.operand)));
        // A lost register is unknown from here on, the walk itself does not need it.
        if (value === undefined) state.values.delete(x64RegisterNames[code.info] ?? '');
        else state.values.set(x64RegisterNames[code.info] ?? '', value);
        break;
      }
      case uwop.pushMachframe:
        state.machineFrame = wrap(state.sp + (code.info ? 8n : 0n));
        break;
      default:
        break; // XMM saves and version 1's old XMM codes: no general register
    }
  }
  return null;
}

function frameBase(info: UnwindInfo, values: RegisterMap, sp: bigint, offset: number, chained: boolean): bigint | null {
  if (info.frameRegister === 0) return sp;
  const set = info.codes.some((code) => code.op === uwop.setFpreg && code.offset <= offset);
  if (!set && !chained && offset < info.prologSize) return sp;
  const base = reg(values, info.frameRegister);
  return base === undefined ? null : wrap(base - BigInt(info.frameOffset));
}

/** The function that an entry belongs to: the begin at the end of its chain; null where that cannot be read. */
function primaryOf(ports: UnwindPorts, entry: Entry): number | null {
  let { begin, unwindData } = entry;
  for (let depth = 0; depth <= MAX_CHAIN && (unwindData & 1) === 0; depth++) {
    const info = unwindInfoOf(ports, entry.imageBase, unwindData);
    if (typeof info === 'string') return null;
    if (info.chained === null) return begin;
    ({ begin, unwindData } = info.chained);
  }
  return null;
}

/** Whether a jump out of this piece leads into another piece of the same function: a cold chunk, no tail call. */
function isSameFunction(ports: UnwindPorts, entry: Entry, target: number): boolean {
  const other = ports.lookup(wrap(entry.imageBase + BigInt(target)));
  if (other.kind !== 'entry') return false;
  const own = primaryOf(ports, entry);
  return own !== null && own === primaryOf(ports, other);
}

function unwindInfoOf(ports: UnwindPorts, imageBase: Entry['imageBase'], rva: number): UnwindInfo | string {
  return ports.unwindInfo?.(imageBase, rva) ?? readUnwindInfo(ports.memory, imageBase, rva);
}

/** In version 1 code, whether pc is inside an epilogue is read from the instructions. */
function actOutEpilogue(ports: UnwindPorts, entry: Entry, info: UnwindInfo, pc: bigint, state: Undo): boolean {
  // Triage dumps hold code in fragments: whatever is there up to 64 bytes.
  const bytes = ports.memory.prefix(pc, 64);
  if (bytes.length === 0) return false;
  const at = Number(pc - entry.imageBase);
  const actions = parseEpilogue(bytes, info.frameRegister, (offset) => {
    const target = at + offset;
    // A jump to the function's own first byte is recursion by tail call.
    if (target >= entry.begin && target < entry.end) return target === entry.begin && info.chained === null;
    return !isSameFunction(ports, entry, target);
  });
  if (actions === null) return false;
  const values: RegisterMap = new Map(state.values);
  let sp = state.sp;
  for (const action of actions) {
    if (action.kind === 'add') sp = wrap(sp + BigInt(action.amount));
    else if (action.kind === 'lea') {
      const base = reg(values, action.register);
      if (base === undefined) return false;
      sp = wrap(base + BigInt(action.displacement));
    } else {
      const value = ports.memory.u64(sp);
      if (value === undefined) return false;
      values.set(x64RegisterNames[action.register] ?? '', value);
      sp = wrap(sp + 8n);
    }
  }
  state.values = values;
  state.sp = sp;
  return true;
}

/**
 * Undoes one x64 function by its unwind data. `interrupted`: pc is the next instruction itself (a context or trap
 * frame), not a return address, so that prologue and epilogue positions count.
 */
export function unwindX64(ports: UnwindPorts, entry: Entry, registers: RegisterMap, interrupted: boolean): Step {
  const pc = registers.get('rip') ?? 0n;
  const sp = registers.get('rsp') ?? 0n;
  const state: Undo = { values: new Map(registers), sp, machineFrame: null };
  let current = { begin: entry.begin, unwindData: entry.unwindData };
  // Bit 0: the entry points at another entry.
  if (current.unwindData & 1) {
    const other = ports.memory.bytes(entry.imageBase + BigInt(current.unwindData & ~1), 12);
    if (other === undefined)
      return { kind: 'end', reason: 'unreadable', text: 'an indirect function entry cannot be read' };
    const view = new DataView(other.buffer, other.byteOffset, 12);
    current = { begin: view.getUint32(0, true), unwindData: view.getUint32(8, true) };
  }
  let offset = Number(pc - entry.imageBase) - current.begin;
  for (let depth = 0; ; depth++) {
    if (depth > MAX_CHAIN)
      return { kind: 'end', reason: 'bad-unwind-data', text: 'the chain of unwind data does not end' };
    const info = unwindInfoOf(ports, entry.imageBase, current.unwindData);
    if (typeof info === 'string')
      return { kind: 'end', reason: info.includes('cannot be read') ? 'unreadable' : 'bad-unwind-data', text: info };
    const frame = frameBase(info, state.values, state.sp, offset, depth > 0);
    if (frame === null)
      return {
        kind: 'end',
        reason: 'unreadable',
        text: `the frame register ${x64RegisterNames[info.frameRegister]} is not known`,
      };
    // Compilers that save registers late (shrink-wrapping) put early returns, epilogue and all, before the prologue's end:
    // seen in OpenConsole.exe, whose prologue of 6a bytes holds one.
    if (depth === 0 && interrupted && actOutEpilogue(ports, entry, info, pc, state)) break;
    const trouble = applyCodes(ports.memory, info, depth === 0 ? offset : 0xff, state, frame);
    if (trouble !== null) return { kind: 'end', reason: 'unreadable', text: trouble };
    if (info.chained === null || state.machineFrame !== null) break;
    current = info.chained;
    offset = 0xff;
  }
  return finish(ports.memory, state);
}

function finish(memory: Memory, state: Undo): Step {
  if (state.machineFrame === null) {
    const ret = memory.u64(state.sp);
    if (ret === undefined)
      return {
        kind: 'end',
        reason: 'unreadable',
        text: `the return address at ${state.sp.toString(16)} cannot be read`,
      };
    const values = new Map(state.values);
    for (const name of VOLATILE) values.delete(name);
    values.set('rip', ret);
    values.set('rsp', wrap(state.sp + 8n));
    return {
      kind: 'caller',
      registers: values,
      trust: 'unwind-data',
      returnSlot: state.sp,
      trapFrame: null,
      interrupted: false,
    };
  }
  const slot = state.machineFrame;
  const rip = memory.u64(slot);
  const rsp = memory.u64(slot + 24n);
  if (rip === undefined || rsp === undefined)
    return { kind: 'end', reason: 'unreadable', text: `the machine frame at ${slot.toString(16)} cannot be read` };
  const values = new Map(state.values);
  const trapFrame = trapFrameOfMachineFrame(memory, slot);
  if (trapFrame !== null) {
    addVolatiles(memory, trapFrame, values);
  }
  values.set('rip', rip);
  values.set('rsp', rsp);
  return {
    kind: 'caller',
    registers: values,
    trust: trapFrame === null ? 'unwind-data' : 'trap-frame',
    returnSlot: null,
    trapFrame,
    interrupted: trapFrame !== null,
  };
}

/** Registers that only the trap frame keeps: volatile ones, flags, selectors. */
function addVolatiles(memory: Memory, trapFrame: bigint, values: RegisterMap): void {
  const bytes = memory.bytes(trapFrame + 0x30n, 0x38);
  if (bytes !== undefined) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const names = ['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11'];
    for (let i = 0; i < names.length; i++) values.set(names[i] ?? '', view.getBigUint64(i * 8, true));
  } else for (const name of ['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11']) values.delete(name);
  const cs = memory.u16(trapFrame + 0x170n);
  const flags = memory.u32(trapFrame + 0x178n);
  const ss = memory.u16(trapFrame + 0x188n);
  if (cs !== undefined) values.set('cs', BigInt(cs));
  if (flags !== undefined) values.set('efl', BigInt(flags));
  if (ss !== undefined) values.set('ss', BigInt(ss));
}
