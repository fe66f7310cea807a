import type { ByteSource } from '@dumpscope/core';
import { u16, u32 } from '../pe/rva-reader.ts';
import { decodeUtf8 } from '../pe/text.ts';
import { PdbError } from './errors.ts';

const MAGIC_7 = 'Microsoft C/C++ MSF 7.00\r\n\x1aDS';
const MAGIC_2 = 'Microsoft C/C++ program database 2.00\r\n\x1aJG';
const MAGIC_Z = 'Microsoft MSFZ Container\r\n\x1aALD';
const NIL = 0xffff_ffff;
const CACHE_BLOCKS = 64;

/**
 * Multi-stream file: MSF 7.00 ("DS", block sizes 512 to 32768) and 2.00 ("JG"). Only the directory is read at once;
 * blocks are read when asked for.
 */
export class Msf {
  readonly name: string;
  readonly format: '7.00' | '2.00';
  readonly blockSize: number;
  readonly blockCount: number;
  readonly #source: ByteSource;
  readonly #sizes: Uint32Array;
  /** Block numbers of all streams, one after the other. */
  readonly #blocks: Uint32Array;
  readonly #starts: Uint32Array;
  readonly #cache = new Map<number, Uint8Array>();
  readonly #streams = new Map<number, MsfStream>();

  /** @throws {PdbError} when `source` is no MSF file or its directory cannot be read. */
  constructor(source: ByteSource) {
    this.#source = source;
    this.name = source.name;
    const head = new Uint8Array(0x1000);
    const got = source.read(0, head, 0, head.length);
    const magic = recognise(head.subarray(0, got), source.name);
    this.format = magic;
    const big = magic === '7.00';
    this.blockSize = u32(head, big ? 32 : 0x2c);
    this.blockCount = big ? u32(head, 40) : u16(head, 0x32);
    const size = this.blockSize;
    if (size < 512 || size > 0x8000 || (size & (size - 1)) !== 0) {
      throw new PdbError(`${source.name}: PDB block size ${size} is not a power of two from 512 to 32768`);
    }
    const directorySize = u32(head, big ? 44 : 0x34);
    const limit = Math.ceil(source.size / size) * size;
    if (directorySize < 4 || directorySize > limit) {
      throw new PdbError(`${source.name}: PDB stream directory of ${directorySize} bytes does not fit the file`);
    }
    const directory = this.#readDirectory(head, big, directorySize);
    const parsed = big ? this.#parseDirectory7(directory) : this.#parseDirectory2(directory);
    this.#sizes = parsed.sizes;
    this.#starts = parsed.starts;
    this.#blocks = parsed.blocks;
  }

  get streamCount(): number {
    return this.#sizes.length;
  }

  /** Size in bytes; 0 for a stream that does not exist. */
  streamSize(index: number): number {
    return this.#sizes[index] ?? 0;
  }

  has(index: number): boolean {
    return index >= 0 && index < this.#sizes.length;
  }

  /** @throws {PdbError} for a stream number that the directory does not have. */
  stream(index: number): MsfStream {
    let stream = this.#streams.get(index);
    if (stream === undefined) {
      if (!this.has(index)) throw new PdbError(`${this.name}: PDB has no stream ${index} (of ${this.streamCount})`);
      stream = new MsfStream(this, index, this.#sizes[index] ?? 0);
      this.#streams.set(index, stream);
    }
    return stream;
  }

  /** Copies part of a stream; the caller has checked its bounds. Adjacent blocks are read at once. */
  copy(stream: number, offset: number, into: Uint8Array): void {
    const size = this.blockSize;
    const first = this.#starts[stream] ?? 0;
    let block = first + Math.floor(offset / size);
    let within = offset % size;
    let at = 0;
    if (into.length <= size) {
      // Small reads come in bunches to neighbouring places: whole blocks, kept.
      while (at < into.length) {
        const count = Math.min(size - within, into.length - at);
        const bytes = this.#cachedBlock(this.#blocks[block] ?? NIL, stream);
        if (within + count > bytes.length) this.#beyond(stream, this.#blocks[block] ?? NIL);
        into.set(bytes.subarray(within, within + count), at);
        at += count;
        within = 0;
        block++;
      }
      return;
    }
    while (at < into.length) {
      const number = this.#blocks[block] ?? NIL;
      let run = 1;
      let count = Math.min(size - within, into.length - at);
      while (at + count < into.length && this.#blocks[block + run] === number + run) {
        count = Math.min(count + size, into.length - at);
        run++;
      }
      if (number >= this.blockCount || this.#source.read(number * size + within, into, at, count) < count) {
        this.#beyond(stream, number);
      }
      at += count;
      within = 0;
      block += run;
    }
  }

  #cachedBlock(number: number, stream: number): Uint8Array {
    let bytes = this.#cache.get(number);
    if (bytes === undefined) {
      if (number >= this.blockCount) this.#beyond(stream, number);
      bytes = new Uint8Array(this.blockSize);
      // The last block of the file may be cut short.
      bytes = bytes.subarray(0, this.#source.read(number * this.blockSize, bytes, 0, this.blockSize));
      if (this.#cache.size >= CACHE_BLOCKS) this.#cache.delete(this.#cache.keys().next().value ?? -1);
      this.#cache.set(number, bytes);
    }
    return bytes;
  }

  #beyond(stream: number, block: number): never {
    throw new PdbError(`${this.name}: block ${block} of PDB stream ${stream} lies beyond the end of the file`);
  }

  #readDirectory(head: Uint8Array, big: boolean, directorySize: number): Uint8Array {
    const size = this.blockSize;
    const count = Math.ceil(directorySize / size);
    // 7.00: the header lists the blocks of the list of the directory's blocks; 2.00: it lists the directory's blocks.
    const map = new Uint8Array(count * (big ? 4 : 2));
    if (big) {
      const listBlocks = Math.ceil(map.length / size);
      if (52 + listBlocks * 4 > head.length) throw new PdbError(`${this.name}: PDB directory is too large`);
      for (let i = 0; i < listBlocks; i++) {
        const block = u32(head, 52 + i * 4);
        const length = Math.min(size, map.length - i * size);
        if (this.#source.read(block * size, map, i * size, length) < length) {
          throw new PdbError(`${this.name}: PDB directory block map ${block} lies beyond the end of the file`);
        }
      }
    } else if (0x3c + map.length > head.length) throw new PdbError(`${this.name}: PDB directory is too large`);
    else map.set(head.subarray(0x3c, 0x3c + map.length));
    const out = new Uint8Array(directorySize);
    for (let i = 0; i < count; i++) {
      const block = big ? u32(map, i * 4) : u16(map, i * 2);
      const length = Math.min(size, directorySize - i * size);
      if (this.#source.read(block * size, out, i * size, length) < length) {
        throw new PdbError(`${this.name}: PDB directory block ${block} lies beyond the end of the file`);
      }
    }
    return out;
  }

  #parseDirectory7(directory: Uint8Array): { sizes: Uint32Array; starts: Uint32Array; blocks: Uint32Array } {
    const count = u32(directory, 0);
    if (count > 0x1_0000 || 4 + count * 4 > directory.length) {
      throw new PdbError(`${this.name}: PDB directory claims ${count} streams, more than it can hold`);
    }
    const sizes = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const size = u32(directory, 4 + i * 4);
      sizes[i] = size === NIL ? 0 : size;
    }
    return this.#blockLists(sizes, directory, 4 + count * 4, 4);
  }

  #parseDirectory2(directory: Uint8Array): { sizes: Uint32Array; starts: Uint32Array; blocks: Uint32Array } {
    const count = u16(directory, 0);
    if (4 + count * 8 > directory.length) {
      throw new PdbError(`${this.name}: PDB directory claims ${count} streams, more than it can hold`);
    }
    const sizes = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const size = u32(directory, 4 + i * 8);
      sizes[i] = size === NIL ? 0 : size;
    }
    return this.#blockLists(sizes, directory, 4 + count * 8, 2);
  }

  #blockLists(
    sizes: Uint32Array,
    directory: Uint8Array,
    at: number,
    width: 2 | 4,
  ): { sizes: Uint32Array; starts: Uint32Array; blocks: Uint32Array } {
    const starts = new Uint32Array(sizes.length);
    let total = 0;
    for (let i = 0; i < sizes.length; i++) {
      starts[i] = total;
      total += Math.ceil((sizes[i] ?? 0) / this.blockSize);
    }
    // Every block belongs to one stream: a directory that shares blocks would make a small file read as a huge one.
    if (at + total * width > directory.length || total > this.blockCount + sizes.length) {
      throw new PdbError(`${this.name}: PDB directory lists ${total} blocks, more than it or the file can hold`);
    }
    const blocks = new Uint32Array(total);
    for (let i = 0; i < total; i++) blocks[i] = width === 4 ? u32(directory, at + i * 4) : u16(directory, at + i * 2);
    return { sizes, starts, blocks };
  }
}

/** @throws {PdbError} naming what the file is when it is no MSF. */
function recognise(head: Uint8Array, name: string): '7.00' | '2.00' {
  const text = decodeUtf8(head, 0, Math.min(head.length, 48));
  if (head.length >= 56 && text.startsWith(MAGIC_7)) return '7.00';
  if (head.length >= 0x40 && text.startsWith(MAGIC_2)) return '2.00';
  if (text.startsWith(MAGIC_Z)) {
    throw new PdbError(`${name}: a compressed PDB (MSFZ), which is not supported: decompress it with pdbtool first`);
  }
  if (text.startsWith('BSJB')) {
    throw new PdbError(`${name}: a portable PDB (.NET metadata): it holds no native symbols`);
  }
  if (text.startsWith('MSCF')) throw new PdbError(`${name}: a cabinet file (compressed .pd_), not a PDB`);
  if (text.startsWith('MZ')) throw new PdbError(`${name}: a PE image, not a PDB`);
  if (text.startsWith('NB09') || text.startsWith('NB11')) throw new PdbError(`${name}: CodeView data, not a PDB`);
  if (text.startsWith('DI')) throw new PdbError(`${name}: a .dbg file, not a PDB`);
  if (head.length === 0) throw new PdbError(`${name}: the file is empty, not a PDB`);
  throw new PdbError(`${name}: not a PDB (no MSF signature)`);
}

/** One stream; reads are bounds-checked and on demand, {@link MsfStream.all} keeps the whole of it. */
export class MsfStream {
  readonly index: number;
  readonly length: number;
  readonly #msf: Msf;
  #all: Uint8Array | undefined;

  constructor(msf: Msf, index: number, length: number) {
    this.#msf = msf;
    this.index = index;
    this.length = length;
  }

  /** @throws {PdbError} when any of the bytes lies outside of the stream or the file. */
  bytes(offset: number, length: number): Uint8Array {
    if (offset < 0 || length < 0 || offset + length > this.length) {
      throw new PdbError(
        `${this.#msf.name}: PDB stream ${this.index} ends at ${this.length}, before offset ${offset} + ${length}`,
      );
    }
    if (this.#all !== undefined) return this.#all.subarray(offset, offset + length);
    const out = new Uint8Array(length);
    this.#msf.copy(this.index, offset, out);
    return out;
  }

  all(): Uint8Array {
    if (this.#all === undefined) this.#all = this.bytes(0, this.length);
    return this.#all;
  }

  /** Whether the whole stream is in memory already. */
  get loaded(): boolean {
    return this.#all !== undefined;
  }

  u32(offset: number): number {
    return u32(this.bytes(offset, 4), 0);
  }
}
