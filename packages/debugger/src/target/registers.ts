import { type Arch, type Memory, type Va, va } from '@dumpscope/core';
import type { Registers } from './model.ts';

/** One register of a record: WinDbg's name, offset, size in bytes. */
type Slot = readonly [name: string, offset: number, size: 1 | 2 | 4 | 8];

/** CONTEXT of x86 (0x2CC bytes); winnt.h. */
const contextX86: readonly Slot[] = [
  ['gs', 0x8c, 4],
  ['fs', 0x90, 4],
  ['es', 0x94, 4],
  ['ds', 0x98, 4],
  ['edi', 0x9c, 4],
  ['esi', 0xa0, 4],
  ['ebx', 0xa4, 4],
  ['edx', 0xa8, 4],
  ['ecx', 0xac, 4],
  ['eax', 0xb0, 4],
  ['ebp', 0xb4, 4],
  ['eip', 0xb8, 4],
  ['cs', 0xbc, 4],
  ['efl', 0xc0, 4],
  ['esp', 0xc4, 4],
  ['ss', 0xc8, 4],
  ['dr0', 0x4, 4],
  ['dr1', 0x8, 4],
  ['dr2', 0xc, 4],
  ['dr3', 0x10, 4],
  ['dr6', 0x14, 4],
  ['dr7', 0x18, 4],
];

/** CONTEXT of x64 (0x4D0 bytes); winnt.h and every ISF table. */
const contextX64: readonly Slot[] = [
  ['cs', 0x38, 2],
  ['ds', 0x3a, 2],
  ['es', 0x3c, 2],
  ['fs', 0x3e, 2],
  ['gs', 0x40, 2],
  ['ss', 0x42, 2],
  ['efl', 0x44, 4],
  ['dr0', 0x48, 8],
  ['dr1', 0x50, 8],
  ['dr2', 0x58, 8],
  ['dr3', 0x60, 8],
  ['dr6', 0x68, 8],
  ['dr7', 0x70, 8],
  ['rax', 0x78, 8],
  ['rcx', 0x80, 8],
  ['rdx', 0x88, 8],
  ['rbx', 0x90, 8],
  ['rsp', 0x98, 8],
  ['rbp', 0xa0, 8],
  ['rsi', 0xa8, 8],
  ['rdi', 0xb0, 8],
  ['r8', 0xb8, 8],
  ['r9', 0xc0, 8],
  ['r10', 0xc8, 8],
  ['r11', 0xd0, 8],
  ['r12', 0xd8, 8],
  ['r13', 0xe0, 8],
  ['r14', 0xe8, 8],
  ['r15', 0xf0, 8],
  ['rip', 0xf8, 8],
];

function armSlots(x: number, count: number): Slot[] {
  const out: Slot[] = [];
  for (let i = 0; i < count; i++) out.push([`x${i}`, x + i * 8, 8]);
  return out;
}

/** CONTEXT of ARM64 (0x390 bytes); winnt.h. */
const contextArm64: readonly Slot[] = [
  ['psr', 0x4, 4],
  ...armSlots(0x8, 29),
  ['fp', 0xf0, 8],
  ['lr', 0xf8, 8],
  ['sp', 0x100, 8],
  ['pc', 0x108, 8],
];

/** KTRAP_FRAME.Eax of x86 from XP to 7. */
export const TRAP_EAX_X86 = 0x44;

/**
 * What 10 moved: there DbgArgPointer is gone and everything from it to Eax lies four bytes lower (layouts of 19041), while
 * Edi and what follows stayed.
 */
const movedX86: readonly Slot[] = [
  ['gs', 0x30, 2],
  ['es', 0x34, 2],
  ['ds', 0x38, 2],
  ['edx', 0x3c, 4],
  ['ecx', 0x40, 4],
  ['eax', TRAP_EAX_X86, 4],
];

/** KTRAP_FRAME of x86 (0x8C bytes) without {@link movedX86}: {@link trapFrameRecord} adds esp and ss. */
const trapX86: readonly Slot[] = [
  ['fs', 0x50, 2],
  ['edi', 0x54, 4],
  ['esi', 0x58, 4],
  ['ebx', 0x5c, 4],
  ['ebp', 0x60, 4],
  ['eip', 0x68, 4],
  ['cs', 0x6c, 2],
  ['efl', 0x70, 4],
];

/** KTRAP_FRAME of x64 (0x190 bytes, the same in every build from 7601 to 22000): the registers that interrupts save. */
const trapX64: readonly Slot[] = [
  ['rax', 0x30, 8],
  ['rcx', 0x38, 8],
  ['rdx', 0x40, 8],
  ['r8', 0x48, 8],
  ['r9', 0x50, 8],
  ['r10', 0x58, 8],
  ['r11', 0x60, 8],
  ['rbp', 0x158, 8],
  ['rip', 0x168, 8],
  ['cs', 0x170, 2],
  ['efl', 0x178, 4],
  ['rsp', 0x180, 8],
  ['ss', 0x188, 2],
];

/** KTRAP_FRAME of ARM64 (0x150 bytes). */
const trapArm64: readonly Slot[] = [
  ['psr', 0x90, 4],
  ['sp', 0x98, 8],
  ...armSlots(0xa0, 19),
  ['lr', 0x138, 8],
  ['fp', 0x140, 8],
  ['pc', 0x148, 8],
];

const contextSlots = { x86: contextX86, x64: contextX64, arm64: contextArm64 } as const;
const trapSlots = { x86: trapX86, x64: trapX64, arm64: trapArm64 } as const;

/** Bytes of a KTRAP_FRAME up to and with the last register that is read. */
export const TRAP_FRAME_BYTES: Readonly<Record<Arch, number>> = { x86: 0x7c, x64: 0x190, arm64: 0x150 };

export const pcName: Readonly<Record<Arch, string>> = { x86: 'eip', x64: 'rip', arm64: 'pc' };
export const spName: Readonly<Record<Arch, string>> = { x86: 'esp', x64: 'rsp', arm64: 'sp' };
export const fpName: Readonly<Record<Arch, string>> = { x86: 'ebp', x64: 'rbp', arm64: 'fp' };

function readSlots(bytes: Uint8Array, slots: readonly Slot[]): Map<string, bigint> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Map<string, bigint>();
  for (const [name, offset, size] of slots) {
    if (offset + size > bytes.length) continue;
    if (size === 8) values.set(name, view.getBigUint64(offset, true));
    else if (size === 4) values.set(name, BigInt(view.getUint32(offset, true)));
    else values.set(name, BigInt(view.getUint16(offset, true)));
  }
  return values;
}

/** Wraps a set of register values; `pc` and `sp` default to 0 where the set lacks them. */
export function makeRegisters(
  arch: Arch,
  values: ReadonlyMap<string, bigint>,
  source: string,
  address: Va | null,
  partial: boolean,
): Registers {
  const fp = values.get(fpName[arch]);
  const flags = values.get(arch === 'arm64' ? 'psr' : 'efl');
  return {
    arch,
    values,
    pc: va(values.get(pcName[arch]) ?? 0n),
    sp: va(values.get(spName[arch]) ?? 0n),
    fp: fp === undefined ? null : va(fp),
    flags: flags === undefined ? null : Number(flags & 0xffffffffn),
    source,
    address,
    partial,
  };
}

/** Decodes a CONTEXT; null where the bytes end before the program counter. */
export function contextRegisters(arch: Arch, bytes: Uint8Array, source: string, address: Va | null): Registers | null {
  const values = readSlots(bytes, contextSlots[arch]);
  if (!values.has(pcName[arch]) || !values.has(spName[arch])) return null;
  return makeRegisters(arch, values, source, address, false);
}

/** Reads a CONTEXT from memory. */
export function contextRecord(memory: Memory, arch: Arch, address: bigint, source: string): Registers | null {
  const need = arch === 'x86' ? 0xcc : arch === 'x64' ? 0x100 : 0x110;
  const bytes = memory.bytes(address, need);
  return bytes === undefined ? null : contextRegisters(arch, bytes, source, va(address));
}

/**
 * Reads a KTRAP_FRAME. x86: a trap from kernel mode pushes no SS:ESP, so the interrupted ESP is the frame + 0x74 and SS
 * is 0x10; `eax` is where this build keeps Eax. x64: the non-volatile registers are not in it (the set is partial).
 */
export function trapFrameRecord(
  memory: Memory,
  arch: Arch,
  address: bigint,
  eax: number = TRAP_EAX_X86,
): Registers | null {
  const bytes = memory.bytes(address, arch === 'x86' ? 0x74 : TRAP_FRAME_BYTES[arch]);
  if (bytes === undefined) return null;
  const values = readSlots(bytes, trapSlots[arch]);
  if (arch === 'x86') {
    const moved = movedX86.map(([name, offset, size]): Slot => [name, offset + eax - TRAP_EAX_X86, size]);
    for (const [name, value] of readSlots(bytes, moved)) values.set(name, value);
    const cs = values.get('cs') ?? 0n;
    const v86 = ((values.get('efl') ?? 0n) & 0x20000n) !== 0n;
    if ((cs & 3n) !== 0n || v86) {
      const esp = memory.u32(address + 0x74n);
      const ss = memory.u16(address + 0x78n);
      if (esp === undefined) return null;
      values.set('esp', BigInt(esp));
      if (ss !== undefined) values.set('ss', BigInt(ss));
    } else {
      values.set('esp', (address + 0x74n) & 0xffffffffn);
      values.set('ss', 0x10n);
    }
    values.set('errcode', BigInt(memory.u32(address + 0x64n) ?? 0));
  }
  const text = address.toString(16).padStart(arch === 'x86' ? 8 : 16, '0');
  return makeRegisters(arch, values, `trap frame ${text}`, va(address), arch !== 'x86');
}

/** True where the registers are of user mode: CPL 3, or EL0 on ARM64. */
export function isUserMode(registers: Registers): boolean {
  if (registers.arch === 'arm64') return registers.flags !== null && (registers.flags & 0xf) === 0;
  const cs = registers.values.get('cs');
  if (cs !== undefined && cs !== 0n) return (cs & 3n) === 3n;
  return registers.arch === 'x64' && registers.pc < 0x0000800000000000n && registers.pc !== 0n;
}
