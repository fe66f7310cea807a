import { va } from '@dumpscope/core';
import type { MemoryPort } from './state.ts';

/**
 * Memory of one execution: what was captured, overlaid with what was written, in cells of eight aligned bytes. Values are
 * pairs of 32-bit numbers; a byte mask says which bytes are known.
 */
export class Cells {
  /** Cell number by address / 8; exact because addresses are canonical (57 bits, signed). */
  readonly #index = new Map<number, number>();
  readonly #port: MemoryPort;
  readonly #limit: number;
  #lo: Int32Array;
  #hi: Int32Array;
  #known: Uint8Array;
  /** Id of the reason why bytes of the cell are unknown. */
  #why: Uint16Array;
  #key: Float64Array;
  /** Epoch of the last read by an instruction that matters, and of the first write since the last snapshot. */
  #readEpoch: Int32Array;
  /** Which bytes those reads took. */
  #readMask: Uint8Array;
  #writeEpoch: Int32Array;
  #count = 0;
  epoch = 1;
  /** Cells first written in this epoch, with what they held. */
  #written: { cell: number; lo: number; hi: number; known: number }[] = [];
  /** Gives an id to the reason "memory at address cannot be read". */
  readonly #reason: (address: bigint) => number;
  /** Set when the limit was reached; reads are unknown from then on and the run must end. */
  full = false;

  // Result registers of load.
  hi = 0;
  known = 0;
  why = 0;

  constructor(port: MemoryPort, reason: (address: bigint) => number, limit: number = 1 << 18) {
    this.#port = port;
    this.#reason = reason;
    this.#limit = limit;
    const n = 64;
    this.#lo = new Int32Array(n);
    this.#hi = new Int32Array(n);
    this.#known = new Uint8Array(n);
    this.#why = new Uint16Array(n);
    this.#key = new Float64Array(n);
    this.#readEpoch = new Int32Array(n);
    this.#readMask = new Uint8Array(n);
    this.#writeEpoch = new Int32Array(n);
  }

  #grow(): void {
    const grown = <T extends Int32Array | Uint8Array | Uint16Array | Float64Array>(
      old: T,
      make: (n: number) => T,
    ): T => {
      const next = make(old.length * 2);
      next.set(old);
      return next;
    };
    this.#lo = grown(this.#lo, (n) => new Int32Array(n));
    this.#hi = grown(this.#hi, (n) => new Int32Array(n));
    this.#known = grown(this.#known, (n) => new Uint8Array(n));
    this.#why = grown(this.#why, (n) => new Uint16Array(n));
    this.#key = grown(this.#key, (n) => new Float64Array(n));
    this.#readEpoch = grown(this.#readEpoch, (n) => new Int32Array(n));
    this.#readMask = grown(this.#readMask, (n) => new Uint8Array(n));
    this.#writeEpoch = grown(this.#writeEpoch, (n) => new Int32Array(n));
  }

  #cell(lo: number, hi: number): number {
    const key = hi * 0x20000000 + (lo >>> 3);
    const found = this.#index.get(key);
    if (found !== undefined) return found;
    if (this.#count >= this.#limit) {
      this.full = true;
      return -1;
    }
    if (this.#count === this.#lo.length) this.#grow();
    const cell = this.#count++;
    this.#index.set(key, cell);
    this.#key[cell] = key;
    const address = BigInt.asUintN(64, (BigInt(hi) << 32n) | BigInt((lo & ~7) >>> 0));
    let value = this.#port.read(address, 8);
    let known = 0xff;
    if (value === null) {
      known = 0;
      value = 0n;
      for (let i = 0; i < 8; i++) {
        const byte = this.#port.read(address + BigInt(i), 1);
        if (byte === null) continue;
        known |= 1 << i;
        value |= byte << BigInt(8 * i);
      }
      if (known !== 0xff) {
        let first = 0;
        while (known & (1 << first)) first++;
        this.#why[cell] = this.#reason(address + BigInt(first));
      }
    }
    this.#lo[cell] = Number(value & 0xffffffffn) | 0;
    this.#hi[cell] = Number(value >> 32n) | 0;
    this.#known[cell] = known;
    return cell;
  }

  /** Loads 1, 2, 4 or 8 bytes; returns the low word and leaves `hi`, `known` (mask over the loaded bytes) and `why`. */
  load(lo: number, hi: number, size: number, matters: boolean): number {
    const offset = lo & 7;
    const cell = this.#cell(lo, hi);
    if (cell < 0) return this.#nothing();
    if (matters) this.#markRead(cell, (((1 << size) - 1) << offset) & 0xff);
    if (offset + size <= 8) {
      const known = ((this.#known[cell] ?? 0) >>> offset) & ((1 << size) - 1);
      this.known = known;
      if (known !== (1 << size) - 1) this.why = this.#why[cell] ?? 0;
      return this.#extract(this.#lo[cell] ?? 0, this.#hi[cell] ?? 0, offset, size);
    }
    const first = 8 - offset;
    let nextLo = (lo & ~7) + 8;
    let nextHi = hi;
    if (nextLo >>> 0 === 0) {
      nextLo = 0;
      nextHi = (hi + 1) | 0;
    }
    const next = this.#cell(nextLo | 0, nextHi);
    if (next < 0) return this.#nothing();
    if (matters) this.#markRead(next, (1 << (size - first)) - 1);
    const knownA = (this.#known[cell] ?? 0) >>> offset;
    const knownB = (this.#known[next] ?? 0) & ((1 << (size - first)) - 1);
    const known = (knownA | (knownB << first)) & ((1 << size) - 1);
    const aLo = this.#extract(this.#lo[cell] ?? 0, this.#hi[cell] ?? 0, offset, first);
    const aHi = this.hi;
    const bLo = this.#extract(this.#lo[next] ?? 0, this.#hi[next] ?? 0, 0, size - first);
    const bHi = this.hi;
    this.known = known;
    if (known !== (1 << size) - 1)
      this.why = (knownA & ((1 << first) - 1)) !== (1 << first) - 1 ? (this.#why[cell] ?? 0) : (this.#why[next] ?? 0);
    const bits = first * 8;
    if (bits === 32) {
      this.hi = aHi | bLo;
      return aLo;
    }
    if (bits < 32) {
      this.hi = aHi | (bHi << bits) | (bLo >>> (32 - bits));
      return aLo | (bLo << bits);
    }
    this.hi = aHi | (bLo << (bits - 32));
    return aLo;
  }

  #markRead(cell: number, bytes: number): void {
    if (this.#readEpoch[cell] === this.epoch) this.#readMask[cell] = (this.#readMask[cell] ?? 0) | bytes;
    else {
      this.#readEpoch[cell] = this.epoch;
      this.#readMask[cell] = bytes;
    }
  }

  #nothing(): number {
    this.hi = 0;
    this.known = 0;
    this.why = 0;
    return 0;
  }

  /** `size` bytes (1…8) of a cell from byte `offset`, zero-extended. */
  #extract(lo: number, hi: number, offset: number, size: number): number {
    let low: number;
    let high: number;
    if (offset === 0) {
      low = lo;
      high = hi;
    } else if (offset < 4) {
      const bits = offset * 8;
      low = (lo >>> bits) | (hi << (32 - bits));
      high = hi >>> bits;
    } else {
      low = offset === 4 ? hi : hi >>> ((offset - 4) * 8);
      high = 0;
    }
    if (size <= 4) {
      this.hi = 0;
      return size === 4 ? low | 0 : low & ((1 << (size * 8)) - 1);
    }
    this.hi = size === 8 ? high | 0 : high & ((1 << ((size - 4) * 8)) - 1);
    return low | 0;
  }

  /** Stores 1, 2, 4 or 8 bytes; bytes outside the `known` mask become unknown. */
  store(lo: number, hi: number, size: number, valueLo: number, valueHi: number, known: number, why: number): void {
    const offset = lo & 7;
    const cell = this.#cell(lo, hi);
    if (cell < 0) return;
    if (offset + size <= 8) {
      this.#put(cell, offset, size, valueLo, valueHi, known, why);
      return;
    }
    const first = 8 - offset;
    const nextLo = ((lo & ~7) + 8) | 0;
    const next = this.#cell(nextLo, nextLo === 0 ? (hi + 1) | 0 : hi);
    if (next < 0) return;
    this.#put(cell, offset, first, valueLo, valueHi, known & ((1 << first) - 1), why);
    const restLo = this.#extract(valueLo, valueHi, first, size - first);
    this.#put(next, 0, size - first, restLo, this.hi, known >>> first, why);
  }

  #put(cell: number, offset: number, size: number, lo: number, hi: number, known: number, why: number): void {
    const oldLo = this.#lo[cell] ?? 0;
    const oldHi = this.#hi[cell] ?? 0;
    const oldKnown = this.#known[cell] ?? 0;
    if (this.#writeEpoch[cell] !== this.epoch) {
      this.#writeEpoch[cell] = this.epoch;
      this.#written.push({ cell, lo: oldLo, hi: oldHi, known: oldKnown });
    }
    // The value's bytes moved to their place, and the mask of the bytes that change.
    const maskLo = byteMask(offset, size, 0);
    const maskHi = byteMask(offset, size, 4);
    const bits = (offset & 3) * 8;
    let placedLo: number;
    let placedHi: number;
    if (offset >= 4) {
      placedLo = 0;
      placedHi = lo << bits;
    } else if (bits === 0) {
      placedLo = lo;
      placedHi = hi;
    } else {
      placedLo = lo << bits;
      placedHi = (hi << bits) | (lo >>> (32 - bits));
    }
    this.#lo[cell] = (oldLo & ~maskLo) | (placedLo & maskLo);
    this.#hi[cell] = (oldHi & ~maskHi) | (placedHi & maskHi);
    const bytes = (1 << size) - 1;
    const next = (oldKnown & ~(bytes << offset)) | ((known & bytes) << offset);
    this.#known[cell] = next;
    if ((known & bytes) !== bytes) this.#why[cell] = why;
  }

  /** Starts a new epoch: later {@link sameAsSnapshot} compares with the memory of now. */
  snapshot(): void {
    this.epoch++;
    this.#written = [];
  }

  /** True when every byte that was read since the snapshot by what matters has its value of then. */
  sameAsSnapshot(): boolean {
    for (const { cell, lo, hi, known } of this.#written) {
      if (this.#readEpoch[cell] !== this.epoch) continue;
      const read = this.#readMask[cell] ?? 0;
      const now = (this.#known[cell] ?? 0) & read;
      if (now !== (known & read)) return false;
      const maskLo = expandMask(now & 15);
      const maskHi = expandMask(now >>> 4);
      if ((((this.#lo[cell] ?? 0) ^ lo) & maskLo) !== 0 || (((this.#hi[cell] ?? 0) ^ hi) & maskHi) !== 0) return false;
    }
    return true;
  }

  /** The number of cells written since the snapshot; bounds the memory of a long run. */
  get writtenCount(): number {
    return this.#written.length;
  }

  /** An unsigned value as it is now, or null when a byte is unknown. */
  peek(address: bigint, size: number): bigint | null {
    const a = va(address);
    const hi = Number(BigInt.asIntN(32, a >> 32n));
    const value = this.load(Number(a & 0xffffffffn) | 0, hi, size, false);
    if (this.known !== (1 << size) - 1) return null;
    return (BigInt(this.hi >>> 0) << 32n) | BigInt(value >>> 0);
  }
}

/** Byte mask of 4 bits -> bit mask of 32. */
const EXPANDED = Int32Array.from({ length: 16 }, (_, bytes) =>
  [0, 1, 2, 3].reduce((mask, i) => (bytes & (1 << i) ? mask | (0xff << (8 * i)) : mask), 0),
);

function expandMask(bytes: number): number {
  return EXPANDED[bytes] ?? 0;
}

/** Bits of the 32-bit half at byte `half` that bytes offset…offset+size-1 of a cell cover. */
function byteMask(offset: number, size: number, half: number): number {
  const bytes = ((1 << size) - 1) << offset;
  return expandMask((bytes >>> half) & 15);
}
