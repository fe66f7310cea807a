/** A "numeric leaf": a u16 below 0x8000, or a kind and a value. `size` is the bytes taken; 0 when it does not fit. */
export interface Numeric {
  readonly value: bigint;
  readonly size: number;
}

const NONE: Numeric = { value: 0n, size: 0 };

/** Reads the numeric leaf at `at`, which must end before `limit`. */
export function readNumeric(view: DataView, at: number, limit: number): Numeric {
  if (at + 2 > limit) return NONE;
  const leaf = view.getUint16(at, true);
  if (leaf < 0x8000) return { value: BigInt(leaf), size: 2 };
  const v = at + 2;
  const fits = (n: number): boolean => v + n <= limit;
  switch (leaf) {
    case 0x8000:
      return fits(1) ? { value: BigInt(view.getInt8(v)), size: 3 } : NONE;
    case 0x8001:
      return fits(2) ? { value: BigInt(view.getInt16(v, true)), size: 4 } : NONE;
    case 0x8002:
      return fits(2) ? { value: BigInt(view.getUint16(v, true)), size: 4 } : NONE;
    case 0x8003:
      return fits(4) ? { value: BigInt(view.getInt32(v, true)), size: 6 } : NONE;
    case 0x8004:
      return fits(4) ? { value: BigInt(view.getUint32(v, true)), size: 6 } : NONE;
    case 0x8009:
      return fits(8) ? { value: view.getBigInt64(v, true), size: 10 } : NONE;
    case 0x800a:
      return fits(8) ? { value: view.getBigUint64(v, true), size: 10 } : NONE;
    case 0x8017:
    case 0x8018: {
      if (!fits(16)) return NONE;
      const high = leaf === 0x8017 ? view.getBigInt64(v + 8, true) : view.getBigUint64(v + 8, true);
      return { value: (high << 64n) | view.getBigUint64(v, true), size: 18 };
    }
    default: {
      // Reals, complex numbers, strings: never in a type's size or offset; their length is all that matters.
      const length = OTHER[leaf];
      return length !== undefined && fits(length) ? { value: 0n, size: 2 + length } : NONE;
    }
  }
}

const OTHER: Readonly<Record<number, number>> = {
  32773: 4,
  32774: 8,
  32775: 10,
  32776: 16,
  32779: 6,
  32780: 8,
  32781: 16,
  32782: 20,
  32783: 32,
  32796: 2,
};
