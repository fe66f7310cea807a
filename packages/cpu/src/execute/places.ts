import type { Instruction, MemoryOperand, Operand } from '../instruction.ts';
import type { Machine } from './machine.ts';
import { registerPart } from './state.ts';

/**
 * One operand, compiled. `locate` computes a memory operand's address into the machine's address registers and does
 * nothing for the others; `load` and `store` then use it.
 */
export interface Place {
  readonly kind: 'register' | 'memory' | 'immediate';
  readonly size: 1 | 2 | 4 | 8;
  /** General register number, or -1. */
  readonly index: number;
  /** 8 for ah, ch, dh and bh. */
  readonly shift: 0 | 8;
  locate(m: Machine): void;
  load(m: Machine): number;
  store(m: Machine, lo: number, hi: number, known: number, why: number): void;
}

const nothing = (): void => {};

/** Byte masks of fully known values by size. */
export const FULL: Readonly<Record<1 | 2 | 4 | 8, number>> = { 1: 1, 2: 3, 4: 15, 8: 255 };

export function registerPlace(index: number, size: 1 | 2 | 4 | 8, shift: 0 | 8 = 0): Place {
  const full = FULL[size];
  if (size === 8)
    return {
      kind: 'register',
      size,
      index,
      shift,
      locate: nothing,
      load(m) {
        m.hi = m.hiWords[index] ?? 0;
        m.known = m.knownBytes[index] ?? 0;
        m.why = m.whyIds[index] ?? 0;
        return m.lo[index] ?? 0;
      },
      store(m, lo, hi, known, why) {
        m.lo[index] = lo;
        m.hiWords[index] = hi;
        m.knownBytes[index] = known;
        m.whyIds[index] = why;
      },
    };
  if (size === 4)
    return {
      kind: 'register',
      size,
      index,
      shift,
      locate: nothing,
      load(m) {
        m.hi = 0;
        m.known = (m.knownBytes[index] ?? 0) & 15;
        m.why = m.whyIds[index] ?? 0;
        return m.lo[index] ?? 0;
      },
      // A 32-bit result clears the upper half, in 64-bit mode and (always clear) in 32-bit mode.
      store(m, lo, _hi, known, why) {
        m.lo[index] = lo;
        m.hiWords[index] = 0;
        m.knownBytes[index] = (known & 15) | 0xf0;
        m.whyIds[index] = why;
      },
    };
  const mask = size === 1 ? 0xff : 0xffff;
  const bytes = full << (shift >> 3);
  return {
    kind: 'register',
    size,
    index,
    shift,
    locate: nothing,
    load(m) {
      m.hi = 0;
      m.known = ((m.knownBytes[index] ?? 0) >> (shift >> 3)) & full;
      m.why = m.whyIds[index] ?? 0;
      return ((m.lo[index] ?? 0) >>> shift) & mask;
    },
    store(m, lo, _hi, known, why) {
      m.lo[index] = ((m.lo[index] ?? 0) & ~(mask << shift)) | ((lo & mask) << shift);
      m.knownBytes[index] = ((m.knownBytes[index] ?? 0) & ~bytes) | ((known & full) << (shift >> 3));
      if ((known & full) !== full) m.whyIds[index] = why;
    },
  };
}

function immediatePlace(value: bigint, size: 1 | 2 | 4 | 8): Place {
  const lo = Number(BigInt.asUintN(32, value)) | 0;
  const hi = Number(BigInt.asUintN(32, value >> 32n)) | 0;
  const known = FULL[size];
  return {
    kind: 'immediate',
    size,
    index: -1,
    shift: 0,
    locate: nothing,
    load(m) {
      m.hi = hi;
      m.known = known;
      m.why = 0;
      return lo;
    },
    store: nothing,
  };
}

/** Computes an operand's effective address, segment base included, into the address registers. */
export type Locate = (m: Machine) => void;

/** Compiles the address of a memory operand; null for what is not modelled (16-bit and vector-indexed addressing). */
export function compileAddress(op: MemoryOperand, is64: boolean, applySegment: boolean): Locate | null {
  if (op.addressSize !== 4 && op.addressSize !== 8) return null;
  const base = op.base === null ? null : registerPart(op.base);
  const index = op.index === null ? null : registerPart(op.index);
  if (base === undefined || index === undefined) return null;
  if ((base && base.size !== op.addressSize) || (index && index.size !== op.addressSize)) return null;
  const wide = op.addressSize === 8;
  const dLo = Number(BigInt.asUintN(32, op.displacement)) | 0;
  const dHi = wide ? Number(BigInt.asUintN(32, op.displacement >> 32n)) | 0 : 0;
  const segment = applySegment && (op.segment === 'fs' || op.segment === 'gs') ? op.segment : null;
  const baseIndex = base?.index ?? -1;
  const indexIndex = index?.index ?? -1;
  const shift = op.scale === 8 ? 3 : op.scale === 4 ? 2 : op.scale === 2 ? 1 : 0;
  const need = wide ? 0xff : 0x0f;
  return (m) => {
    let lo = dLo;
    let hi = dHi;
    if (baseIndex >= 0) {
      if (((m.knownBytes[baseIndex] ?? 0) & need) !== need) {
        m.addressKnown = false;
        m.addressWhy = m.whyIds[baseIndex] ?? 0;
        return;
      }
      const sum = (lo >>> 0) + ((m.lo[baseIndex] ?? 0) >>> 0);
      hi = (hi + (m.hiWords[baseIndex] ?? 0) + (sum > 0xffffffff ? 1 : 0)) | 0;
      lo = sum | 0;
    }
    if (indexIndex >= 0) {
      if (((m.knownBytes[indexIndex] ?? 0) & need) !== need) {
        m.addressKnown = false;
        m.addressWhy = m.whyIds[indexIndex] ?? 0;
        return;
      }
      const iLo = m.lo[indexIndex] ?? 0;
      const iHi = m.hiWords[indexIndex] ?? 0;
      const sLo = iLo << shift;
      const sHi = shift === 0 ? iHi : (iHi << shift) | (iLo >>> (32 - shift));
      const sum = (lo >>> 0) + (sLo >>> 0);
      hi = (hi + sHi + (sum > 0xffffffff ? 1 : 0)) | 0;
      lo = sum | 0;
    }
    if (!wide) hi = 0;
    if (segment !== null) {
      const segmentBase = m.segmentBases[segment];
      if (segmentBase === null) {
        m.addressKnown = false;
        m.addressWhy = m.reason({ kind: 'register', register: segment });
        return;
      }
      const sum = (lo >>> 0) + Number(BigInt.asUintN(32, segmentBase));
      hi = (hi + Number(BigInt.asUintN(32, segmentBase >> 32n)) + (sum > 0xffffffff ? 1 : 0)) | 0;
      lo = sum | 0;
    }
    m.addressLo = lo;
    m.addressHi = is64 ? hi : 0;
    m.addressKnown = true;
  };
}

function memoryPlace(op: MemoryOperand, is64: boolean, size: 1 | 2 | 4 | 8): Place | null {
  const locate = compileAddress(op, is64, true);
  if (!locate) return null;
  return {
    kind: 'memory',
    size,
    index: -1,
    shift: 0,
    locate,
    load: (m) => m.loadMemory(size),
    store: (m, lo, hi, known, why) => m.storeMemory(size, lo, hi, known, why),
  };
}

function isSize(size: number): size is 1 | 2 | 4 | 8 {
  return size === 1 || size === 2 || size === 4 || size === 8;
}

/** Compiles a general-purpose operand; null for vector, control, segment and other registers. */
export function compilePlace(operand: Operand | undefined, is64: boolean): Place | null {
  if (!operand) return null;
  switch (operand.kind) {
    case 'register': {
      const part = registerPart(operand.register);
      return part ? registerPlace(part.index, part.size, part.shift) : null;
    }
    case 'immediate':
      return isSize(operand.size) ? immediatePlace(operand.value, operand.size) : null;
    case 'memory':
      return isSize(operand.size) ? memoryPlace(operand, is64, operand.size) : null;
    case 'branch':
      return null;
  }
}

export function places(instruction: Instruction, is64: boolean): (Place | null)[] {
  return instruction.operands.map((op) => compilePlace(op, is64));
}

/** al, ax, eax, rax by size; and the like for cl…, dl…. */
export function registerBySize(index: number): Readonly<Record<1 | 2 | 4 | 8, Place>> {
  return {
    1: registerPlace(index, 1),
    2: registerPlace(index, 2),
    4: registerPlace(index, 4),
    8: registerPlace(index, 8),
  };
}

/**
 * A destination that the processor may or may not have written. A 32-bit register keeps or loses its upper half then, so
 * that half stays known only when it is zero already.
 */
export function forgetPlace(m: Machine, place: Place, why: number): void {
  if (place.kind !== 'register' || place.size !== 4) {
    place.store(m, 0, 0, 0, why);
    return;
  }
  keepUpperIfZero(m, place.index, 0, why);
}

/** Writes nothing but forgets the upper half of a register unless it is zero; `low` is the mask of the low bytes to keep. */
export function keepUpperIfZero(m: Machine, index: number, low: number, why: number): void {
  const known = m.knownBytes[index] ?? 0;
  const upperZero = (known & 0xf0) === 0xf0 && m.hiWords[index] === 0;
  m.knownBytes[index] = (known & low) | (upperZero ? 0xf0 : 0);
  if (m.knownBytes[index] !== 0xff) m.whyIds[index] = why;
}
