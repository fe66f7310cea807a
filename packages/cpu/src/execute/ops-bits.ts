import { highWord, lowWord, resultFlags, toBig } from './arithmetic.ts';
import { type Machine, NEXT } from './machine.ts';
import { FULL, forgetPlace, type Place, places } from './places.ts';
import { ARITHMETIC_FLAGS, FLAG } from './state.ts';
import { type Compile, isFull, pair, single } from './step.ts';

const SZP = FLAG.s | FLAG.z | FLAG.p;
type Size = 1 | 2 | 4 | 8;

function shiftLeft(lo: number, hi: number, n: number): [number, number] {
  if (n === 0) return [lo, hi];
  if (n >= 64) return [0, 0];
  if (n >= 32) return [0, lo << (n - 32)];
  return [lo << n, (hi << n) | (lo >>> (32 - n))];
}

function shiftRight(lo: number, hi: number, n: number): [number, number] {
  if (n === 0) return [lo, hi];
  if (n >= 64) return [0, 0];
  if (n >= 32) return [hi >>> (n - 32), 0];
  return [(lo >>> n) | (hi << (32 - n)), hi >>> n];
}

function bitOf(lo: number, hi: number, n: number): number {
  return n < 32 ? (lo >>> n) & 1 : n < 64 ? (hi >>> (n - 32)) & 1 : 0;
}

/** Sign-extends a value of `size` bytes to 64 bits. */
function signExtend(lo: number, hi: number, size: Size): [number, number] {
  if (size === 8) return [lo, hi];
  const low = size === 4 ? lo : size === 2 ? (lo << 16) >> 16 : (lo << 24) >> 24;
  return [low, low >> 31];
}

function truncate(lo: number, hi: number, size: Size): [number, number] {
  if (size === 8) return [lo, hi];
  return [size === 4 ? lo : lo & (size === 2 ? 0xffff : 0xff), 0];
}

/** The count operand (an immediate, cl, or the implicit 1): masked as the processor does. */
function countOf(m: Machine, count: Place | null, size: Size): number | null {
  if (!count) return 1;
  const value = count.load(m);
  if (!(m.known & 1)) return null;
  return value & (size === 8 ? 63 : 31);
}

function shift(kind: 'shl' | 'shr' | 'sar'): Compile {
  return (instruction, is64) => {
    const [a, c] = places(instruction, is64);
    if (!a || (instruction.operands.length > 1 && !c)) return null;
    const size = a.size;
    const bits = size * 8;
    return (m) => {
      const n = countOf(m, c ?? null, size);
      const countWhy = m.why;
      a.locate(m);
      const lo = a.load(m);
      const hi = m.hi;
      const known = m.known;
      const why = m.why;
      if (n === 0) {
        a.store(m, lo, hi, known, why);
        return NEXT;
      }
      if (n === null || !isFull(known, size)) {
        m.forgetFlags(ARITHMETIC_FLAGS, n === null ? countWhy : why);
        a.store(m, 0, 0, 0, n === null ? countWhy : why);
        return NEXT;
      }
      let rLo: number;
      let rHi: number;
      let carry: number;
      let carryKnown = true;
      let overflow: number;
      if (kind === 'shl') {
        [rLo, rHi] = truncate(...shiftLeft(lo, hi, n), size);
        carry = n <= bits ? bitOf(lo, hi, bits - n) : 0;
        carryKnown = n <= bits;
        overflow = bitOf(rLo, rHi, bits - 1) ^ carry;
      } else if (kind === 'shr') {
        [rLo, rHi] = shiftRight(lo, hi, n);
        carry = bitOf(lo, hi, n - 1);
        carryKnown = n <= bits;
        overflow = bitOf(lo, hi, bits - 1);
      } else {
        const [sLo, sHi] = signExtend(lo, hi, size);
        rLo = n >= 32 ? sHi >> Math.min(31, n - 32) : n === 0 ? sLo : (sLo >>> n) | (sHi << (32 - n));
        rHi = sHi >> Math.min(31, n);
        carry = bitOf(sLo, sHi, Math.min(63, n - 1));
        overflow = 0;
        [rLo, rHi] = truncate(rLo, rHi, size);
      }
      m.setFlags(SZP | FLAG.c | FLAG.o, resultFlags(rLo, rHi, size) | (carry ? FLAG.c : 0) | (overflow ? FLAG.o : 0));
      const undefinedBits = FLAG.a | (n === 1 ? 0 : FLAG.o) | (carryKnown ? 0 : FLAG.c);
      m.forgetFlags(undefinedBits, m.undetermined(instruction.mnemonic));
      a.store(m, rLo, rHi, FULL[size], 0);
      return NEXT;
    };
  };
}

function rotate(kind: 'rol' | 'ror' | 'rcl' | 'rcr'): Compile {
  const left = kind === 'rol' || kind === 'rcl';
  const throughCarry = kind === 'rcl' || kind === 'rcr';
  return (instruction, is64) => {
    const [a, c] = places(instruction, is64);
    if (!a || (instruction.operands.length > 1 && !c)) return null;
    const size = a.size;
    const bits = size * 8;
    const width = BigInt(throughCarry ? bits + 1 : bits);
    return (m) => {
      const n = countOf(m, c ?? null, size);
      const countWhy = m.why;
      a.locate(m);
      const lo = a.load(m);
      const hi = m.hi;
      const known = m.known;
      const why = m.why;
      if (n === 0) {
        a.store(m, lo, hi, known, why);
        return NEXT;
      }
      const carryIn = (m.flags & FLAG.c) !== 0;
      const ready = n !== null && isFull(known, size) && (!throughCarry || (m.flagsKnown & FLAG.c) !== 0);
      if (!ready) {
        const reason = n === null ? countWhy : isFull(known, size) ? m.flagsWhy : why;
        m.forgetFlags(FLAG.c | FLAG.o, reason);
        a.store(m, 0, 0, 0, reason);
        return NEXT;
      }
      let value = toBig(lo, hi);
      if (throughCarry && carryIn) value |= 1n << BigInt(bits);
      const by = BigInt(n) % width;
      const turned = left ? (value << by) | (value >> (width - by)) : (value >> by) | (value << (width - by));
      const result = BigInt.asUintN(Number(width), turned);
      const kept = BigInt.asUintN(bits, result);
      const rLo = lowWord(kept);
      const rHi = highWord(kept);
      const top = bitOf(rLo, rHi, bits - 1);
      const carry = throughCarry ? Number(result >> BigInt(bits)) & 1 : left ? rLo & 1 : top;
      const overflow = left ? top ^ carry : top ^ bitOf(rLo, rHi, bits - 2);
      m.setFlags(FLAG.c | FLAG.o, (carry ? FLAG.c : 0) | (overflow ? FLAG.o : 0));
      if (n !== 1) m.forgetFlags(FLAG.o, m.undetermined(instruction.mnemonic));
      a.store(m, rLo, rHi, FULL[size], 0);
      return NEXT;
    };
  };
}

/** shld, shrd: bits of the second operand move into the first. */
function doubleShift(left: boolean): Compile {
  return (instruction, is64) => {
    const [a, b, c] = places(instruction, is64);
    if (!a || !b || !c) return null;
    const size = a.size;
    const bits = size * 8;
    return (m) => {
      const n = countOf(m, c, size);
      const countWhy = m.why;
      a.locate(m);
      const bLo = b.load(m);
      const bHi = m.hi;
      const bKnown = m.known;
      const bWhy = m.why;
      const aLo = a.load(m);
      const aHi = m.hi;
      const known = m.known & bKnown;
      const why = isFull(bKnown, size) ? m.why : bWhy;
      if (n === 0) {
        a.store(m, aLo, aHi, m.known, m.why);
        return NEXT;
      }
      if (n === null || n > bits || !isFull(known, size)) {
        const reason = n === null ? countWhy : n > bits ? m.undetermined(instruction.mnemonic) : why;
        m.forgetFlags(ARITHMETIC_FLAGS, reason);
        a.store(m, 0, 0, 0, reason);
        return NEXT;
      }
      const width = BigInt(bits);
      const by = BigInt(n);
      const first = toBig(aLo, aHi);
      const second = toBig(bLo, bHi);
      const result = BigInt.asUintN(
        bits,
        left ? (first << by) | (second >> (width - by)) : (first >> by) | (second << (width - by)),
      );
      const rLo = lowWord(result);
      const rHi = highWord(result);
      const carry = bitOf(aLo, aHi, left ? bits - n : n - 1);
      const overflow = bitOf(aLo, aHi, bits - 1) ^ bitOf(rLo, rHi, bits - 1);
      m.setFlags(SZP | FLAG.c | FLAG.o, resultFlags(rLo, rHi, size) | (carry ? FLAG.c : 0) | (overflow ? FLAG.o : 0));
      m.forgetFlags(FLAG.a | (n === 1 ? 0 : FLAG.o), m.undetermined(instruction.mnemonic));
      a.store(m, rLo, rHi, FULL[size], 0);
      return NEXT;
    };
  };
}

/** bt, bts, btr, btc. With a register index a memory operand is a bit string that reaches beyond its own word. */
function bitTest(kind: 'bt' | 'bts' | 'btr' | 'btc'): Compile {
  return (instruction, is64) => {
    const operands = pair(instruction, is64);
    if (!operands) return null;
    const [a, b] = operands;
    const size = a.size;
    const bits = size * 8;
    const string = a.kind === 'memory' && b.kind === 'register';
    return (m) => {
      const indexLo = b.load(m);
      const indexHi = m.hi;
      const indexKnown = isFull(m.known, b.size);
      const indexWhy = m.why;
      a.locate(m);
      const rest = ARITHMETIC_FLAGS & ~(FLAG.c | FLAG.z);
      m.forgetFlags(rest, m.undetermined(instruction.mnemonic));
      if (!indexKnown) {
        m.forgetFlags(FLAG.c, indexWhy);
        if (kind !== 'bt') {
          if (string) m.stopUnknown('store', indexWhy);
          else a.store(m, 0, 0, 0, indexWhy);
        }
        return NEXT;
      }
      if (string) {
        // Signed bit offset / operand bits, in operand-sized steps.
        const [lo, hi] = signExtend(indexLo, indexHi, size);
        const offset = BigInt.asIntN(64, toBig(lo, hi)) >> BigInt(size === 8 ? 6 : size === 4 ? 5 : 4);
        const address = BigInt.asUintN(m.is64 ? 64 : 32, toBig(m.addressLo, m.addressHi) + offset * BigInt(size));
        m.addressLo = lowWord(address);
        m.addressHi = highWord(address);
      }
      const n = indexLo & (bits - 1);
      const lo = a.load(m);
      const hi = m.hi;
      const known = m.known;
      const why = m.why;
      const byteKnown = known & (1 << (n >> 3));
      if (byteKnown) m.setFlags(FLAG.c, bitOf(lo, hi, n) ? FLAG.c : 0);
      else m.forgetFlags(FLAG.c, why);
      if (kind === 'bt') return NEXT;
      const maskLo = n < 32 ? 1 << n : 0;
      const maskHi = n < 32 ? 0 : 1 << (n - 32);
      if (kind === 'bts') a.store(m, lo | maskLo, hi | maskHi, known, why);
      else if (kind === 'btr') a.store(m, lo & ~maskLo, hi & ~maskHi, known, why);
      else a.store(m, lo ^ maskLo, hi ^ maskHi, known, why);
      return NEXT;
    };
  };
}

function leadingZeros(lo: number, hi: number, size: Size): number {
  if (size === 8) return hi !== 0 ? Math.clz32(hi) : 32 + Math.clz32(lo);
  return Math.clz32(lo) - (32 - size * 8);
}

function trailingZeros(lo: number, hi: number, size: Size): number {
  if (lo !== 0) return 31 - Math.clz32(lo & -lo);
  if (size === 8 && hi !== 0) return 63 - Math.clz32(hi & -hi);
  return size * 8;
}

function scan(kind: 'bsf' | 'bsr' | 'tzcnt' | 'lzcnt' | 'popcnt'): Compile {
  return (instruction, is64) => {
    const operands = pair(instruction, is64);
    if (!operands) return null;
    const [a, b] = operands;
    const size = a.size;
    const bits = size * 8;
    return (m) => {
      b.locate(m);
      const lo = b.load(m);
      const hi = m.hi;
      if (!isFull(m.known, size)) {
        const why = m.why;
        m.forgetFlags(ARITHMETIC_FLAGS, why);
        if (kind === 'bsf' || kind === 'bsr') forgetPlace(m, a, why);
        else a.store(m, 0, 0, 0, why);
        return NEXT;
      }
      const zero = (lo | hi) === 0;
      const why = m.undetermined(instruction.mnemonic);
      if (kind === 'popcnt') {
        let count = 0;
        for (let x = lo; x !== 0; x &= x - 1) count++;
        for (let x = hi; x !== 0; x &= x - 1) count++;
        m.setFlags(ARITHMETIC_FLAGS, zero ? FLAG.z : 0);
        a.store(m, count, 0, FULL[size], 0);
        return NEXT;
      }
      if (kind === 'bsf' || kind === 'bsr') {
        m.forgetFlags(ARITHMETIC_FLAGS & ~FLAG.z, why);
        m.setFlags(FLAG.z, zero ? FLAG.z : 0);
        if (zero) forgetPlace(m, a, why);
        else
          a.store(
            m,
            kind === 'bsf' ? trailingZeros(lo, hi, size) : bits - 1 - leadingZeros(lo, hi, size),
            0,
            FULL[size],
            0,
          );
        return NEXT;
      }
      const count = kind === 'tzcnt' ? trailingZeros(lo, hi, size) : zero ? bits : leadingZeros(lo, hi, size);
      m.forgetFlags(ARITHMETIC_FLAGS & ~(FLAG.z | FLAG.c), why);
      m.setFlags(FLAG.z | FLAG.c, (count === 0 ? FLAG.z : 0) | (zero ? FLAG.c : 0));
      a.store(m, count, 0, FULL[size], 0);
      return NEXT;
    };
  };
}

const swapBytes: Compile = (instruction, is64) => {
  const a = single(instruction, is64);
  if (!a || a.size < 4) return null;
  return (m) => {
    const lo = a.load(m);
    const hi = m.hi;
    const swap = (x: number): number => ((x & 0xff) << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24);
    let known = 0;
    for (let i = 0; i < a.size; i++) if (m.known & (1 << i)) known |= 1 << (a.size - 1 - i);
    if (a.size === 8) a.store(m, swap(hi), swap(lo), known, m.why);
    else a.store(m, swap(lo), 0, known, m.why);
    return NEXT;
  };
};

/** The one-operand forms of old assemblers shift by an implicit 1 that iced gives as an immediate. */
export const BITS: Readonly<Record<string, Compile>> = {
  shl: shift('shl'),
  sal: shift('shl'),
  shr: shift('shr'),
  sar: shift('sar'),
  rol: rotate('rol'),
  ror: rotate('ror'),
  rcl: rotate('rcl'),
  rcr: rotate('rcr'),
  shld: doubleShift(true),
  shrd: doubleShift(false),
  bt: bitTest('bt'),
  bts: bitTest('bts'),
  btr: bitTest('btr'),
  btc: bitTest('btc'),
  bsf: scan('bsf'),
  bsr: scan('bsr'),
  tzcnt: scan('tzcnt'),
  lzcnt: scan('lzcnt'),
  popcnt: scan('popcnt'),
  bswap: swapBytes,
};
