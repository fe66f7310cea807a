import { u16, u32 } from '../pe/rva-reader.ts';
import { PdbError } from './errors.ts';
import { hashName } from './gsi.ts';
import type { NameTable } from './info.ts';
import type { Msf, MsfStream } from './msf.ts';
import { encodeName } from './publics.ts';
import { readU32Map } from './serialized-map.ts';
import { parseTypeRecord, type TypeRecord } from './type-record.ts';

const V41 = 19951122;
const V50_INTERIM = 19960307;
const NO_STREAM = 0xffff;
const CACHED_CHUNKS = 256;

interface TypeHash {
  readonly stream: MsfStream;
  readonly keySize: number;
  readonly buckets: number;
  readonly values: readonly [offset: number, size: number];
  readonly offsets: readonly [offset: number, size: number];
  readonly adjustments: readonly [offset: number, size: number];
}

/** Where a record's leaf word is, in which bytes, and where it ends. */
export interface RawType {
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly end: number;
}

/** The TPI (2) or IPI (4) stream: type records by index, and by name through the hash stream. */
export class TypeStream {
  readonly version: number;
  readonly first: number;
  /** One past the last index. */
  readonly last: number;
  readonly #name: string;
  readonly #stream: MsfStream;
  readonly #recordsAt: number;
  readonly #recordBytes: number;
  readonly #hash: TypeHash | null;
  readonly #names: () => NameTable | null;
  /** Sorted (index, offset) pairs, one for every few kilobytes of records. */
  #anchors: { indices: Uint32Array; offsets: Uint32Array } | undefined;
  #hashValues: Uint8Array | undefined;
  #adjusted: Map<string, number> | undefined;
  readonly #chunks = new Map<number, { bytes: Uint8Array; starts: Uint32Array }>();

  /** @throws {PdbError} when the stream is shorter than its header or its header contradicts it. */
  constructor(msf: Msf, index: number, names: () => NameTable | null) {
    this.#name = msf.name;
    this.#names = names;
    this.#stream = msf.stream(index);
    const head = this.#stream.bytes(0, Math.min(56, this.#stream.length));
    if (head.length < 16) throw new PdbError(`${msf.name}: PDB type stream ${index} is too short`);
    this.version = u32(head, 0);
    if (this.version <= V41) {
      // 16-bit type indices
      this.first = u16(head, 4);
      this.last = u16(head, 6);
      this.#recordBytes = u32(head, 8);
      this.#recordsAt = 14;
      this.#hash = null;
    } else if (this.version === V50_INTERIM || head.length < 56) {
      this.first = u32(head, 4);
      this.last = u32(head, 8);
      this.#recordBytes = u32(head, 12);
      this.#recordsAt = 18;
      this.#hash = null;
    } else {
      this.#recordsAt = u32(head, 4);
      this.first = u32(head, 8);
      this.last = u32(head, 12);
      this.#recordBytes = u32(head, 16);
      const hashStream = u16(head, 20);
      const pair = (at: number): [number, number] => [u32(head, at), u32(head, at + 4)];
      this.#hash =
        hashStream === NO_STREAM || !msf.has(hashStream) || msf.streamSize(hashStream) === 0
          ? null
          : {
              stream: msf.stream(hashStream),
              keySize: u32(head, 24),
              buckets: u32(head, 28),
              values: pair(32),
              offsets: pair(40),
              adjustments: pair(48),
            };
    }
    if (this.#recordsAt + this.#recordBytes > this.#stream.length) {
      this.#recordBytes = Math.max(0, this.#stream.length - this.#recordsAt);
    }
    // A record takes at least 4 bytes.
    if (this.last < this.first || this.last - this.first > this.#recordBytes / 4) {
      throw new PdbError(
        `${msf.name}: PDB type stream ${index} claims types 0x${this.first.toString(16)} to 0x${this.last.toString(16)} in ${this.#recordBytes} bytes`,
      );
    }
  }

  /** Number of the hash stream; undefined when there is none. */
  get hashStream(): number | undefined {
    return this.#hash?.stream.index;
  }

  get recordBytes(): number {
    return this.#recordBytes;
  }

  /** Raw record of a type index; undefined for a simple type or an index that does not exist. */
  raw(index: number): RawType | undefined {
    if (index < this.first || index >= this.last) return undefined;
    const { indices, offsets } = this.#loadAnchors();
    let low = 0;
    let high = indices.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((indices[mid] ?? 0) <= index) low = mid + 1;
      else high = mid;
    }
    const anchor = low - 1;
    if (anchor < 0) return undefined;
    const from = offsets[anchor] ?? 0;
    const to = offsets[low] ?? this.#recordBytes;
    let chunk = this.#chunks.get(anchor);
    if (chunk === undefined) {
      if (to < from || to > this.#recordBytes) return undefined;
      const bytes = this.#stream.bytes(this.#recordsAt + from, to - from);
      chunk = { bytes, starts: recordStarts(bytes) };
      if (this.#chunks.size >= CACHED_CHUNKS) this.#chunks.delete(this.#chunks.keys().next().value ?? -1);
      this.#chunks.set(anchor, chunk);
    }
    const at = chunk.starts[index - (indices[anchor] ?? 0)];
    if (at === undefined) return undefined;
    return { bytes: chunk.bytes, at: at + 2, end: at + 2 + u16(chunk.bytes, at) };
  }

  record(index: number): TypeRecord | undefined {
    const raw = this.raw(index);
    return raw === undefined ? undefined : parseTypeRecord(raw.bytes, raw.at, raw.end);
  }

  /**
   * Indices of types that may be named `name`, through the hash: a superset. Null when the stream has no usable hash.
   * A definition inside a function is filed under its unique name and is not found this way.
   */
  candidates(name: string): number[] | null {
    const hash = this.#hash;
    if (hash === null || (hash.keySize !== 2 && hash.keySize !== 4) || hash.buckets === 0) return null;
    const count = Math.min(this.last - this.first, Math.floor(hash.values[1] / hash.keySize));
    if (count === 0) return null;
    if (this.#hashValues === undefined) this.#hashValues = hash.stream.bytes(hash.values[0], count * hash.keySize);
    const wanted = hashName(encodeName(name)) % hash.buckets;
    const bytes = this.#hashValues;
    const out: number[] = [];
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (hash.keySize === 4) {
      for (let i = 0; i < count; i++) if (view.getUint32(i * 4, true) === wanted) out.push(this.first + i);
    } else {
      for (let i = 0; i < count; i++) if (view.getUint16(i * 2, true) === wanted) out.push(this.first + i);
    }
    return out;
  }

  /**
   * The type index that the linker says `name` means now, where an incremental build left several definitions;
   * undefined for most names.
   */
  adjusted(name: string): number | undefined {
    if (this.#adjusted === undefined) {
      this.#adjusted = new Map();
      const [at, size] = this.#hash?.adjustments ?? [0, 0];
      if (this.#hash !== null && size >= 12 && at + size <= this.#hash.stream.length) {
        const names = this.#names();
        for (const [key, type] of readU32Map(this.#hash.stream.bytes(at, size), 0).entries) {
          const text = names?.get(key);
          if (text !== undefined) this.#adjusted.set(text, type);
        }
      }
    }
    return this.#adjusted.get(name);
  }

  #loadAnchors(): { indices: Uint32Array; offsets: Uint32Array } {
    if (this.#anchors !== undefined) return this.#anchors;
    this.#anchors = this.#storedAnchors() ?? this.#scanAnchors();
    return this.#anchors;
  }

  /** The hash stream's table of (index, offset); null when it is absent or not in order. */
  #storedAnchors(): { indices: Uint32Array; offsets: Uint32Array } | null {
    const [at, size] = this.#hash?.offsets ?? [0, 0];
    const count = Math.floor(size / 8);
    if (this.#hash === null || count === 0 || at + size > this.#hash.stream.length) return null;
    const bytes = this.#hash.stream.bytes(at, count * 8);
    const indices = new Uint32Array(count);
    const offsets = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      indices[i] = u32(bytes, i * 8);
      offsets[i] = u32(bytes, i * 8 + 4);
      const ordered =
        i === 0
          ? indices[0] === this.first && offsets[0] === 0
          : (indices[i] ?? 0) > (indices[i - 1] ?? 0) && (offsets[i] ?? 0) > (offsets[i - 1] ?? 0);
      if (!ordered || (offsets[i] ?? 0) >= this.#recordBytes) return null;
      // Chunks are at most a block of records; one much longer means damage.
      if (i > 0 && (offsets[i] ?? 0) - (offsets[i - 1] ?? 0) > 0x4_0000) return null;
    }
    if (this.#recordBytes - (offsets[count - 1] ?? 0) > 0x4_0000) return null;
    return { indices, offsets };
  }

  #scanAnchors(): { indices: Uint32Array; offsets: Uint32Array } {
    const bytes = this.#stream.bytes(this.#recordsAt, this.#recordBytes);
    const indices: number[] = [];
    const offsets: number[] = [];
    let last = -1;
    let index = this.first;
    for (let at = 0; at + 4 <= bytes.length && index < this.last; at += u16(bytes, at) + 2, index++) {
      if (last >= 0 && at - last < 0x2000) continue;
      indices.push(index);
      offsets.push(at);
      last = at;
    }
    return { indices: Uint32Array.from(indices), offsets: Uint32Array.from(offsets) };
  }
}

/** Offsets of the length words of records that lie in `bytes` as a whole. */
function recordStarts(bytes: Uint8Array): Uint32Array {
  const out: number[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = u16(bytes, at);
    if (length < 2 || at + 2 + length > bytes.length) break;
    out.push(at);
    at += 2 + length;
  }
  return Uint32Array.from(out);
}
