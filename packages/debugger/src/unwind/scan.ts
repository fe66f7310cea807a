import type { RegisterMap, Step, UnwindPorts } from './ports.ts';
import { checkReturn } from './return-check.ts';
import { machineShapeX64, readSpan, trapShapeArm64, trapShapeX64 } from './trap-shape.ts';

/**
 * The last resort on x64 and ARM64: the next word of the stack that can be a return address. Where code is in the dump
 * a call must precede it, where it is not, the alignment that the calling convention forces must fit: RSP is a multiple
 * of 16 at every call, so return addresses lie at 8 mod 16 (checked on the 31-frame samples of a real watchdog
 * profile); ARM64 stores lr in the upper half of an aligned <fp,lr> pair.
 */

/** Bytes scanned when the end of the stack is not known. */
const BLIND = 0x2000n;
/** Largest kernel stack scanned (large stacks are 72 KB). */
const MOST = 0x20000n;

function afterScan(registers: RegisterMap, arch: 'x64' | 'arm64', slot: bigint, value: bigint): RegisterMap {
  // A scan recovers no register but pc and sp.
  const values: RegisterMap = new Map();
  for (const name of ['cs', 'ss']) {
    const kept = registers.get(name);
    if (kept !== undefined) values.set(name, kept);
  }
  values.set(arch === 'x64' ? 'rip' : 'pc', value);
  values.set(arch === 'x64' ? 'rsp' : 'sp', slot + 8n);
  return values;
}

function windowOf(ports: UnwindPorts, sp: bigint): { low: bigint; high: bigint; known: boolean } {
  const bounds = ports.stackBounds(sp);
  const low = sp & ~7n;
  if (bounds === null) return { low, high: low + BLIND, known: false };
  return { low, high: bounds.base - low > MOST ? low + MOST : bounds.base, known: true };
}

/** Next frame of an x64 stack without unwind data. */
export function scanX64(ports: UnwindPorts, registers: RegisterMap, interrupted: boolean): Step {
  const sp = registers.get('rsp') ?? 0n;
  const pc = registers.get('rip') ?? 0n;
  // The handlers of interrupts and traps keep their KTRAP_FRAME right at RSP.
  if (!interrupted && trapShapeX64(ports, sp) !== null) {
    const rip = ports.memory.u64(sp + 0x168n);
    const rsp = ports.memory.u64(sp + 0x180n);
    if (rip !== undefined && rsp !== undefined) return throughMachine(ports, registers, sp + 0x168n, rip, rsp);
  }
  const { low, high, known } = windowOf(ports, sp);
  const bytes = readSpan(ports.memory, low, high);
  if (bytes.length < 8)
    return { kind: 'end', reason: 'unreadable', text: `the stack at ${sp.toString(16)} cannot be read` };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let second: Step | null = null;
  for (let i = (low & 8n) === 0n ? 8 : 0; i + 8 <= bytes.length; i += 16) {
    // Kernel addresses have their upper half in the high word: everything else is skipped without a bigint.
    const upper = view.getUint32(i + 4, true);
    const cs = i + 0x28 <= bytes.length ? view.getUint16(i + 8, true) : 0;
    if (cs === 0x10 || cs === 0x33 || cs === 0x23) {
      const machine = machineShapeX64(ports, bytes, i);
      if (machine !== null) return throughMachine(ports, registers, low + BigInt(i), machine.rip, machine.rsp);
    }
    if (upper < 0xffff0000) continue;
    const value = view.getBigUint64(i, true);
    const quality = checkReturn(ports, 'x64', value, pc);
    if (quality === 'no') continue;
    const step: Step = {
      kind: 'caller',
      registers: afterScan(registers, 'x64', low + BigInt(i), value),
      trust: 'scan',
      returnSlot: low + BigInt(i),
      trapFrame: null,
      interrupted: false,
    };
    if (quality !== 'mismatch') return step;
    second ??= step;
  }
  if (second !== null) return second;
  if (low + BigInt(bytes.length) < high)
    return {
      kind: 'end',
      reason: 'unreadable',
      text: `the stack from ${(low + BigInt(bytes.length)).toString(16)} cannot be read`,
    };
  const link = known ? linkAtTop(ports, high) : null;
  if (link !== null) {
    const rip = ports.memory.u64(link + 0x168n);
    const rsp = ports.memory.u64(link + 0x180n);
    if (rip !== undefined && rsp !== undefined) return throughMachine(ports, registers, link + 0x168n, rip, rsp);
  }
  const back = known ? switchAtTop(ports, high) : null;
  if (back !== null && back.rsp !== sp) {
    const values = afterScan(registers, 'x64', back.rsp - 8n, back.rip);
    return { kind: 'caller', registers: values, trust: 'scan', returnSlot: null, trapFrame: null, interrupted: false };
  }
  return known
    ? { kind: 'end', reason: 'stack-base', text: `the stack ends at ${high.toString(16)}` }
    : { kind: 'end', reason: 'no-return-address', text: 'no further word of the stack is a return address' };
}

/**
 * A DPC stack begins with the machine frame that leads back to the stack it was entered from, selectors and flags 0
 * (19041: KiDispatchInterruptContinue, 28 bytes below the base, the thread's RSP at base - 10).
 */
function switchAtTop(ports: UnwindPorts, base: bigint): { rip: bigint; rsp: bigint } | null {
  const bytes = ports.memory.bytes(base - 0x28n, 0x28);
  if (bytes === undefined) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rip = view.getBigUint64(0, true);
  const rsp = view.getBigUint64(0x18, true);
  if (view.getBigUint64(8, true) !== 0n || view.getBigUint64(0x20, true) !== 0n) return null;
  if (rsp < 0xffff000000000000n || (rsp & 7n) !== 0n || (rsp < base && rsp >= base - MOST)) return null;
  return ports.place(rip) === 'code' ? { rip, rsp } : null;
}

/**
 * The interrupt stack starts with a pointer to the trap frame on the stack that was interrupted (19041: 16 bytes below
 * its base).
 */
function linkAtTop(ports: UnwindPorts, base: bigint): bigint | null {
  for (let slot = base - 8n; slot >= base - 0x40n; slot -= 8n) {
    const value = ports.memory.u64(slot);
    if (value === undefined || value < 0xffff000000000000n) continue;
    if (trapShapeX64(ports, value) !== null) return value;
  }
  return null;
}

function throughMachine(ports: UnwindPorts, registers: RegisterMap, slot: bigint, rip: bigint, rsp: bigint): Step {
  const address = slot - 0x168n;
  const values = new Map(registers);
  for (const name of ['rbx', 'rsi', 'rdi', 'r12', 'r13', 'r14', 'r15']) values.delete(name);
  const whole = ports.memory.bytes(address, 0x190);
  if (whole !== undefined) {
    const view = new DataView(whole.buffer, whole.byteOffset, whole.byteLength);
    const names = ['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11'];
    for (let i = 0; i < names.length; i++) values.set(names[i] ?? '', view.getBigUint64(0x30 + i * 8, true));
    values.set('rbp', view.getBigUint64(0x158, true));
    values.set('cs', BigInt(view.getUint16(0x170, true)));
    values.set('efl', BigInt(view.getUint32(0x178, true)));
    values.set('ss', BigInt(view.getUint16(0x188, true)));
  }
  values.set('rip', rip);
  values.set('rsp', rsp);
  return {
    kind: 'caller',
    registers: values,
    trust: 'trap-frame',
    returnSlot: null,
    trapFrame: address,
    interrupted: true,
  };
}

/** ARM64 without unwind data: the chain of <fp,lr> pairs, then a scan for such pairs. */
export function scanArm64(ports: UnwindPorts, registers: RegisterMap, interrupted: boolean): Step {
  const sp = registers.get('sp') ?? 0n;
  const pc = registers.get('pc') ?? 0n;
  const lr = registers.get('lr');
  if (interrupted && lr !== undefined && checkReturn(ports, 'arm64', lr, pc) === 'match') {
    // The call that set lr went to this function, which has not saved it yet (or never will: a leaf).
    const fp = registers.get('fp');
    const saved = fp === undefined ? undefined : ports.memory.u64(fp + 8n);
    if (saved !== lr) return chained(registers, lr, sp, fp ?? 0n, 'leaf', null);
  }
  const { low, high, known } = windowOf(ports, sp);
  const fp = registers.get('fp');
  if (fp !== undefined && fp >= sp && (fp & 7n) === 0n && fp + 16n <= high) {
    const next = ports.memory.u64(fp);
    const ret = ports.memory.u64(fp + 8n);
    if (next !== undefined && ret !== undefined) {
      if (ret === 0n) return { kind: 'end', reason: 'no-return-address', text: 'the chain of frames ends' };
      const quality = checkReturn(ports, 'arm64', ret, pc);
      if (quality !== 'no' && (next > fp || next === 0n))
        return chained(registers, ret, fp + 16n, next, 'frame-pointer', fp + 8n);
    }
  }
  const bytes = readSpan(ports.memory, low, high);
  if (bytes.length < 16)
    return { kind: 'end', reason: 'unreadable', text: `the stack at ${sp.toString(16)} cannot be read` };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i + 16 <= bytes.length; i += 16) {
    const at = low + BigInt(i);
    if (i + 0x150 <= bytes.length && view.getUint32(i + 0x4c + 0x100, true) >= 0xffff0000 && view.getUint8(i) <= 2) {
      const trap = trapShapeArm64(ports, at);
      if (trap !== null && !trap.userMode) return throughArmTrap(ports, registers, at);
    }
    if (view.getUint32(i + 12, true) < 0xffff0000) continue;
    const previous = view.getBigUint64(i, true);
    const ret = view.getBigUint64(i + 8, true);
    if (previous !== 0n && (previous <= at || previous >= high)) continue;
    if (checkReturn(ports, 'arm64', ret, pc) === 'no') continue;
    return chained(registers, ret, at + 16n, previous, 'scan', at + 8n);
  }
  return known
    ? { kind: 'end', reason: 'stack-base', text: `the stack ends at ${high.toString(16)}` }
    : { kind: 'end', reason: 'no-return-address', text: 'no further pair of the stack is a saved frame' };
}

function chained(
  registers: RegisterMap,
  ret: bigint,
  sp: bigint,
  fp: bigint,
  trust: 'leaf' | 'frame-pointer' | 'scan',
  slot: bigint | null,
): Step {
  const values: RegisterMap = new Map();
  if (trust === 'leaf') for (const [name, value] of registers) if (/^x(19|2\d)$/.test(name)) values.set(name, value);
  values.set('pc', ret);
  values.set('sp', sp);
  values.set('fp', fp);
  return { kind: 'caller', registers: values, trust, returnSlot: slot, trapFrame: null, interrupted: false };
}

function throughArmTrap(ports: UnwindPorts, registers: RegisterMap, address: bigint): Step {
  const bytes = ports.memory.bytes(address, 0x150);
  if (bytes === undefined)
    return { kind: 'end', reason: 'unreadable', text: `the trap frame at ${address.toString(16)} cannot be read` };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Map(registers);
  for (let i = 19; i <= 28; i++) values.delete(`x${i}`);
  for (let i = 0; i <= 18; i++) values.set(`x${i}`, view.getBigUint64(0xa0 + i * 8, true));
  values.set('lr', view.getBigUint64(0x138, true));
  values.set('fp', view.getBigUint64(0x140, true));
  values.set('pc', view.getBigUint64(0x148, true));
  values.set('sp', view.getBigUint64(0x98, true));
  values.set('psr', BigInt(view.getUint32(0x90, true)));
  return {
    kind: 'caller',
    registers: values,
    trust: 'trap-frame',
    returnSlot: null,
    trapFrame: address,
    interrupted: true,
  };
}
