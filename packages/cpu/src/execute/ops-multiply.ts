import { highWord, lowWord, toBig } from './arithmetic.ts';
import { type Machine, NEXT } from './machine.ts';
import { FULL, places, registerBySize, registerPlace } from './places.ts';
import { ARITHMETIC_FLAGS, FLAG } from './state.ts';
import { type Compile, isFull, single } from './step.ts';

const AX = registerBySize(0);
const DX = registerBySize(2);
const AH = registerPlace(0, 1, 8);
type Size = 1 | 2 | 4 | 8;

function carryOverflow(m: Machine, set: boolean, mnemonic: string): void {
  m.forgetFlags(ARITHMETIC_FLAGS & ~(FLAG.c | FLAG.o), m.undetermined(mnemonic));
  m.setFlags(FLAG.c | FLAG.o, set ? FLAG.c | FLAG.o : 0);
}

/** One-operand mul and imul: accumulator times operand into the double-width pair. */
function wideMultiply(signed: boolean): Compile {
  return (instruction, is64) => {
    const a = single(instruction, is64);
    if (!a) return null;
    const size = a.size;
    const bits = size * 8;
    return (m) => {
      a.locate(m);
      const lo = a.load(m);
      const hi = m.hi;
      const known = m.known;
      const aWhy = m.why;
      const cLo = AX[size].load(m);
      const cHi = m.hi;
      if (!isFull(known & m.known, size)) {
        const why = isFull(known, size) ? m.why : aWhy;
        m.forgetFlags(ARITHMETIC_FLAGS, why);
        if (size === 1) AX[2].store(m, 0, 0, 0, why);
        else {
          AX[size].store(m, 0, 0, 0, why);
          DX[size].store(m, 0, 0, 0, why);
        }
        return NEXT;
      }
      const x = toBig(lo, hi);
      const y = toBig(cLo, cHi);
      const product = signed
        ? BigInt.asIntN(bits, x) * BigInt.asIntN(bits, y)
        : BigInt.asUintN(bits, x) * BigInt.asUintN(bits, y);
      const low = BigInt.asUintN(bits, product);
      const high = BigInt.asUintN(bits, product >> BigInt(bits));
      const wide = signed ? BigInt.asIntN(bits, product) !== product : high !== 0n;
      carryOverflow(m, wide, instruction.mnemonic);
      if (size === 1) AX[2].store(m, Number((high << 8n) | low), 0, 3, 0);
      else {
        AX[size].store(m, lowWord(low), highWord(low), FULL[size], 0);
        DX[size].store(m, lowWord(high), highWord(high), FULL[size], 0);
      }
      return NEXT;
    };
  };
}

/** imul with two or three operands. */
const narrowMultiply: Compile = (instruction, is64) => {
  if (instruction.operands.length === 1) return wideMultiply(true)(instruction, is64);
  const [a, b, c] = places(instruction, is64);
  if (!a || !b || (instruction.operands.length > 2 && !c)) return null;
  const size = a.size;
  const bits = size * 8;
  return (m) => {
    b.locate(m);
    const bLo = b.load(m);
    const bHi = m.hi;
    const bKnown = m.known;
    const bWhy = m.why;
    const cLo = (c ?? a).load(m);
    const cHi = m.hi;
    if (!isFull(bKnown & m.known, size)) {
      const why = isFull(bKnown, size) ? m.why : bWhy;
      m.forgetFlags(ARITHMETIC_FLAGS, why);
      a.store(m, 0, 0, 0, why);
      return NEXT;
    }
    const product = BigInt.asIntN(bits, toBig(bLo, bHi)) * BigInt.asIntN(bits, toBig(cLo, cHi));
    const low = BigInt.asUintN(bits, product);
    carryOverflow(m, BigInt.asIntN(bits, product) !== product, instruction.mnemonic);
    a.store(m, lowWord(low), highWord(low), FULL[size], 0);
    return NEXT;
  };
};

function divide(signed: boolean): Compile {
  return (instruction, is64) => {
    const a = single(instruction, is64);
    if (!a) return null;
    const size: Size = a.size;
    const bits = size * 8;
    const high = size === 1 ? AH : DX[size];
    return (m) => {
      a.locate(m);
      const lo = a.load(m);
      const hi = m.hi;
      const known = m.known;
      let why = m.why;
      const aLo = AX[size].load(m);
      const aHi = m.hi;
      const aKnown = m.known;
      if (!isFull(aKnown, size)) why = m.why;
      const dLo = high.load(m);
      const dHi = m.hi;
      if (!isFull(m.known, size)) why = m.why;
      m.forgetFlags(ARITHMETIC_FLAGS, m.undetermined(instruction.mnemonic));
      if (isFull(known, size) && (lo | hi) === 0) {
        m.stopFault('divide by zero');
        return NEXT;
      }
      if (!isFull(known & aKnown & m.known, size)) {
        AX[size].store(m, 0, 0, 0, why);
        high.store(m, 0, 0, 0, why);
        return NEXT;
      }
      const dividend = (BigInt.asUintN(bits, toBig(dLo, dHi)) << BigInt(bits)) | BigInt.asUintN(bits, toBig(aLo, aHi));
      const n = signed ? BigInt.asIntN(2 * bits, dividend) : dividend;
      const by = signed ? BigInt.asIntN(bits, toBig(lo, hi)) : BigInt.asUintN(bits, toBig(lo, hi));
      const quotient = n / by;
      const remainder = n % by;
      const fits = signed ? BigInt.asIntN(bits, quotient) === quotient : BigInt.asUintN(bits, quotient) === quotient;
      if (!fits) {
        m.stopFault('divide overflow');
        return NEXT;
      }
      const q = BigInt.asUintN(bits, quotient);
      const r = BigInt.asUintN(bits, remainder);
      AX[size].store(m, lowWord(q), highWord(q), FULL[size], 0);
      high.store(m, lowWord(r), highWord(r), FULL[size], 0);
      return NEXT;
    };
  };
}

/** Three-operand bit instructions of BMI1, BMI2 on whole values; `compute` returns the result and CF, or null. */
function whole(
  compute: (x: bigint, y: bigint, bits: number) => { value: bigint; carry: number | null },
  flags: 'none' | 'logic' | 'bextr',
): Compile {
  return (instruction, is64) => {
    const [a, b, c] = places(instruction, is64);
    if (!a || !b || (instruction.operands.length > 2 && !c)) return null;
    const size = a.size;
    const bits = size * 8;
    return (m) => {
      b.locate(m);
      c?.locate(m);
      const bLo = b.load(m);
      const bHi = m.hi;
      let known = m.known;
      let why = m.why;
      let y = 0n;
      if (c) {
        const cLo = c.load(m);
        y = toBig(cLo, m.hi);
        if (!isFull(m.known, c.size)) {
          known = 0;
          why = m.why;
        }
      }
      if (!isFull(known, size)) {
        if (flags !== 'none') m.forgetFlags(ARITHMETIC_FLAGS, why);
        a.store(m, 0, 0, 0, why);
        return NEXT;
      }
      const { value, carry } = compute(BigInt.asUintN(bits, toBig(bLo, bHi)), y, bits);
      const result = BigInt.asUintN(bits, value);
      if (flags !== 'none') {
        m.forgetFlags(ARITHMETIC_FLAGS, m.undetermined(instruction.mnemonic));
        const sign = result >> BigInt(bits - 1) ? FLAG.s : 0;
        const zero = result === 0n ? FLAG.z : 0;
        // bextr defines ZF, CF and OF only.
        const defined = flags === 'logic' ? FLAG.s | FLAG.z | FLAG.o | FLAG.c : FLAG.z | FLAG.o | FLAG.c;
        m.setFlags(defined, sign | zero | (carry ? FLAG.c : 0));
      }
      a.store(m, lowWord(result), highWord(result), FULL[size], 0);
      return NEXT;
    };
  };
}

const shiftCount = (y: bigint, bits: number): bigint => y & BigInt(bits - 1);

function deposit(x: bigint, mask: bigint): bigint {
  let result = 0n;
  let from = 0n;
  for (let i = 0n; mask >> i !== 0n; i++) {
    if (!((mask >> i) & 1n)) continue;
    if ((x >> from) & 1n) result |= 1n << i;
    from++;
  }
  return result;
}

function extract(x: bigint, mask: bigint): bigint {
  let result = 0n;
  let to = 0n;
  for (let i = 0n; mask >> i !== 0n; i++) {
    if (!((mask >> i) & 1n)) continue;
    if ((x >> i) & 1n) result |= 1n << to;
    to++;
  }
  return result;
}

/** mulx: rdx times the operand, no flags. */
const multiplyX: Compile = (instruction, is64) => {
  const [high, low, source] = places(instruction, is64);
  if (!high || !low || !source || source.size < 4) return null;
  const size = source.size;
  const bits = size * 8;
  return (m) => {
    source.locate(m);
    const lo = source.load(m);
    const hi = m.hi;
    const known = m.known;
    const aWhy = m.why;
    const dLo = DX[size].load(m);
    const full = isFull(known & m.known, size);
    const why = isFull(known, size) ? m.why : aWhy;
    const product = toBig(lo, hi) * toBig(dLo, m.hi);
    const lower = BigInt.asUintN(bits, product);
    const upper = product >> BigInt(bits);
    // The high half wins when both destinations are one register.
    low.store(m, lowWord(lower), highWord(lower), full ? FULL[size] : 0, why);
    high.store(m, lowWord(upper), highWord(upper), full ? FULL[size] : 0, why);
    return NEXT;
  };
};

/** adcx and adox: an addition that carries through one flag only. */
function addThrough(flag: number): Compile {
  return (instruction, is64) => {
    const [a, b] = places(instruction, is64);
    if (!a || !b) return null;
    const size = a.size;
    const bits = size * 8;
    return (m) => {
      b.locate(m);
      const bLo = b.load(m);
      const bHi = m.hi;
      const bKnown = m.known;
      const bWhy = m.why;
      const aLo = a.load(m);
      const aHi = m.hi;
      if (!isFull(m.known & bKnown, size) || !(m.flagsKnown & flag)) {
        const why = isFull(bKnown, size) ? (isFull(m.known, size) ? m.flagsWhy : m.why) : bWhy;
        m.forgetFlags(flag, why);
        a.store(m, 0, 0, 0, why);
        return NEXT;
      }
      const sum = toBig(aLo, aHi) + toBig(bLo, bHi) + (m.flags & flag ? 1n : 0n);
      m.setFlags(flag, sum >> BigInt(bits) ? flag : 0);
      const result = BigInt.asUintN(bits, sum);
      a.store(m, lowWord(result), highWord(result), FULL[size], 0);
      return NEXT;
    };
  };
}

export const MULTIPLY: Readonly<Record<string, Compile>> = {
  mul: wideMultiply(false),
  imul: narrowMultiply,
  div: divide(false),
  idiv: divide(true),
  andn: whole((x, y) => ({ value: ~x & y, carry: 0 }), 'logic'),
  blsi: whole((x) => ({ value: -x & x, carry: x === 0n ? 0 : 1 }), 'logic'),
  blsr: whole((x) => ({ value: (x - 1n) & x, carry: x === 0n ? 1 : 0 }), 'logic'),
  blsmsk: whole((x) => ({ value: (x - 1n) ^ x, carry: x === 0n ? 1 : 0 }), 'logic'),
  bextr: whole((x, y, bits) => {
    const start = y & 0xffn;
    const length = (y >> 8n) & 0xffn;
    return { value: BigInt.asUintN(Number(length > BigInt(bits) ? BigInt(bits) : length), x >> start), carry: 0 };
  }, 'bextr'),
  bzhi: whole((x, y, bits) => {
    const n = Number(y & 0xffn);
    return { value: n < bits ? BigInt.asUintN(n, x) : x, carry: n > bits - 1 ? 1 : 0 };
  }, 'logic'),
  shlx: whole((x, y, bits) => ({ value: x << shiftCount(y, bits), carry: null }), 'none'),
  shrx: whole((x, y, bits) => ({ value: x >> shiftCount(y, bits), carry: null }), 'none'),
  sarx: whole((x, y, bits) => ({ value: BigInt.asIntN(bits, x) >> shiftCount(y, bits), carry: null }), 'none'),
  rorx: whole((x, y, bits) => {
    const n = shiftCount(y, bits);
    return { value: (x >> n) | (x << (BigInt(bits) - n)), carry: null };
  }, 'none'),
  pdep: whole((x, y, bits) => ({ value: deposit(x, BigInt.asUintN(bits, y)), carry: null }), 'none'),
  pext: whole((x, y, bits) => ({ value: extract(x, BigInt.asUintN(bits, y)), carry: null }), 'none'),
  mulx: multiplyX,
  adcx: addThrough(FLAG.c),
  adox: addThrough(FLAG.o),
};
