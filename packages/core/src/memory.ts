import { type Va, va } from './brands.ts';
import type { MemoryGap } from './memory-gap.ts';

/** The one port for virtual memory. A short read is a value, never an exception. */
export interface MemoryReader {
  readonly pointerSize: 4 | 8;
  /** Copies bytes at `address` into `into` until it is full or a byte is missing; returns the count of leading bytes. */
  readInto(address: Va, into: Uint8Array): number;
  /** Why the byte at `address` cannot be read, or null when it can. */
  gapAt(address: Va): MemoryGap | null;
  /** Where the byte at `address` comes from: `dump`, or `image NAME` for bytes taken from a matching image file. */
  sourceOf?(address: Va): string;
}

const scratch = new Uint8Array(8);
const scratchView = new DataView(scratch.buffer);

/**
 * Typed reads over a {@link MemoryReader}. Single values come back as `undefined` when any byte of them is missing;
 * `gap` then says why. For loops over memory read a block with {@link Memory.bytes} once and index into it.
 */
export class Memory implements MemoryReader {
  readonly pointerSize: 4 | 8;
  readonly reader: MemoryReader;

  constructor(reader: MemoryReader) {
    this.reader = reader;
    this.pointerSize = reader.pointerSize;
  }

  readInto(address: Va, into: Uint8Array): number {
    return this.reader.readInto(address, into);
  }

  gapAt(address: Va): MemoryGap | null {
    return this.reader.gapAt(address);
  }

  sourceOf(address: Va): string {
    return this.reader.sourceOf?.(address) ?? 'dump';
  }

  /** Exactly `length` bytes, or undefined when any of them is missing. */
  bytes(address: bigint, length: number): Uint8Array | undefined {
    const out = new Uint8Array(length);
    return this.reader.readInto(va(address), out) === length ? out : undefined;
  }

  /** Up to `length` bytes: the leading ones that are there. */
  prefix(address: bigint, length: number): Uint8Array {
    const out = new Uint8Array(length);
    return out.subarray(0, this.reader.readInto(va(address), out));
  }

  /** The first gap in `[address, address + length)`, or null when all bytes are there. */
  gap(address: bigint, length = 1): MemoryGap | null {
    const out = new Uint8Array(length);
    const got = this.reader.readInto(va(address), out);
    return got === length ? null : this.reader.gapAt(va(address + BigInt(got)));
  }

  #load(address: bigint, size: number): boolean {
    return this.reader.readInto(va(address), size === 8 ? scratch : scratch.subarray(0, size)) === size;
  }

  u8(address: bigint): number | undefined {
    return this.#load(address, 1) ? scratchView.getUint8(0) : undefined;
  }

  u16(address: bigint): number | undefined {
    return this.#load(address, 2) ? scratchView.getUint16(0, true) : undefined;
  }

  u32(address: bigint): number | undefined {
    return this.#load(address, 4) ? scratchView.getUint32(0, true) : undefined;
  }

  i32(address: bigint): number | undefined {
    return this.#load(address, 4) ? scratchView.getInt32(0, true) : undefined;
  }

  u64(address: bigint): bigint | undefined {
    return this.#load(address, 8) ? scratchView.getBigUint64(0, true) : undefined;
  }

  /** A pointer of the target, zero-extended. */
  pointer(address: bigint): Va | undefined {
    // Node 20's optimizer dies on BigInt.asUintN of a value that is a bigint in one branch and a number in the other.
    if (this.pointerSize === 8) return this.u64(address) as Va | undefined;
    const value = this.u32(address);
    return value === undefined ? undefined : va(value);
  }
}
