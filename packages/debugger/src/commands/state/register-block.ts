import type { Registers } from '../../target/model.ts';
import { hexDigits } from '../format/address.ts';

/** `nv up di pl nz na pe nc`. */
export function flagWords(flags: number): string {
  const bit = (n: number): boolean => ((flags >>> n) & 1) === 1;
  return [
    bit(11) ? 'ov' : 'nv',
    bit(10) ? 'dn' : 'up',
    bit(9) ? 'ei' : 'di',
    bit(7) ? 'ng' : 'pl',
    bit(6) ? 'zr' : 'nz',
    bit(4) ? 'ac' : 'na',
    bit(2) ? 'pe' : 'po',
    bit(0) ? 'cy' : 'nc',
  ].join(' ');
}

function iopl(flags: number): number {
  return (flags >>> 12) & 3;
}

function segmentLine(registers: Registers, flags: number): string {
  const s = (name: string): string => `${name}=${hexDigits(registers.values.get(name) ?? 0n, 4)}`;
  return `${s('cs')}  ${s('ss')}  ${s('ds')}  ${s('es')}  ${s('fs')}  ${s('gs')}             efl=${hexDigits(flags, 8)}`;
}

function blockX86(registers: Registers): string[] {
  const r = (name: string): string => `${name}=${hexDigits(registers.values.get(name) ?? 0n, 8)}`;
  const flags = registers.flags ?? 0;
  return [
    ['eax', 'ebx', 'ecx', 'edx', 'esi', 'edi'].map(r).join(' '),
    `${['eip', 'esp', 'ebp'].map(r).join(' ')} iopl=${iopl(flags)}         ${flagWords(flags)}`,
    segmentLine(registers, flags),
  ];
}

function blockX64(registers: Registers, withSegments: boolean): string[] {
  const r = (name: string): string => `${name.padStart(3)}=${hexDigits(registers.values.get(name) ?? 0n, 16)}`;
  const flags = registers.flags ?? 0;
  const lines = [
    ['rax', 'rbx', 'rcx'],
    ['rdx', 'rsi', 'rdi'],
    ['rip', 'rsp', 'rbp'],
    ['r8', 'r9', 'r10'],
    ['r11', 'r12', 'r13'],
    ['r14', 'r15'],
  ].map((names) => names.map(r).join(' '));
  lines.push(`iopl=${iopl(flags)}         ${flagWords(flags)}`);
  if (withSegments) lines.push(segmentLine(registers, flags));
  return lines;
}

function blockArm64(registers: Registers): string[] {
  const r = (name: string): string => `${name.padStart(3)}=${hexDigits(registers.values.get(name) ?? 0n, 16)}`;
  const names = Array.from({ length: 29 }, (_, i) => `x${i}`);
  names.push('fp', 'lr', 'sp');
  const lines: string[] = [];
  for (let i = 0; i < names.length; i += 4)
    lines.push(
      names
        .slice(i, i + 4)
        .map(r)
        .join('  '),
    );
  const flags = registers.flags ?? 0;
  const letter = (bit: number, name: string): string => ((flags >>> bit) & 1 ? name : '-');
  const condition = `${letter(31, 'N')}${letter(30, 'Z')}${letter(29, 'C')}${letter(28, 'V')}`;
  lines.push(`${r('pc')}  psr=${hexDigits(flags, 8)} ${condition} EL${(flags >>> 2) & 3}`);
  return lines;
}

/**
 * The register block of `r`. Where a set is partial (x64 trap frames), registers it does not hold print as 0, which the
 * NOTE above the block says; the cs line is missing there too.
 */
export function registerBlock(registers: Registers): string[] {
  switch (registers.arch) {
    case 'x86':
      return blockX86(registers);
    case 'x64':
      return blockX64(registers, registers.values.has('ds'));
    case 'arm64':
      return blockArm64(registers);
  }
}

export const PARTIAL_NOTE: readonly string[] = [
  'NOTE: The trap frame does not contain all registers.',
  'Some register values may be zeroed or incorrect.',
];

/** The block as data: every register that is known; null ones are not in the set. */
export function registerRow(registers: Registers): Record<string, unknown> {
  const row: Record<string, unknown> = {
    source: registers.source,
    address: registers.address,
    partial: registers.partial,
  };
  for (const [name, value] of registers.values) row[name] = value;
  return row;
}
