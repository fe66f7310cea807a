import type { Machine } from './machine.ts';
import { ARITHMETIC_FLAGS, FLAG } from './state.ts';

type Size = 1 | 2 | 4 | 8;

const PARITY = Uint8Array.from({ length: 256 }, (_, v) => {
  let bits = 0;
  for (let i = 0; i < 8; i++) bits += (v >> i) & 1;
  return bits % 2 === 0 ? FLAG.p : 0;
});

export const MASK: Readonly<Record<1 | 2 | 4, number>> = { 1: 0xff, 2: 0xffff, 4: -1 };
const SIGN: Readonly<Record<1 | 2 | 4, number>> = { 1: 0x80, 2: 0x8000, 4: -0x80000000 };

/** SF, ZF and PF of a result. */
export function resultFlags(lo: number, hi: number, size: Size): number {
  const parity = PARITY[lo & 0xff] ?? 0;
  if (size === 8) return parity | ((lo | hi) === 0 ? FLAG.z : 0) | (hi < 0 ? FLAG.s : 0);
  return parity | ((lo & MASK[size]) === 0 ? FLAG.z : 0) | ((lo & SIGN[size]) !== 0 ? FLAG.s : 0);
}

const SZP = FLAG.s | FLAG.z | FLAG.p;

/** and, or, xor, test: CF and OF clear, AF undefined. */
export function logicFlags(m: Machine, lo: number, hi: number, size: Size): void {
  m.setFlags(SZP | FLAG.c | FLAG.o, resultFlags(lo, hi, size));
  m.forgetFlags(FLAG.a, 0);
}

/** a + b + carry with all flags; high word in `m.hi`. */
export function add(m: Machine, aLo: number, aHi: number, bLo: number, bHi: number, carry: number, size: Size): number {
  let lo: number;
  let hi = 0;
  let flags: number;
  if (size === 8) {
    const low = (aLo >>> 0) + (bLo >>> 0) + carry;
    lo = low | 0;
    const high = (aHi >>> 0) + (bHi >>> 0) + (low > 0xffffffff ? 1 : 0);
    hi = high | 0;
    flags = (high > 0xffffffff ? FLAG.c : 0) | (((aHi ^ hi) & (bHi ^ hi)) < 0 ? FLAG.o : 0);
  } else if (size === 4) {
    const low = (aLo >>> 0) + (bLo >>> 0) + carry;
    lo = low | 0;
    flags = (low > 0xffffffff ? FLAG.c : 0) | (((aLo ^ lo) & (bLo ^ lo)) < 0 ? FLAG.o : 0);
  } else {
    const mask = MASK[size];
    const sum = (aLo & mask) + (bLo & mask) + carry;
    lo = sum & mask;
    flags = (sum > mask ? FLAG.c : 0) | (((aLo ^ lo) & (bLo ^ lo) & SIGN[size]) !== 0 ? FLAG.o : 0);
  }
  flags |= ((aLo ^ bLo ^ lo) & 0x10) | resultFlags(lo, hi, size);
  m.setFlags(ARITHMETIC_FLAGS, flags);
  m.hi = hi;
  return lo;
}

/** a - b - borrow with all flags; high word in `m.hi`. */
export function subtract(
  m: Machine,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
  borrow: number,
  size: Size,
): number {
  let lo: number;
  let hi = 0;
  let flags: number;
  if (size === 8) {
    const low = (aLo >>> 0) - (bLo >>> 0) - borrow;
    lo = low | 0;
    const high = (aHi >>> 0) - (bHi >>> 0) - (low < 0 ? 1 : 0);
    hi = high | 0;
    flags = (high < 0 ? FLAG.c : 0) | (((aHi ^ bHi) & (aHi ^ hi)) < 0 ? FLAG.o : 0);
  } else if (size === 4) {
    const low = (aLo >>> 0) - (bLo >>> 0) - borrow;
    lo = low | 0;
    flags = (low < 0 ? FLAG.c : 0) | (((aLo ^ bLo) & (aLo ^ lo)) < 0 ? FLAG.o : 0);
  } else {
    const mask = MASK[size];
    const difference = (aLo & mask) - (bLo & mask) - borrow;
    lo = difference & mask;
    flags = (difference < 0 ? FLAG.c : 0) | (((aLo ^ bLo) & (aLo ^ lo) & SIGN[size]) !== 0 ? FLAG.o : 0);
  }
  flags |= ((aLo ^ bLo ^ lo) & 0x10) | resultFlags(lo, hi, size);
  m.setFlags(ARITHMETIC_FLAGS, flags);
  m.hi = hi;
  return lo;
}

/** A 64-bit pair as an unsigned bigint: for multiplication, division and bit deposits only. */
export function toBig(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

export function lowWord(value: bigint): number {
  return Number(value & 0xffffffffn) | 0;
}

export function highWord(value: bigint): number {
  return Number((value >> 32n) & 0xffffffffn) | 0;
}

/** Truth of a condition code 0…15 (o no b ae e ne be a s ns p np l ge le g), or null when a flag it needs is unknown. */
export function testCondition(m: Machine, code: number): boolean | null {
  const f = m.flags;
  const k = m.flagsKnown;
  let result: boolean;
  switch (code >> 1) {
    case 0:
      if (!(k & FLAG.o)) return null;
      result = (f & FLAG.o) !== 0;
      break;
    case 1:
      if (!(k & FLAG.c)) return null;
      result = (f & FLAG.c) !== 0;
      break;
    case 2:
      if (!(k & FLAG.z)) return null;
      result = (f & FLAG.z) !== 0;
      break;
    case 3:
      // One flag that is set settles it.
      if ((f & k & (FLAG.c | FLAG.z)) !== 0) result = true;
      else if ((k & (FLAG.c | FLAG.z)) !== (FLAG.c | FLAG.z)) return null;
      else result = false;
      break;
    case 4:
      if (!(k & FLAG.s)) return null;
      result = (f & FLAG.s) !== 0;
      break;
    case 5:
      if (!(k & FLAG.p)) return null;
      result = (f & FLAG.p) !== 0;
      break;
    case 6:
      if ((k & (FLAG.s | FLAG.o)) !== (FLAG.s | FLAG.o)) return null;
      result = ((f & FLAG.s) !== 0) !== ((f & FLAG.o) !== 0);
      break;
    default:
      if ((f & k & FLAG.z) !== 0) result = true;
      else if ((k & (FLAG.s | FLAG.o | FLAG.z)) !== (FLAG.s | FLAG.o | FLAG.z)) return null;
      else result = ((f & FLAG.s) !== 0) !== ((f & FLAG.o) !== 0);
  }
  return (code & 1) === 0 ? result : !result;
}

export const CONDITION_CODES: Readonly<Record<string, number>> = {
  o: 0,
  no: 1,
  b: 2,
  ae: 3,
  e: 4,
  ne: 5,
  be: 6,
  a: 7,
  s: 8,
  ns: 9,
  p: 10,
  np: 11,
  l: 12,
  ge: 13,
  le: 14,
  g: 15,
};
