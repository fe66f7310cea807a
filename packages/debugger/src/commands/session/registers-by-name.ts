import type { Arch } from '@dumpscope/core';
import type { RegisterValue } from '../../expressions/scope.ts';
import type { Registers } from '../../target/model.ts';

const SEGMENTS = new Set(['cs', 'ds', 'es', 'fs', 'gs', 'ss']);
/** Bits of EFLAGS that have register names (x86 flags). */
const FLAG_BITS: Readonly<Record<string, number>> = {
  cf: 0,
  pf: 2,
  af: 4,
  zf: 6,
  sf: 7,
  tf: 8,
  if: 9,
  df: 10,
  of: 11,
};
const LEGACY = ['ax', 'bx', 'cx', 'dx', 'si', 'di', 'bp', 'sp'] as const;

function ownSize(arch: Arch, name: string): number {
  if (SEGMENTS.has(name)) return 2;
  if (name === 'efl' || name === 'psr') return 4;
  return arch === 'x86' ? 4 : 8;
}

/** Where a partial register lies: full register, size in bytes, shift in bits. */
function part(
  arch: Arch,
  name: string,
): { readonly full: string; readonly size: number; readonly shift: number } | null {
  const wide = arch === 'x64' ? 'r' : 'e';
  if (arch === 'arm64') {
    const match = /^w(\d+)$/.exec(name);
    return match ? { full: `x${match[1]}`, size: 4, shift: 0 } : null;
  }
  if (name === 'eflags' || name === 'rflags') return { full: 'efl', size: 4, shift: 0 };
  if (arch === 'x64') {
    const extended = /^(r(?:[89]|1[0-5]))([dwbl])$/.exec(name);
    if (extended)
      return { full: extended[1] as string, size: extended[2] === 'd' ? 4 : extended[2] === 'w' ? 2 : 1, shift: 0 };
    if (/^e(?:[abcd]x|[sd]i|[bs]p|ip)$/.test(name)) return { full: `r${name.slice(1)}`, size: 4, shift: 0 };
    const low = /^(si|di|bp|sp)l$/.exec(name);
    if (low) return { full: `r${low[1]}`, size: 1, shift: 0 };
  }
  if ((LEGACY as readonly string[]).includes(name) || name === 'ip')
    return { full: `${wide}${name}`, size: 2, shift: 0 };
  const byte = /^([abcd])([lh])$/.exec(name);
  return byte ? { full: `${wide}${byte[1]}x`, size: 1, shift: byte[2] === 'h' ? 8 : 0 } : null;
}

/** The value of a register, a part of one or a flag; undefined where the set does not hold it. */
export function registerByName(registers: Registers, name: string): RegisterValue | undefined {
  const own = registers.values.get(name);
  if (own !== undefined) return { value: own, size: ownSize(registers.arch, name) };
  const p = part(registers.arch, name);
  if (p !== null) {
    const full = registers.values.get(p.full);
    if (full === undefined) return undefined;
    return { value: BigInt.asUintN(p.size * 8, full >> BigInt(p.shift)), size: p.size };
  }
  const bit = FLAG_BITS[name];
  if (bit !== undefined && registers.arch !== 'arm64' && registers.flags !== null) {
    return { value: BigInt((registers.flags >>> bit) & 1), size: 1 };
  }
  if (name === 'iopl' && registers.arch !== 'arm64' && registers.flags !== null) {
    return { value: BigInt((registers.flags >>> 12) & 3), size: 1 };
  }
  return undefined;
}

/**
 * Registers that MASM takes without `@` before it tries numbers and symbols. register-syntax.md lists those of x86; the
 * 64-bit names are treated alike.
 */
export function isCommonRegister(arch: Arch, name: string): boolean {
  if (arch === 'arm64') return /^(?:x\d+|sp|pc|lr)$/.test(name);
  if (/^e(?:[abcd]x|[sd]i|bp|sp|ip)$/.test(name) || name === 'efl') return true;
  return arch === 'x64' && /^r(?:[abcd]x|[sd]i|bp|sp|ip)$/.test(name);
}
