import { hex } from '../brands.ts';
import { PAGE_FILL } from '../bytes.ts';
import type { Arch, DumpHeader } from '../dump.ts';
import type { ProblemList } from '../problems.ts';

export const MACHINE_I386 = 0x14c;
export const MACHINE_AMD64 = 0x8664;
export const MACHINE_ARM64 = 0xaa64;

/** Machines that Windows ran on and whose page tables are not read here. */
const UNSUPPORTED: ReadonlyMap<number, string> = new Map([
  [0x166, 'MIPS'],
  [0x184, 'Alpha'],
  [0x1c0, 'ARM'],
  [0x1c2, 'ARM Thumb'],
  [0x1c4, 'ARM Thumb-2'],
  [0x1f0, 'PowerPC'],
  [0x200, 'IA64'],
  [0x284, 'Alpha64'],
]);

export interface Machine {
  readonly arch: Arch;
  /** False for a machine whose page tables and registers are not read here: virtual memory stays unreadable. */
  readonly supported: boolean;
}

/** Architecture by MachineImageType; one that is no machine at all falls back to the usual one of the header's width. */
export function machineOf(header: DumpHeader, pointerSize: 4 | 8, problems: ProblemList): Machine {
  const type = header.machineImageType;
  const offset = pointerSize === 8 ? 0x30 : 0x20;
  const fallback: Arch = pointerSize === 8 ? 'x64' : 'x86';
  if (pointerSize === 4 && type === MACHINE_I386) return { arch: 'x86', supported: true };
  if (pointerSize === 8 && type === MACHINE_AMD64) return { arch: 'x64', supported: true };
  if (pointerSize === 8 && type === MACHINE_ARM64) return { arch: 'arm64', supported: true };
  const name = UNSUPPORTED.get(type);
  if (name !== undefined) {
    problems.add('machine-unsupported', `machine type ${hex(type)} (${name}): virtual memory cannot be read`, offset);
    return { arch: fallback, supported: false };
  }
  const what = type === PAGE_FILL ? 'was not written' : `${hex(type)} does not go with a ${pointerSize * 8}-bit header`;
  problems.add('machine-unknown', `machine type ${what}: read as ${fallback}`, offset);
  return { arch: fallback, supported: true };
}

/** Bytes of a CONTEXT record without extended state. */
export function contextSize(machineImageType: number, pointerSize: 4 | 8): number {
  if (pointerSize === 4) return 0x2cc;
  return machineImageType === MACHINE_ARM64 ? 0x390 : 0x4d0;
}
