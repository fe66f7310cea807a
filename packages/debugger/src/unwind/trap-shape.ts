import { type Memory, va } from '@dumpscope/core';
import type { UnwindPorts } from './ports.ts';

/** Trap frames known by their shape alone, for kernels without symbols or unwind data. */

export interface TrapShape {
  readonly address: bigint;
  readonly userMode: boolean;
  /** Fields that agreed, for reports. */
  readonly evidence: readonly string[];
}

/** EFLAGS: bit 1 set; bits 3, 5, 15 and those above ID (21) clear. */
function saneFlags(flags: number): boolean {
  return (flags & 0x2) !== 0 && (flags & 0xffc08028) === 0;
}

/**
 * KTRAP_FRAME of x86 at `address`: CS is 8 (kernel) or 1b (user), EFLAGS are sane, EIP is code of a module (kernel) or
 * below the user limit. XP's HAL leaves the data segments 0 when it interrupts kernel code, so they do not decide;
 * DbgEip and DbgArgMark (BADB0D00) support.
 */
export function trapShapeX86(ports: UnwindPorts, address: bigint): TrapShape | null {
  if (address === 0n || (address & 3n) !== 0n) return null;
  const bytes = ports.memory.bytes(address, 0x7c) ?? ports.memory.bytes(address, 0x74);
  if (bytes === undefined) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cs = view.getUint32(0x6c, true);
  const flags = view.getUint32(0x70, true);
  const eip = view.getUint32(0x68, true);
  const errCode = view.getUint32(0x64, true);
  if (!saneFlags(flags)) return null;
  const evidence: string[] = [`EFLAGS ${flags.toString(16)}`];
  const v86 = (flags & 0x20000) !== 0;
  const user = v86 || (cs & 0xffff) === 0x1b;
  if (!user && (cs & 0xffff) !== 8) return null;
  if (cs >>> 16 !== 0 && !v86) return null;
  evidence.push(`CS ${cs.toString(16)}`);
  if (user) {
    if (bytes.length < 0x7c) return null;
    const ss = view.getUint32(0x78, true) & 0xffff;
    if (!v86 && ss !== 0x23) return null;
    evidence.push(`SS ${ss.toString(16)}`);
  } else {
    if (ports.place(BigInt(eip)) !== 'code') return null;
    evidence.push('EIP in a module');
  }
  if (view.getUint32(8, true) === 0xbadb0d00) evidence.push('DbgArgMark');
  if (view.getUint32(4, true) === eip) evidence.push('DbgEip = EIP');
  const ebp = view.getUint32(0x60, true);
  if (view.getUint32(0, true) === ebp) evidence.push('DbgEbp = EBP');
  const fs = view.getUint32(0x50, true) & 0xffff;
  if (fs === 0x30 || fs === 0x3b) evidence.push(`FS ${fs.toString(16)}`);
  // Page-fault and protection error codes are 16 bits; interrupts push 0 (or, in newer kernels, their vector).
  if (errCode > 0xffff) return null;
  return { address, userMode: user, evidence };
}

/** KTRAP_FRAME of x64 by its last five words: Rip, SegCs, EFlags, Rsp, SegSs. */
export function trapShapeX64(ports: UnwindPorts, address: bigint): TrapShape | null {
  if (address === 0n || (address & 7n) !== 0n) return null;
  const bytes = ports.memory.bytes(address + 0x168n, 0x28);
  if (bytes === undefined) return null;
  const machine = machineShapeX64(ports, bytes, 0);
  if (machine === null) return null;
  const evidence = [...machine.evidence];
  const irql = ports.memory.u8(address + 0x29n);
  if (irql !== undefined) {
    if (irql > 15) return null;
    evidence.push(`PreviousIrql ${irql}`);
  }
  return { address, userMode: machine.userMode, evidence };
}

export interface MachineShape {
  readonly rip: bigint;
  readonly rsp: bigint;
  readonly userMode: boolean;
  readonly evidence: readonly string[];
}

/** The five words that the processor pushes on an x64 interrupt, at `bytes[at…]`. */
export function machineShapeX64(ports: UnwindPorts, bytes: Uint8Array, at: number): MachineShape | null {
  if (at + 0x28 > bytes.length) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Cheap tests first: the selectors are small numbers.
  const cs = view.getUint16(at + 8, true);
  if (cs !== 0x10 && cs !== 0x33 && cs !== 0x23) return null;
  const flags = view.getUint32(at + 0x10, true);
  if (!saneFlags(flags)) return null;
  const ss = view.getUint16(at + 0x20, true);
  if (ss !== 0x18 && ss !== 0x2b && ss !== 0) return null;
  const rip = view.getBigUint64(at, true);
  const rsp = view.getBigUint64(at + 0x18, true);
  const userMode = (cs & 3) === 3;
  if (userMode) {
    if (rip >= 0x0000800000000000n || rsp >= 0x0000800000000000n || ss === 0x18) return null;
  } else {
    if (ss === 0x2b || rsp < 0xffff000000000000n || (rsp & 7n) !== 0n) return null;
    if (ports.place(rip) !== 'code') return null;
  }
  return {
    rip,
    rsp,
    userMode,
    evidence: [
      `SegCs ${cs.toString(16)}`,
      `SegSs ${ss.toString(16)}`,
      `EFlags ${flags.toString(16)}`,
      userMode ? 'Rip in user space' : 'Rip in a module',
    ],
  };
}

/** KTRAP_FRAME of ARM64: EL1h or EL0 in SPSR, PC in a module, SP aligned, PreviousIrql and ExceptionActive small. */
export function trapShapeArm64(ports: UnwindPorts, address: bigint): TrapShape | null {
  if (address === 0n || (address & 15n) !== 0n) return null;
  const bytes = ports.memory.bytes(address, 0x150);
  if (bytes === undefined) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const spsr = view.getUint32(0x90, true);
  const mode = spsr & 0x1f;
  if (mode !== 0 && mode !== 4 && mode !== 5) return null;
  const sp = view.getBigUint64(0x98, true);
  const pc = view.getBigUint64(0x148, true);
  if ((sp & 15n) !== 0n || (pc & 3n) !== 0n) return null;
  const active = view.getUint8(0);
  const irql = view.getUint8(3);
  if (active > 2 || irql > 15) return null;
  const userMode = mode === 0;
  if (userMode ? pc >= 0x0001000000000000n : ports.place(pc) !== 'code' || sp < 0xffff000000000000n) return null;
  return {
    address,
    userMode,
    evidence: [`SPSR ${spsr.toString(16)}`, userMode ? 'PC in user space' : 'PC in a module', `SP ${sp.toString(16)}`],
  };
}

/** Words of memory from `low` to `high` in one read, up to the first missing byte. */
export function readSpan(memory: Memory, low: bigint, high: bigint, most = 0x20000): Uint8Array {
  const length = high > low ? Number(high - low > BigInt(most) ? BigInt(most) : high - low) : 0;
  return length === 0 ? new Uint8Array(0) : memory.prefix(va(low), length);
}
