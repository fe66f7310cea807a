import type { Instruction } from '../instruction.ts';
import { subtract } from './arithmetic.ts';
import { AGAIN, type Machine, NEXT } from './machine.ts';
import { FULL, registerBySize, registerPlace } from './places.ts';
import { ARITHMETIC_FLAGS, FLAG, registerPart } from './state.ts';
import { type Compile, isFull, type Step } from './step.ts';

const AX = registerBySize(0);
type Size = 1 | 2 | 4 | 8;

interface StringShape {
  readonly size: Size;
  readonly wide: boolean;
  /** Segment of the source; the destination's is es, flat in every system we read. */
  readonly segment: 'fs' | 'gs' | null;
}

function shapeOf(instruction: Instruction, is64: boolean): StringShape | null {
  let size = 0;
  let addressSize = 0;
  let segment: StringShape['segment'] = null;
  for (const op of instruction.operands) {
    if (op.kind !== 'memory') continue;
    size = op.size;
    addressSize = op.addressSize;
    if (op.segment === 'fs' || op.segment === 'gs') segment = op.segment;
    const part = op.base === null ? undefined : registerPart(op.base);
    if (!part) return null;
  }
  if (size !== 1 && size !== 2 && size !== 4 && size !== 8) return null;
  if (addressSize !== 4 && addressSize !== 8) return null;
  if (segment !== null) return null;
  return { size, wide: is64 && addressSize === 8, segment };
}

const SI = { true: registerPlace(6, 8), false: registerPlace(6, 4) } as const;
const DI = { true: registerPlace(7, 8), false: registerPlace(7, 4) } as const;
const CX = { true: registerPlace(1, 8), false: registerPlace(1, 4) } as const;
const keyOf = (wide: boolean): 'true' | 'false' => (wide ? 'true' : 'false');

/** Points the address registers at rsi or rdi. */
function locate(m: Machine, place: (typeof SI)['true']): void {
  m.addressLo = place.load(m);
  m.addressHi = m.hi;
  m.addressKnown = isFull(m.known, place.size);
  m.addressWhy = m.why;
}

function advance(m: Machine, place: (typeof SI)['true'], size: Size): void {
  const lo = place.load(m);
  const hi = m.hi;
  const known = m.known;
  const why = m.why;
  if (!(m.flagsKnown & FLAG.d)) {
    place.store(m, 0, 0, 0, m.flagsWhy);
    return;
  }
  const delta = m.flags & FLAG.d ? -size : size;
  const sum = (lo >>> 0) + delta;
  place.store(m, sum | 0, (hi + (sum > 0xffffffff ? 1 : sum < 0 ? -1 : 0)) | 0, known, why);
}

/** Runs `once` under the instruction's repeat prefix; one repetition a step, so that a long count stays bounded. */
function repeated(instruction: Instruction, shape: StringShape, once: Step, compares: boolean): Step {
  const { rep } = instruction;
  if (rep === null) return once;
  const count = CX[keyOf(shape.wide)];
  return (m) => {
    const lo = count.load(m);
    const hi = m.hi;
    if (!isFull(m.known, count.size)) {
      m.stopUnknown('count', m.why);
      return NEXT;
    }
    if ((lo | hi) === 0) {
      // A repeat that runs zero times still writes its count: a 32-bit one clears the upper half.
      count.store(m, 0, 0, FULL[count.size], 0);
      return NEXT;
    }
    once(m);
    if (m.halt) return NEXT;
    const low = (lo >>> 0) - 1;
    const nextLo = low | 0;
    const nextHi = low < 0 ? (hi - 1) | 0 : hi;
    count.store(m, nextLo, nextHi, FULL[count.size], 0);
    if ((nextLo | nextHi) === 0) return NEXT;
    if (!compares) return AGAIN;
    if (!(m.flagsKnown & FLAG.z)) {
      m.stopUnknown('branch', m.flagsWhy);
      return NEXT;
    }
    const equal = (m.flags & FLAG.z) !== 0;
    return equal === (rep !== 'repne') ? AGAIN : NEXT;
  };
}

function compareFlags(m: Machine, size: Size, a: number[], b: number[], known: number, why: number): void {
  subtract(m, a[0] ?? 0, a[1] ?? 0, b[0] ?? 0, b[1] ?? 0, 0, size);
  if (!isFull(known, size)) m.forgetFlags(ARITHMETIC_FLAGS, why);
}

const moveString: Compile = (instruction, is64) => {
  const shape = shapeOf(instruction, is64);
  if (!shape) return null;
  const { size } = shape;
  const si = SI[keyOf(shape.wide)];
  const di = DI[keyOf(shape.wide)];
  return repeated(
    instruction,
    shape,
    (m) => {
      locate(m, si);
      const lo = m.loadMemory(size);
      const { hi, known, why } = m;
      locate(m, di);
      m.storeMemory(size, lo, hi, known, why);
      if (m.halt) return NEXT;
      advance(m, si, size);
      advance(m, di, size);
      return NEXT;
    },
    false,
  );
};

const storeString: Compile = (instruction, is64) => {
  const shape = shapeOf(instruction, is64);
  if (!shape) return null;
  const { size } = shape;
  const di = DI[keyOf(shape.wide)];
  return repeated(
    instruction,
    shape,
    (m) => {
      const lo = AX[size].load(m);
      const { hi, known, why } = m;
      locate(m, di);
      m.storeMemory(size, lo, hi, known, why);
      if (!m.halt) advance(m, di, size);
      return NEXT;
    },
    false,
  );
};

const loadString: Compile = (instruction, is64) => {
  const shape = shapeOf(instruction, is64);
  if (!shape) return null;
  const { size } = shape;
  const si = SI[keyOf(shape.wide)];
  return repeated(
    instruction,
    shape,
    (m) => {
      locate(m, si);
      const lo = m.loadMemory(size);
      if (m.halt) return NEXT;
      AX[size].store(m, lo, m.hi, m.known, m.why);
      advance(m, si, size);
      return NEXT;
    },
    false,
  );
};

const scanString: Compile = (instruction, is64) => {
  const shape = shapeOf(instruction, is64);
  if (!shape) return null;
  const { size } = shape;
  const di = DI[keyOf(shape.wide)];
  return repeated(
    instruction,
    shape,
    (m) => {
      locate(m, di);
      const lo = m.loadMemory(size);
      if (m.halt) return NEXT;
      const { hi, known, why } = m;
      const aLo = AX[size].load(m);
      compareFlags(m, size, [aLo, m.hi], [lo, hi], known & m.known, isFull(known, size) ? m.why : why);
      advance(m, di, size);
      return NEXT;
    },
    true,
  );
};

const compareString: Compile = (instruction, is64) => {
  const shape = shapeOf(instruction, is64);
  if (!shape) return null;
  const { size } = shape;
  const si = SI[keyOf(shape.wide)];
  const di = DI[keyOf(shape.wide)];
  return repeated(
    instruction,
    shape,
    (m) => {
      locate(m, si);
      const aLo = m.loadMemory(size);
      const { hi: aHi, known: aKnown, why: aWhy } = m;
      locate(m, di);
      const bLo = m.loadMemory(size);
      if (m.halt) return NEXT;
      compareFlags(m, size, [aLo, aHi], [bLo, m.hi], aKnown & m.known, isFull(aKnown, size) ? m.why : aWhy);
      advance(m, si, size);
      advance(m, di, size);
      return NEXT;
    },
    true,
  );
};

export const STRINGS: Readonly<Record<string, Compile>> = {
  movs: moveString,
  stos: storeString,
  lods: loadString,
  scas: scanString,
  cmps: compareString,
};
