import { type Va, va } from '../brands.ts';
import { u32, u64 } from '../bytes.ts';
import type { BlockCache } from '../cache/block-cache.ts';

/** TRIAGE_DUMP32 (0x68 bytes at 0x1000) or TRIAGE_DUMP64 (0x80 at 0x2000). Every offset is a file offset. */
export interface TriageHeader {
  readonly at: number;
  readonly servicePackBuild: number;
  readonly sizeOfDump: number;
  readonly validOffset: number;
  readonly contextOffset: number;
  readonly exceptionOffset: number;
  readonly mmOffset: number;
  readonly unloadedDriversOffset: number;
  readonly prcbOffset: number;
  readonly processOffset: number;
  readonly threadOffset: number;
  readonly callStackOffset: number;
  readonly callStackSize: number;
  readonly driverListOffset: number;
  readonly driverCount: number;
  readonly stringPoolOffset: number;
  readonly stringPoolSize: number;
  readonly brokenDriverOffset: number;
  readonly options: number;
  readonly topOfStack: Va;
  readonly dataPageAddress: Va;
  readonly dataPageOffset: number;
  readonly dataPageSize: number;
  readonly debuggerDataOffset: number;
  readonly debuggerDataSize: number;
  readonly dataBlocksOffset: number;
  readonly dataBlocksCount: number;
}

/** Trailer at ValidOffset. */
export const TRGD = 0x44475254;

export function triageHeaderSize(pointerSize: 4 | 8): number {
  return pointerSize === 8 ? 0x80 : 0x68;
}

/** Fields beyond the end of the file read as 0. */
export function parseTriageHeader(cache: BlockCache, at: number, pointerSize: 4 | 8): TriageHeader {
  const bytes = cache.bytes(at, triageHeaderSize(pointerSize));
  const wide = pointerSize === 8;
  // From TopOfStack on the two differ: 64-bit addresses, and 16 bytes for IA64's backing store.
  const tail = wide ? 0x68 : 0x50;
  return {
    at,
    servicePackBuild: u32(bytes, 0x00),
    sizeOfDump: u32(bytes, 0x04),
    validOffset: u32(bytes, 0x08),
    contextOffset: u32(bytes, 0x0c),
    exceptionOffset: u32(bytes, 0x10),
    mmOffset: u32(bytes, 0x14),
    unloadedDriversOffset: u32(bytes, 0x18),
    prcbOffset: u32(bytes, 0x1c),
    processOffset: u32(bytes, 0x20),
    threadOffset: u32(bytes, 0x24),
    callStackOffset: u32(bytes, 0x28),
    callStackSize: u32(bytes, 0x2c),
    driverListOffset: u32(bytes, 0x30),
    driverCount: u32(bytes, 0x34),
    stringPoolOffset: u32(bytes, 0x38),
    stringPoolSize: u32(bytes, 0x3c),
    brokenDriverOffset: u32(bytes, 0x40),
    options: u32(bytes, 0x44),
    topOfStack: va(wide ? u64(bytes, 0x48) : u32(bytes, 0x48)),
    dataPageAddress: va(wide ? u64(bytes, 0x60) : u32(bytes, 0x4c)),
    dataPageOffset: u32(bytes, tail),
    dataPageSize: u32(bytes, tail + 4),
    debuggerDataOffset: u32(bytes, tail + 8),
    debuggerDataSize: u32(bytes, tail + 12),
    dataBlocksOffset: u32(bytes, tail + 16),
    dataBlocksCount: u32(bytes, tail + 20),
  };
}
