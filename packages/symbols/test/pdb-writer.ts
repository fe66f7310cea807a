/** Writes MSF files and the streams of old PDBs, byte by byte after cvinfo.h and dbi.h of microsoft-pdb. */
import { hashName } from '../src/pdb/gsi.ts';

/** Little-endian bytes. */
export class Bytes {
  #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  u8(...values: number[]): this {
    for (const v of values) this.#bytes.push(v & 0xff);
    return this;
  }

  u16(...values: number[]): this {
    for (const v of values) this.u8(v, v >>> 8);
    return this;
  }

  u32(...values: number[]): this {
    for (const v of values) this.u16(v & 0xffff, v >>> 16);
    return this;
  }

  raw(bytes: Iterable<number>): this {
    for (const b of bytes) this.#bytes.push(b);
    return this;
  }

  /** NUL-terminated. */
  sz(text: string): this {
    return this.raw(Buffer.from(text, 'utf8')).u8(0);
  }

  /** Length-prefixed. */
  st(text: string): this {
    return this.u8(Buffer.byteLength(text)).raw(Buffer.from(text, 'utf8'));
  }

  align(to: number, fill = 0): this {
    while (this.#bytes.length % to !== 0) this.u8(fill);
    return this;
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/** A small deterministic generator. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

export type Streams = readonly (Uint8Array | null)[];

interface Plan {
  readonly blocks: number[][];
  readonly count: number;
}

/** Gives each stream blocks, in a shuffled order, from `first` on. */
function plan(sizes: readonly number[], blockSize: number, first: number, seed: number): Plan {
  const random = randomOf(seed);
  const needed = sizes.map((size) => Math.ceil(size / blockSize));
  const total = needed.reduce((a, b) => a + b, 0);
  const numbers = Array.from({ length: total }, (_, i) => first + i);
  // Runs of adjacent blocks stay likely, as in real files.
  for (let i = 0; i + 1 < total; i++) {
    if (random(4) !== 0) continue;
    const k = i + random(total - i);
    const a = numbers[i] ?? 0;
    numbers[i] = numbers[k] ?? 0;
    numbers[k] = a;
  }
  const blocks: number[][] = [];
  let at = 0;
  for (const n of needed) {
    blocks.push(numbers.slice(at, at + n));
    at += n;
  }
  return { blocks, count: first + total };
}

function place(out: Uint8Array, bytes: Uint8Array, blocks: readonly number[], blockSize: number): void {
  blocks.forEach((block, i) => {
    out.set(bytes.subarray(i * blockSize, (i + 1) * blockSize), block * blockSize);
  });
}

export function writeMsf7(streams: Streams, blockSize: number, seed = 1): Uint8Array {
  const sizes = streams.map((s) => s?.length ?? 0);
  const content = plan(sizes, blockSize, 3, seed);
  const directory = new Bytes().u32(streams.length);
  for (const s of streams) directory.u32(s === null ? 0xffff_ffff : s.length);
  for (const list of content.blocks) directory.u32(...list);
  const directoryBytes = directory.done();
  const own = plan([directoryBytes.length], blockSize, content.count, seed + 1);
  const map = new Bytes().u32(...(own.blocks[0] ?? [])).done();
  const maps = plan([map.length], blockSize, own.count, seed + 2);
  const header = new Bytes().raw(Buffer.from('Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0', 'latin1'));
  header.u32(blockSize, 1, maps.count, directoryBytes.length, 0, ...(maps.blocks[0] ?? []));
  const out = new Uint8Array(maps.count * blockSize);
  out.set(header.done());
  streams.forEach((s, i) => {
    if (s !== null) place(out, s, content.blocks[i] ?? [], blockSize);
  });
  place(out, directoryBytes, own.blocks[0] ?? [], blockSize);
  place(out, map, maps.blocks[0] ?? [], blockSize);
  return out;
}

export function writeMsf2(streams: Streams, blockSize: number, seed = 1): Uint8Array {
  const sizes = streams.map((s) => s?.length ?? 0);
  const content = plan(sizes, blockSize, 9, seed);
  const directory = new Bytes().u16(streams.length, 0);
  for (const s of streams) directory.u32(s === null ? 0xffff_ffff : s.length, 0x1234_5678);
  for (const list of content.blocks) directory.u16(...list);
  const directoryBytes = directory.done();
  const own = plan([directoryBytes.length], blockSize, content.count, seed + 1);
  const header = new Bytes().raw(Buffer.from('Microsoft C/C++ program database 2.00\r\n\x1aJG\0\0', 'latin1')).align(4);
  header
    .u32(blockSize)
    .u16(1, own.count)
    .u32(directoryBytes.length, 0)
    .u16(...(own.blocks[0] ?? []));
  const out = new Uint8Array(own.count * blockSize);
  out.set(header.done());
  streams.forEach((s, i) => {
    if (s !== null) place(out, s, content.blocks[i] ?? [], blockSize);
  });
  place(out, directoryBytes, own.blocks[0] ?? [], blockSize);
  return out;
}

/** A symbol or type record: its length word, `kind`, contents, padding. */
export function record(kind: number, body: Bytes, pad = 0): Uint8Array {
  const padded = body.align(4, pad);
  // length word + kind + body, a multiple of 4
  return new Bytes()
    .u16(padded.length + 2, kind)
    .raw(padded.done())
    .done();
}

/** The record stream and where each record is in it. */
export function recordStream(
  records: readonly Uint8Array[],
  start: readonly number[] = [],
): { bytes: Uint8Array; offsets: number[] } {
  const out = new Bytes().raw(start);
  const offsets: number[] = [];
  for (const r of records) {
    offsets.push(out.length);
    out.raw(r);
  }
  return { bytes: out.done(), offsets };
}

export interface Hashed {
  readonly name: string;
  readonly offset: number;
}

/** Entries by bucket, and the offset of the first of each bucket in units of 12 bytes. */
function buckets(entries: readonly Hashed[]): { records: Bytes; starts: Map<number, number> } {
  const sorted = entries
    .map((e) => ({ ...e, bucket: hashName(Buffer.from(e.name, 'utf8')) % 4096 }))
    .sort((a, b) => a.bucket - b.bucket);
  const records = new Bytes();
  const starts = new Map<number, number>();
  sorted.forEach((e, i) => {
    if (!starts.has(e.bucket)) starts.set(e.bucket, i * 12);
    records.u32(e.offset + 1, 1);
  });
  return { records, starts };
}

/** GSI hash of VC 7 and later: bitmap and offsets of the buckets that are not empty. */
export function gsiHash(entries: readonly Hashed[]): Uint8Array {
  const { records, starts } = buckets(entries);
  const bitmap = new Uint32Array(129);
  const offsets = new Bytes();
  for (let i = 0; i <= 4096; i++) {
    const start = starts.get(i);
    if (start === undefined) continue;
    bitmap[i >>> 5] = (bitmap[i >>> 5] ?? 0) | (1 << (i & 31));
    offsets.u32(start);
  }
  const tail = new Bytes().u32(...bitmap).raw(offsets.done());
  return new Bytes()
    .u32(0xffff_ffff, 0xeffe0000 + 19990810, records.length, tail.length)
    .raw(records.done())
    .raw(tail.done())
    .done();
}

/** GSI hash before VC 7: an offset for every bucket, -1 for empty ones. */
export function oldGsiHash(entries: readonly Hashed[]): Uint8Array {
  const { records, starts } = buckets(entries);
  const out = new Bytes().raw(records.done());
  for (let i = 0; i <= 4096; i++) out.u32(starts.get(i) ?? 0xffff_ffff);
  return out.done();
}

/** Publics stream: header, hash, address map (record offsets in address order). */
export function publicsStream(hash: Uint8Array, addressMap: readonly number[]): Uint8Array {
  return new Bytes()
    .u32(hash.length, addressMap.length * 4, 0, 0)
    .u16(0, 0)
    .u32(0, 0)
    .raw(hash)
    .u32(...addressMap)
    .done();
}

/** IMAGE_SECTION_HEADERs. */
export function sectionHeaders(sections: readonly (readonly [name: string, rva: number, size: number])[]): Uint8Array {
  const out = new Bytes();
  for (const [name, rva, size] of sections) {
    out.raw(Buffer.from(name.padEnd(8, '\0'), 'latin1')).u32(size, rva, size, 0x400, 0, 0, 0, 0x6000_0020);
  }
  return out.done();
}

export const GUID = [0x98, 0xba, 0xdc, 0xfe, 0x10, 0x32, 0x54, 0x76, 1, 2, 3, 4, 5, 6, 7, 8];
export const GUID_TEXT = 'FEDCBA98-3210-7654-0102-030405060708';

/** Info stream of VC 7 and later with named streams and features. */
export function infoStream(
  named: Readonly<Record<string, number>>,
  features: readonly number[],
  version = 20000404,
): Uint8Array {
  const names = new Bytes();
  const entries: [number, number][] = [];
  for (const [name, stream] of Object.entries(named)) {
    entries.push([names.length, stream]);
    names.sz(name);
  }
  const present = (1 << entries.length) - 1;
  const out = new Bytes().u32(version, 0x3b7d8475, 1).raw(GUID);
  out.u32(names.length).raw(names.done()).u32(entries.length, Math.max(entries.length, 1), 1, present, 0);
  for (const [key, value] of entries) out.u32(key, value);
  return out.u32(0, ...features).done();
}

/** The `/names` stream; `offsets` in the order of the names. */
export function namesStream(names: readonly string[]): { bytes: Uint8Array; offsets: number[] } {
  const text = new Bytes().u8(0);
  const offsets = names.map((name) => {
    const at = text.length;
    text.sz(name);
    return at;
  });
  const out = new Bytes().u32(0xeffeeffe, 1, text.length).raw(text.done());
  return { bytes: out.u32(1, 0, names.length).done(), offsets };
}
