import { type Va, va } from '../brands.ts';
import { isPageFill, latin1, PAGE_FILL, u32, u64, u64Number } from '../bytes.ts';
import type { ExceptionRecord, PhysicalMemoryBlock, PhysicalMemoryRun } from '../dump.ts';

const PAGE_FILL_64 = 0x4547_4150_4547_4150n;

/** Reads header fields; a field that still holds the `PAGE` pattern is null. */
export class HeaderFields {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  raw32(at: number): number {
    return u32(this.bytes, at);
  }

  u32(at: number): number | null {
    const value = u32(this.bytes, at);
    return value === PAGE_FILL ? null : value;
  }

  u64(at: number): bigint | null {
    const value = u64(this.bytes, at);
    return value === PAGE_FILL_64 ? null : value;
  }

  /** Kernel pointer; 0 counts as unwritten. */
  pointer(at: number, size: 4 | 8): Va | null {
    const value = size === 8 ? this.u64(at) : this.u32(at);
    return value === null || BigInt(value) === 0n ? null : va(value);
  }

  /** Characters of a fixed field that need not end in a NUL; empty when unwritten. */
  text(at: number, length: number): string {
    const field = this.bytes.subarray(at, at + length);
    return isPageFill(field, at) ? '' : latin1(field);
  }

  /** Bytes of a record, or null when unwritten. */
  record(at: number, length: number): Uint8Array | null {
    const field = this.bytes.slice(at, at + length);
    return field.length < length || isPageFill(field, at) ? null : field;
  }
}

/** EXCEPTION_RECORD32 (0x50 bytes) or EXCEPTION_RECORD64 (0x98), which stands at `fileOffset`; null when unwritten. */
export function exceptionRecord(bytes: Uint8Array, fileOffset: number, pointerSize: 4 | 8): ExceptionRecord | null {
  const size = exceptionRecordSize(pointerSize);
  const record = bytes.subarray(0, size);
  if (record.length < size || isPageFill(record, fileOffset) || u32(record, 0) === PAGE_FILL) return null;
  const wide = pointerSize === 8;
  const pointer = (at: number): Va => va(wide ? u64(record, at) : u32(record, at));
  // NumberParameters is at most EXCEPTION_MAXIMUM_PARAMETERS = 15.
  const count = Math.min(15, u32(record, wide ? 0x18 : 0x10));
  const parameters: bigint[] = [];
  for (let i = 0; i < count; i++) parameters.push(wide ? u64(record, 0x20 + 8 * i) : BigInt(u32(record, 0x14 + 4 * i)));
  return {
    code: u32(record, 0),
    flags: u32(record, 4),
    record: pointer(8),
    address: pointer(wide ? 0x10 : 0xc),
    parameters,
  };
}

export function exceptionRecordSize(pointerSize: 4 | 8): number {
  return pointerSize === 8 ? 0x98 : 0x50;
}

/**
 * PHYSICAL_MEMORY_DESCRIPTOR of the header: {runs u32, pages u32, {base u32, count u32}[86]} in 700 bytes on 32-bit,
 * {runs u32, pad, pages u64, {base u64, count u64}[]} on 64-bit. There 42 runs fit into the 700 bytes and the 43rd
 * ends in the 4 bytes of padding before ContextRecord; where those were not written, the upper half of its count is
 * taken as 0.
 */
export function physicalMemoryBlock(bytes: Uint8Array, at: number, pointerSize: 4 | 8): PhysicalMemoryBlock | null {
  const numberOfRuns = u32(bytes, at);
  if (numberOfRuns === PAGE_FILL) return null;
  const runs: PhysicalMemoryRun[] = [];
  const fits = Math.min(numberOfRuns, maxRuns(pointerSize));
  for (let i = 0; i < fits; i++) {
    if (pointerSize === 8) {
      const run = at + 16 + 16 * i;
      const unwrittenHigh = i === 42 && u32(bytes, run + 12) === PAGE_FILL;
      const pageCount = unwrittenHigh ? u32(bytes, run + 8) : u64Number(bytes, run + 8);
      runs.push({ basePage: u64Number(bytes, run), pageCount });
    } else {
      runs.push({ basePage: u32(bytes, at + 8 + 8 * i), pageCount: u32(bytes, at + 12 + 8 * i) });
    }
  }
  return { numberOfRuns, numberOfPages: pointerSize === 8 ? u64Number(bytes, at + 8) : u32(bytes, at + 4), runs };
}

export function maxRuns(pointerSize: 4 | 8): number {
  return pointerSize === 8 ? 43 : 86;
}
