import type { Va } from '@dumpscope/core';
import type { Register } from '../instruction.ts';

/** Captured memory: an unsigned little-endian value of 1, 2, 4 or 8 bytes, or null when any byte of it is missing. */
export interface MemoryPort {
  read(address: bigint, size: number): bigint | null;
}

/** Registers as a processor's context or an unwound frame gives them. */
export interface CpuState {
  readonly arch: 'x86' | 'x64';
  readonly pc: Va;
  /** Full-width general registers (`eax`… or `rax`…, `r15`), unsigned; what is absent is unknown. */
  readonly registers: ReadonlyMap<Register, bigint>;
  /** EFLAGS, or null when it was not captured. */
  readonly flags: number | null;
  /** Linear addresses that fs and gs begin at; absent or null where unknown. */
  readonly fsBase?: bigint | null;
  readonly gsBase?: bigint | null;
}

/** Where an unknown value came from first. */
export type UnknownSource =
  | { readonly kind: 'register'; readonly register: Register }
  | { readonly kind: 'flags' }
  | { readonly kind: 'memory'; readonly address: Va; readonly size: number }
  /** An instruction that the executor does not model, or whose result the architecture leaves undefined. */
  | { readonly kind: 'instruction'; readonly address: Va; readonly mnemonic: string };

export function describeUnknown(source: UnknownSource): string {
  switch (source.kind) {
    case 'register':
      return `${source.register} was not captured`;
    case 'flags':
      return 'the flags were not captured';
    case 'memory':
      return `memory at ${source.address.toString(16)} could not be read`;
    case 'instruction':
      return `the result of ${source.mnemonic} at ${source.address.toString(16)} is not determined`;
  }
}

export const X64_REGISTERS: readonly Register[] = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
export const X86_REGISTERS: readonly Register[] = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'];

export interface RegisterPart {
  /** Number in the encoding: 0 rax … 4 rsp … 15. */
  readonly index: number;
  readonly size: 1 | 2 | 4 | 8;
  /** 8 for ah, ch, dh, bh. */
  readonly shift: 0 | 8;
}

const PARTS = new Map<Register, RegisterPart>();
{
  const legacy = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
  const low = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
  for (let i = 0; i < 16; i++) {
    const part = (name: string, size: RegisterPart['size'], shift: 0 | 8 = 0): void => {
      PARTS.set(name, { index: i, size, shift });
    };
    if (i < 8) {
      part(`r${legacy[i]}`, 8);
      part(`e${legacy[i]}`, 4);
      part(`${legacy[i]}`, 2);
      part(`${low[i]}`, 1);
      if (i < 4) PARTS.set(`${'acdb'[i]}h`, { index: i, size: 1, shift: 8 });
    } else {
      part(`r${i}`, 8);
      part(`r${i}d`, 4);
      part(`r${i}w`, 2);
      part(`r${i}b`, 1);
    }
  }
}

/** Which part of which general register a name means; undefined for every other register. */
export function registerPart(name: Register): RegisterPart | undefined {
  return PARTS.get(name);
}

/** EFLAGS bits. */
export const FLAG = { c: 1, p: 4, a: 0x10, z: 0x40, s: 0x80, d: 0x400, o: 0x800 } as const;
export const ARITHMETIC_FLAGS: number = FLAG.c | FLAG.p | FLAG.a | FLAG.z | FLAG.s | FLAG.o;

/** EFLAGS bits for letters of `ocszap`. */
export function flagBits(letters: string): number {
  let bits = 0;
  for (const letter of letters) bits |= FLAG[letter as keyof typeof FLAG] ?? 0;
  return bits;
}
