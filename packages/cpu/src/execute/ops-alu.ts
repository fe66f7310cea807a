import { add, logicFlags, resultFlags, subtract } from './arithmetic.ts';
import { type Machine, NEXT } from './machine.ts';
import { FULL, forgetPlace, keepUpperIfZero, registerBySize } from './places.ts';
import { FLAG } from './state.ts';
import { type Compile, isFull, isSame, pair, single } from './step.ts';

const accumulatorPlaces = registerBySize(0);
const ALL = FLAG.c | FLAG.p | FLAG.a | FLAG.z | FLAG.s | FLAG.o;

/** How many leading bytes of a sum are known: those below the first unknown byte of either side. */
function knownBelow(known: number, size: number): number {
  let bytes = 0;
  for (let i = 0; i < size && known & (1 << i); i++) bytes |= 1 << i;
  return bytes;
}

/** add, sub, adc, sbb, cmp. */
function arithmetic(kind: 'add' | 'sub', withCarry: boolean, writes: boolean): Compile {
  return (instruction, is64) => {
    const operands = pair(instruction, is64);
    if (!operands) return null;
    const [a, b] = operands;
    const size = a.size;
    const same = kind === 'sub' && isSame(a, b);
    const operate = kind === 'add' ? add : subtract;
    return (m) => {
      a.locate(m);
      b.locate(m);
      const bLo = b.load(m);
      const bHi = m.hi;
      const bKnown = m.known;
      const bWhy = m.why;
      const aLo = a.load(m);
      const aHi = m.hi;
      const known = m.known & bKnown;
      const why = isFull(bKnown, size) ? m.why : bWhy;
      const carryKnown = !withCarry || (m.flagsKnown & FLAG.c) !== 0;
      const carry = withCarry && m.flags & FLAG.c ? 1 : 0;
      if (carryKnown && (isFull(known, size) || same)) {
        const lo = same ? operate(m, 0, 0, 0, 0, carry, size) : operate(m, aLo, aHi, bLo, bHi, carry, size);
        if (writes) a.store(m, lo, m.hi, FULL[size], 0);
        return NEXT;
      }
      const reason = carryKnown ? why : m.flagsWhy;
      const below = carryKnown ? knownBelow(known, size) : 0;
      const lo = operate(m, aLo, aHi, bLo, bHi, carry, size);
      const hi = m.hi;
      // What the known low bytes settle: PF of byte 0, AF of its low half; nothing else.
      const settled = below & 1 ? FLAG.p | FLAG.a : 0;
      m.forgetFlags(ALL & ~settled, reason);
      if (writes) a.store(m, lo, hi, below, reason);
      return NEXT;
    };
  };
}

/** A known zero byte decides `and`, a known all-ones byte decides `or`. */
function decidedBytes(lo: number, hi: number, known: number, value: 0 | 0xff): number {
  let bytes = 0;
  for (let i = 0; i < 8; i++) {
    const byte = i < 4 ? (lo >>> (8 * i)) & 0xff : (hi >>> (8 * (i - 4))) & 0xff;
    if (known & (1 << i) && byte === value) bytes |= 1 << i;
  }
  return bytes;
}

/** Flags of a logic result of which only some bytes are known. */
function partialLogicFlags(m: Machine, lo: number, hi: number, known: number, size: 1 | 2 | 4 | 8, why: number): void {
  m.setFlags(FLAG.c | FLAG.o, 0);
  m.forgetFlags(FLAG.a | FLAG.s | FLAG.z | FLAG.p, why);
  if (known & 1) m.setFlags(FLAG.p, resultFlags(lo & 0xff, 0, 1));
  if (known & (1 << (size - 1))) m.setFlags(FLAG.s, resultFlags(lo, hi, size));
  for (let i = 0; i < size; i++) {
    const byte = i < 4 ? (lo >>> (8 * i)) & 0xff : (hi >>> (8 * (i - 4))) & 0xff;
    if (known & (1 << i) && byte !== 0) m.setFlags(FLAG.z, 0);
  }
}

/** and, or, xor, test. */
function logic(kind: 'and' | 'or' | 'xor', writes: boolean): Compile {
  return (instruction, is64) => {
    const operands = pair(instruction, is64);
    if (!operands) return null;
    const [a, b] = operands;
    const size = a.size;
    const zeroes = kind === 'xor' && isSame(a, b);
    return (m) => {
      a.locate(m);
      b.locate(m);
      const bLo = b.load(m);
      const bHi = m.hi;
      const bKnown = m.known;
      const bWhy = m.why;
      const aLo = a.load(m);
      const aHi = m.hi;
      const aKnown = m.known;
      const why = isFull(bKnown, size) ? m.why : bWhy;
      let lo: number;
      let hi: number;
      let known = aKnown & bKnown;
      if (kind === 'and') {
        lo = aLo & bLo;
        hi = aHi & bHi;
        if (!isFull(known, size)) known |= decidedBytes(aLo, aHi, aKnown, 0) | decidedBytes(bLo, bHi, bKnown, 0);
      } else if (kind === 'or') {
        lo = aLo | bLo;
        hi = aHi | bHi;
        if (!isFull(known, size)) known |= decidedBytes(aLo, aHi, aKnown, 0xff) | decidedBytes(bLo, bHi, bKnown, 0xff);
      } else {
        lo = aLo ^ bLo;
        hi = aHi ^ bHi;
        if (zeroes) {
          lo = 0;
          hi = 0;
          known = 0xff;
        }
      }
      known &= FULL[size];
      if (known === FULL[size]) logicFlags(m, lo, hi, size);
      else partialLogicFlags(m, lo, hi, known, size, why);
      if (writes) a.store(m, lo, hi, known, why);
      return NEXT;
    };
  };
}

/** inc, dec: CF stays. */
function step(kind: 'inc' | 'dec'): Compile {
  return (instruction, is64) => {
    const a = single(instruction, is64);
    if (!a) return null;
    const size = a.size;
    const operate = kind === 'inc' ? add : subtract;
    return (m) => {
      a.locate(m);
      const aLo = a.load(m);
      const aHi = m.hi;
      const known = m.known;
      const why = m.why;
      const carry = m.flags & FLAG.c;
      const carryKnown = m.flagsKnown & FLAG.c;
      const lo = operate(m, aLo, aHi, 1, 0, 0, size);
      const hi = m.hi;
      m.flags = (m.flags & ~FLAG.c) | carry;
      m.flagsKnown = (m.flagsKnown & ~FLAG.c) | carryKnown;
      if (isFull(known, size)) {
        a.store(m, lo, hi, FULL[size], 0);
        return NEXT;
      }
      m.forgetFlags(ALL & ~FLAG.c, why);
      a.store(m, lo, hi, knownBelow(known, size), why);
      return NEXT;
    };
  };
}

const negate: Compile = (instruction, is64) => {
  const a = single(instruction, is64);
  if (!a) return null;
  const size = a.size;
  return (m) => {
    a.locate(m);
    const aLo = a.load(m);
    const aHi = m.hi;
    const known = m.known;
    const why = m.why;
    const lo = subtract(m, 0, 0, aLo, aHi, 0, size);
    const hi = m.hi;
    if (!isFull(known, size)) m.forgetFlags(ALL, why);
    a.store(m, lo, hi, isFull(known, size) ? FULL[size] : knownBelow(known, size), why);
    return NEXT;
  };
};

const invert: Compile = (instruction, is64) => {
  const a = single(instruction, is64);
  if (!a) return null;
  return (m) => {
    a.locate(m);
    const lo = a.load(m);
    a.store(m, ~lo, ~m.hi, m.known, m.why);
    return NEXT;
  };
};

/** xadd: the sum goes to the first operand, its old value to the second. */
const exchangeAdd: Compile = (instruction, is64) => {
  const operands = pair(instruction, is64);
  if (!operands) return null;
  const [a, b] = operands;
  const size = a.size;
  return (m) => {
    a.locate(m);
    const bLo = b.load(m);
    const bHi = m.hi;
    const bKnown = m.known;
    const bWhy = m.why;
    const aLo = a.load(m);
    const aHi = m.hi;
    const aKnown = m.known;
    const aWhy = m.why;
    const known = aKnown & bKnown;
    const full = isFull(known, size);
    const why = isFull(aKnown, size) ? bWhy : aWhy;
    const lo = add(m, aLo, aHi, bLo, bHi, 0, size);
    const hi = m.hi;
    if (!full) m.forgetFlags(ALL, why);
    b.store(m, aLo, aHi, aKnown, aWhy);
    a.store(m, lo, hi, full ? FULL[size] : knownBelow(known, size), why);
    return NEXT;
  };
};

/** cmpxchg: compares the accumulator with the destination; equal: source to destination, else destination to accumulator. */
const compareExchange: Compile = (instruction, is64) => {
  const operands = pair(instruction, is64);
  if (!operands) return null;
  const [a, b] = operands;
  const size = a.size;
  const accumulator = accumulatorPlaces[size];
  return (m) => {
    a.locate(m);
    const aLo = a.load(m);
    const aHi = m.hi;
    const aKnown = m.known;
    const aWhy = m.why;
    const bLo = b.load(m);
    const bHi = m.hi;
    const bKnown = m.known;
    const bWhy = m.why;
    const cLo = accumulator.load(m);
    const cHi = m.hi;
    if (!isFull(aKnown & m.known, size)) {
      const why = isFull(aKnown, size) ? m.why : aWhy;
      m.forgetFlags(ALL, why);
      forgetPlace(m, a, why);
      forgetPlace(m, accumulator, why);
      return NEXT;
    }
    subtract(m, cLo, cHi, aLo, aHi, 0, size);
    if (m.flags & FLAG.z) {
      a.store(m, bLo, bHi, bKnown, bWhy);
    } else {
      if (a.kind === 'memory') a.store(m, aLo, aHi, aKnown, aWhy);
      // Whether a failing 32-bit form clears the upper half of its destination register differs between processors.
      else if (size === 4) keepUpperIfZero(m, a.index, 15, m.undetermined(instruction.mnemonic));
      accumulator.store(m, aLo, aHi, aKnown, aWhy);
    }
    return NEXT;
  };
};

export const ALU: Readonly<Record<string, Compile>> = {
  add: arithmetic('add', false, true),
  adc: arithmetic('add', true, true),
  sub: arithmetic('sub', false, true),
  sbb: arithmetic('sub', true, true),
  cmp: arithmetic('sub', false, false),
  and: logic('and', true),
  or: logic('or', true),
  xor: logic('xor', true),
  test: logic('and', false),
  inc: step('inc'),
  dec: step('dec'),
  neg: negate,
  not: invert,
  xadd: exchangeAdd,
  cmpxchg: compareExchange,
};
