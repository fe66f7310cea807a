import { u32 } from '../pe/rva-reader.ts';
import type { MsfStream } from './msf.ts';

const SIGNATURE = 0xffff_ffff;
const VERSION_V70 = 0xeffe0000 + 19990810;
const BUCKETS = 4096;
/** PDBs made by /DEBUG:FASTLINK hash into more buckets. */
const BUCKETS_FASTLINK = 0x3ffff;

/**
 * Hash of a name for the GSI and TPI hash tables ("LHashPbCb", case-insensitive by folding bit 5). `bytes` are the
 * name's bytes as stored.
 */
export function hashName(bytes: Uint8Array): number {
  let hash = 0;
  const words = bytes.length & ~3;
  let at = 0;
  for (; at < words; at += 4) hash ^= u32(bytes, at);
  if (at + 2 <= bytes.length) {
    hash ^= (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    at += 2;
  }
  if (at < bytes.length) hash ^= bytes[at] ?? 0;
  hash |= 0x2020_2020;
  hash ^= hash >>> 11;
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * The hash table of globals or publics. A lookup by name reads the bucket bitmap, one bucket bound and the records of
 * one bucket.
 */
export class GsiHash {
  readonly #stream: MsfStream;
  readonly #records: number;
  readonly #recordBytes: number;
  readonly #buckets: number;
  readonly #bucketBytes: number;
  readonly #bucketCount: number;
  /** Table of an old PDB: one offset for every bucket, no bitmap. */
  readonly #flat: boolean;
  #bitmap: Uint8Array | undefined;
  #ranks: Uint16Array | Uint32Array | undefined;

  /** The table is `length` bytes at `offset` of `stream`. Sizes that do not fit are cut to what is there. */
  constructor(stream: MsfStream, offset: number, length: number, isFastLink: boolean) {
    this.#stream = stream;
    this.#bucketCount = isFastLink ? BUCKETS_FASTLINK : BUCKETS;
    const available = Math.max(0, Math.min(length, stream.length - offset));
    const head = available >= 16 ? stream.bytes(offset, 16) : new Uint8Array(16);
    if (u32(head, 0) === SIGNATURE && u32(head, 4) === VERSION_V70) {
      this.#flat = false;
      this.#records = offset + 16;
      this.#recordBytes = Math.min(u32(head, 8), available - 16);
      this.#buckets = this.#records + this.#recordBytes;
      this.#bucketBytes = Math.min(u32(head, 12), available - 16 - this.#recordBytes);
    } else {
      // Before VC 7: records, then 4097 offsets, -1 for an empty bucket.
      this.#flat = true;
      this.#bucketBytes = Math.min((this.#bucketCount + 1) * 4, available);
      this.#records = offset;
      this.#recordBytes = available - this.#bucketBytes;
      this.#buckets = offset + this.#recordBytes;
    }
  }

  /** Number of symbols in the table. */
  get size(): number {
    return Math.floor(this.#recordBytes / 8);
  }

  /** Symbol record offsets of the bucket that `name` hashes to: candidates, in any case. */
  candidates(name: Uint8Array): number[] {
    const bounds = this.#bounds(hashName(name) % this.#bucketCount);
    if (bounds === null) return [];
    const [from, to] = bounds;
    const out: number[] = [];
    const bytes = this.#stream.bytes(this.#records + from * 8, (to - from) * 8);
    for (let at = 0; at < bytes.length; at += 8) {
      const offset = u32(bytes, at);
      if (offset !== 0) out.push(offset - 1);
    }
    return out;
  }

  /** Symbol record offsets of all entries. */
  offsets(): Uint32Array {
    const bytes = this.#stream.bytes(this.#records, this.size * 8);
    const out = new Uint32Array(this.size);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let i = 0; i < out.length; i++) out[i] = view.getUint32(i * 8, true) - 1;
    return out;
  }

  /** Entry numbers [from, to) of a bucket. */
  #bounds(bucket: number): [number, number] | null {
    if (this.#flat) return this.#flatBounds(bucket);
    const words = Math.floor((this.#bucketCount + 1 + 31) / 32);
    if (this.#bucketBytes < words * 4) return null;
    if (this.#bitmap === undefined || this.#ranks === undefined) {
      this.#bitmap = this.#stream.bytes(this.#buckets, words * 4).slice();
      this.#ranks = new Uint32Array(words);
      for (let i = 1; i < words; i++) this.#ranks[i] = (this.#ranks[i - 1] ?? 0) + bits(u32(this.#bitmap, i * 4 - 4));
    }
    const word = u32(this.#bitmap, (bucket >>> 5) * 4);
    if ((word & (1 << (bucket & 31))) === 0) return null;
    const rank = (this.#ranks[bucket >>> 5] ?? 0) + bits(word & ((1 << (bucket & 31)) - 1));
    const at = words * 4 + rank * 4;
    if (at + 4 > this.#bucketBytes) return null;
    const hasNext = at + 8 <= this.#bucketBytes;
    const pair = this.#stream.bytes(this.#buckets + at, hasNext ? 8 : 4);
    // Offsets count records of 12 bytes, their size in the linker's memory.
    return this.#checked(u32(pair, 0) / 12, hasNext ? u32(pair, 4) / 12 : this.size);
  }

  #flatBounds(bucket: number): [number, number] | null {
    if (this.#bucketBytes < (this.#bucketCount + 1) * 4) return null;
    const table = this.#stream.bytes(this.#buckets, (this.#bucketCount + 1) * 4);
    const start = u32(table, bucket * 4);
    if (start === 0xffff_ffff) return null;
    for (let i = bucket + 1; i <= this.#bucketCount; i++) {
      const next = u32(table, i * 4);
      if (next !== 0xffff_ffff) return this.#checked(start / 12, next / 12);
    }
    return this.#checked(start / 12, this.size);
  }

  #checked(from: number, to: number): [number, number] | null {
    if (!Number.isInteger(from) || !Number.isInteger(to) || from > to || to > this.size) return null;
    return [from, to];
  }
}

function bits(value: number): number {
  value -= (value >>> 1) & 0x5555_5555;
  value = (value & 0x3333_3333) + ((value >>> 2) & 0x3333_3333);
  return (((value + (value >>> 4)) & 0x0f0f_0f0f) * 0x0101_0101) >>> 24;
}
