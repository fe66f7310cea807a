import type { Rva } from '@dumpscope/core';
import { u16, u32 } from '../pe/rva-reader.ts';
import type { X86FrameRecord } from '../symbol-table.ts';
import type { AddressMap } from './address-map.ts';
import type { NameTable } from './info.ts';

const FPO_SIZE = 16;
const FRAME_DATA_SIZE = 32;
/** FRAMEDATA flags. */
const HAS_SEH = 1;
const IS_FUNCTION_START = 4;

/** One FPO_DATA record of the old FPO stream; the RVA as stored. */
export function readFpo(bytes: Uint8Array, at: number): X86FrameRecord {
  const bits = u16(bytes, at + 14);
  return {
    kind: 'fpo',
    rva: u32(bytes, at) as Rva,
    codeSize: u32(bytes, at + 4),
    localsSize: u32(bytes, at + 8) * 4,
    paramsSize: u16(bytes, at + 12) * 4,
    prologSize: bits & 0xff,
    savedRegsSize: ((bits >> 8) & 7) * 4,
    hasSeh: (bits & 0x800) !== 0,
    usesBasePointer: (bits & 0x1000) !== 0,
    frameType: bits >> 14,
    isFunctionStart: true,
    program: '',
  };
}

/** A FRAMEDATA record with the fields that only it has. */
export interface FrameDataRecord extends X86FrameRecord {
  readonly maxStackSize: number;
  readonly flags: number;
}

/** One FRAMEDATA record of the new FPO stream. */
export function readFrameData(bytes: Uint8Array, at: number, names: NameTable | null): FrameDataRecord {
  const flags = u32(bytes, at + 28);
  const program = names?.get(u32(bytes, at + 20)) ?? '';
  return {
    kind: 'frame-data',
    rva: u32(bytes, at) as Rva,
    codeSize: u32(bytes, at + 4),
    localsSize: u32(bytes, at + 8),
    paramsSize: u32(bytes, at + 12),
    maxStackSize: u32(bytes, at + 16),
    prologSize: u16(bytes, at + 24),
    savedRegsSize: u16(bytes, at + 26),
    frameType: null,
    hasSeh: (flags & HAS_SEH) !== 0,
    usesBasePointer: restoresEbp(program),
    isFunctionStart: (flags & IS_FUNCTION_START) !== 0,
    flags,
    program,
  };
}

/** The program takes the caller's EBP from the stack: `$ebp <address> ^ =`. */
function restoresEbp(program: string): boolean {
  for (let at = program.indexOf('$ebp '); at >= 0; ) {
    const end = program.indexOf('=', at);
    if (end < 0) return false;
    if (program.startsWith('^ ', end - 2)) return true;
    at = program.indexOf('$ebp ', end);
  }
  return false;
}

/** The two streams; null where the PDB lacks one. */
export interface FrameStreams {
  readonly fpo: Uint8Array | null;
  readonly frameData: Uint8Array | null;
  readonly names: NameTable | null;
}

/** Offset of the first FRAMEDATA: some writers put a relocation word before it. */
function frameDataStart(bytes: Uint8Array): number {
  return bytes.length % FRAME_DATA_SIZE === 4 ? 4 : 0;
}

/**
 * Frame records by address. FrameData records nest (a function's, then ones for the ranges after each push); lookups
 * give the innermost. Of two records with one extent FrameData wins.
 */
export class FrameTable {
  readonly #streams: FrameStreams;
  readonly #map: AddressMap;
  /** Number of FPO records; record numbers from there on are FrameData. */
  readonly #fpoCount: number;
  readonly length: number;
  #index: { starts: Uint32Array; ends: Float64Array; numbers: Uint32Array; parents: Int32Array } | undefined;

  constructor(streams: FrameStreams, map: AddressMap) {
    this.#streams = streams;
    this.#map = map;
    this.#fpoCount = Math.floor((streams.fpo?.length ?? 0) / FPO_SIZE);
    const data = streams.frameData;
    this.length =
      this.#fpoCount + (data === null ? 0 : Math.floor((data.length - frameDataStart(data)) / FRAME_DATA_SIZE));
  }

  /** Record `number` in file order, FPO first; its RVA as stored (before OMAP). */
  record(number: number): X86FrameRecord | FrameDataRecord | undefined {
    const { fpo, frameData, names } = this.#streams;
    if (number < 0 || number >= this.length) return undefined;
    if (number < this.#fpoCount) return fpo === null ? undefined : readFpo(fpo, number * FPO_SIZE);
    if (frameData === null) return undefined;
    return readFrameData(frameData, frameDataStart(frameData) + (number - this.#fpoCount) * FRAME_DATA_SIZE, names);
  }

  /** The innermost record that covers `rva` of the image. */
  find(rva: number): X86FrameRecord | undefined {
    const source = this.#map.toSource(rva);
    if (source < 0 || this.length === 0) return undefined;
    const { starts, ends, numbers, parents } = this.#load();
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((starts[mid] ?? 0) <= source) low = mid + 1;
      else high = mid;
    }
    for (let i = low - 1; i >= 0; i = parents[i] ?? -1) {
      if (source >= (ends[i] ?? 0)) continue;
      const record = this.record(numbers[i] ?? 0);
      if (record === undefined) return undefined;
      // After OMAP a block may lie elsewhere than its function: keep the distance from the record's start, which is
      // what a prologue test needs.
      const start = rva - (source - record.rva);
      return start === record.rva ? record : { ...record, rva: Math.max(0, start) as Rva };
    }
    return undefined;
  }

  #load(): { starts: Uint32Array; ends: Float64Array; numbers: Uint32Array; parents: Int32Array } {
    if (this.#index !== undefined) return this.#index;
    const { fpo, frameData } = this.#streams;
    const count = this.length;
    const rawStarts = new Float64Array(count);
    const sizes = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const isFpo = i < this.#fpoCount;
      const bytes = isFpo ? fpo : frameData;
      if (bytes === null) continue;
      const at = isFpo ? i * FPO_SIZE : frameDataStart(bytes) + (i - this.#fpoCount) * FRAME_DATA_SIZE;
      rawStarts[i] = u32(bytes, at);
      sizes[i] = u32(bytes, at + 4);
    }
    const numbers = new Uint32Array(count);
    for (let i = 0; i < count; i++) numbers[i] = i;
    // By start; the longer first; of equals FPO first, so that FrameData is met first on the way up.
    numbers.sort((a, b) => (rawStarts[a] ?? 0) - (rawStarts[b] ?? 0) || (sizes[b] ?? 0) - (sizes[a] ?? 0) || a - b);
    const starts = new Uint32Array(count);
    const ends = new Float64Array(count);
    const parents = new Int32Array(count);
    const open: number[] = [];
    for (let i = 0; i < count; i++) {
      const number = numbers[i] ?? 0;
      const start = rawStarts[number] ?? 0;
      starts[i] = start;
      ends[i] = start + (sizes[number] ?? 0);
      while (open.length > 0 && start >= (ends[open.at(-1) ?? 0] ?? 0)) open.pop();
      parents[i] = open.at(-1) ?? -1;
      open.push(i);
    }
    this.#index = { starts, ends, numbers, parents };
    return this.#index;
  }
}
