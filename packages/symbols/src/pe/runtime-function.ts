import { MACHINE_AMD64, MACHINE_ARM64 } from './headers.ts';
import { type ReadRva, u32 } from './rva-reader.ts';

/** One function (or fragment of one) of the exception directory; RVAs, `end` exclusive. */
export interface RuntimeFunction {
  readonly begin: number;
  readonly end: number;
  /** x64: RVA of UNWIND_INFO. ARM64: the second word as stored, packed data or the RVA of .xdata. */
  readonly unwindData: number;
  /** ARM64 only: 0 when `unwindData` is the RVA of an .xdata record, else the packed flag (1 function, 2 fragment, 3). */
  readonly packed: number;
  /** Index in the exception directory; -1 for an entry embedded in chained unwind data. */
  readonly index: number;
}

export type RuntimeFunctionLookup =
  | {
      readonly status: 'found';
      readonly entry: RuntimeFunction;
      /** The end of the chain of UNW_FLAG_CHAININFO: the function proper. Equal to `entry` for most. */
      readonly primary: RuntimeFunction;
    }
  /** No entry covers the address: a leaf function, or no function. */
  | { readonly status: 'none' }
  /** Bytes that decide cannot be read, first of them at `rva`. */
  | { readonly status: 'unreadable'; readonly rva: number }
  /** The data contradicts itself (a chain that does not end), at `rva`. */
  | { readonly status: 'corrupt'; readonly rva: number };

/** Windows follows at most 32 chained entries (RtlpLookupPrimaryFunctionEntry's bound); no real chain comes near. */
const MAX_CHAIN = 32;

/** Bytes of one entry: x64 12, ARM64 and ARM 8; 0 for machines without an exception directory. */
export function runtimeFunctionSize(machine: number): number {
  return machine === MACHINE_AMD64 ? 12 : machine === MACHINE_ARM64 ? 8 : 0;
}

/**
 * Finds the entry of the exception directory that covers `rva` by binary search over the directory as `read` gives it.
 * An entry that cannot be read makes the result `unreadable`, never `none`.
 */
export function findRuntimeFunction(
  read: ReadRva,
  pdataRva: number,
  pdataSize: number,
  rva: number,
  machine: number,
): RuntimeFunctionLookup {
  const size = runtimeFunctionSize(machine);
  if (size === 0 || pdataRva === 0) return { status: 'none' };
  let low = 0;
  let high = Math.min(Math.floor(pdataSize / size), 0x400_0000);
  // Last entry whose begin is <= rva.
  while (low < high) {
    const mid = (low + high) >>> 1;
    const begin = read(pdataRva + mid * size, 4);
    if (begin === null || begin.length < 4) return { status: 'unreadable', rva: pdataRva + mid * size };
    if (u32(begin, 0) <= rva) low = mid + 1;
    else high = mid;
  }
  if (low === 0) return { status: 'none' };
  const index = low - 1;
  const bytes = read(pdataRva + index * size, size);
  if (bytes === null || bytes.length < size) return { status: 'unreadable', rva: pdataRva + index * size };
  if (machine === MACHINE_ARM64) return arm64Entry(read, bytes, index, rva);
  const entry = { begin: u32(bytes, 0), end: u32(bytes, 4), unwindData: u32(bytes, 8), packed: 0, index };
  if (rva >= entry.end) return { status: 'none' };
  return resolveChain(read, entry);
}

function arm64Entry(read: ReadRva, bytes: Uint8Array, index: number, rva: number): RuntimeFunctionLookup {
  const begin = u32(bytes, 0);
  const unwindData = u32(bytes, 4);
  const packed = unwindData & 3;
  let length: number;
  if (packed !== 0) length = ((unwindData >>> 2) & 0x7ff) * 4;
  else {
    const header = read(unwindData, 4);
    if (header === null || header.length < 4) return { status: 'unreadable', rva: unwindData };
    length = (u32(header, 0) & 0x3ffff) * 4;
  }
  if (rva >= begin + length) return { status: 'none' };
  const entry = { begin, end: begin + length, unwindData, packed, index };
  return { status: 'found', entry, primary: entry };
}

/** Follows indirect entries (low bit of UnwindData) and UNW_FLAG_CHAININFO to the primary entry. */
function resolveChain(read: ReadRva, entry: RuntimeFunction): RuntimeFunctionLookup {
  let first = entry;
  let at: RuntimeFunction = entry;
  for (let i = 0; i < MAX_CHAIN; i++) {
    if ((at.unwindData & 1) !== 0) {
      // RUNTIME_FUNCTION_INDIRECT: UnwindData & ~1 is the RVA of another RUNTIME_FUNCTION.
      const target = at.unwindData - 1;
      const next = read(target, 12);
      if (next === null || next.length < 12) return { status: 'unreadable', rva: target };
      const direct = { begin: u32(next, 0), end: u32(next, 4), unwindData: u32(next, 8), packed: 0, index: -1 };
      if (at === first) first = { ...direct, begin: entry.begin, end: entry.end, index: entry.index };
      at = direct;
      continue;
    }
    const head = read(at.unwindData, 4);
    if (head === null || head.length < 4) return { status: 'unreadable', rva: at.unwindData };
    const flags = (head[0] ?? 0) >> 3;
    if ((flags & 4) === 0) return { status: 'found', entry: first, primary: at };
    const codes = head[2] ?? 0;
    const target = at.unwindData + 4 + ((codes + 1) & ~1) * 2;
    const next = read(target, 12);
    if (next === null || next.length < 12) return { status: 'unreadable', rva: target };
    at = { begin: u32(next, 0), end: u32(next, 4), unwindData: u32(next, 8), packed: 0, index: -1 };
  }
  return { status: 'corrupt', rva: entry.unwindData };
}

/**
 * All entries, for listings and for functions cut into chunks; stops at the first unreadable piece.
 * ARM64 entries whose .xdata header cannot be read get `end === begin`.
 */
export function listRuntimeFunctions(
  read: ReadRva,
  pdataRva: number,
  pdataSize: number,
  machine: number,
): { readonly entries: RuntimeFunction[]; readonly complete: boolean } {
  const size = runtimeFunctionSize(machine);
  const entries: RuntimeFunction[] = [];
  if (size === 0 || pdataRva === 0) return { entries, complete: true };
  const count = Math.min(Math.floor(pdataSize / size), 0x400_0000);
  for (let index = 0; index < count; ) {
    const n = Math.min(256, count - index);
    const block = read(pdataRva + index * size, n * size);
    if (block === null || block.length < n * size) return { entries, complete: false };
    // A damaged size may run over gigabytes of zeros.
    if (n === 256 && block.every((byte) => byte === 0)) return { entries, complete: false };
    for (let i = 0; i < n; i++, index++) {
      const begin = u32(block, i * size);
      if (machine === MACHINE_AMD64) {
        const entry = { begin, end: u32(block, i * size + 4), unwindData: u32(block, i * size + 8), packed: 0, index };
        if (entry.end > entry.begin) entries.push(entry);
        continue;
      }
      const unwindData = u32(block, i * size + 4);
      const packed = unwindData & 3;
      const header = packed === 0 ? read(unwindData, 4) : null;
      const length =
        packed !== 0 ? ((unwindData >>> 2) & 0x7ff) * 4 : header === null ? 0 : (u32(header, 0) & 0x3ffff) * 4;
      if (begin !== 0) entries.push({ begin, end: begin + length, unwindData, packed, index });
    }
  }
  return { entries, complete: true };
}
