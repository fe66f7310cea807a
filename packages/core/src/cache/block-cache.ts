import type { ByteSource } from '../byte-source.ts';

export const DEFAULT_CACHE_BYTES: number = 64 * 1024 * 1024;
const DEFAULT_BLOCK_SIZE = 64 * 1024;
const MIN_BLOCK_SIZE = 4096;
/** Reads of at least this many blocks go past the cache: they would only push everything else out. */
const BYPASS_BLOCKS = 4;

export interface BlockCacheOptions {
  /** Upper bound of the bytes held in blocks; default 64 MiB. */
  readonly cacheBytes?: number;
  /** A power of two, default 64 KiB; made smaller where the budget holds fewer than four blocks. */
  readonly blockSize?: number;
}

/**
 * Blocks of a {@link ByteSource} in memory, least recently used out first, buffers reused. It is a ByteSource itself,
 * so that everything above reads through it without knowing.
 */
export class BlockCache implements ByteSource {
  readonly size: number;
  readonly name: string;
  readonly blockSize: number;
  readonly #source: ByteSource;
  readonly #capacity: number;
  readonly #slotOf: Map<number, number> = new Map();
  readonly #views: DataView[] = [];
  readonly #buffers: Uint8Array[] = [];
  readonly #length: Int32Array;
  readonly #block: Float64Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #head = -1;
  #tail = -1;

  constructor(source: ByteSource, options: BlockCacheOptions = {}) {
    const budget = Math.max(2 * MIN_BLOCK_SIZE, Math.floor(options.cacheBytes ?? DEFAULT_CACHE_BYTES) || 0);
    let blockSize = MIN_BLOCK_SIZE;
    const wanted = options.blockSize ?? DEFAULT_BLOCK_SIZE;
    while (blockSize * 2 <= wanted && blockSize * 8 <= budget) blockSize *= 2;
    this.#source = source;
    this.size = source.size;
    this.name = source.name;
    this.blockSize = blockSize;
    this.#capacity = Math.max(2, Math.min(Math.floor(budget / blockSize), Math.ceil(source.size / blockSize) + 1));
    this.#length = new Int32Array(this.#capacity);
    this.#block = new Float64Array(this.#capacity).fill(-1);
    this.#next = new Int32Array(this.#capacity).fill(-1);
    this.#previous = new Int32Array(this.#capacity).fill(-1);
  }

  /** Bytes held in blocks now. */
  get heldBytes(): number {
    return this.#buffers.length * this.blockSize;
  }

  read(offset: number, into: Uint8Array, at: number, length: number): number {
    length = Math.min(length, into.length - at, this.size - offset);
    if (!(offset >= 0) || !(length > 0)) return 0;
    if (length >= this.blockSize * BYPASS_BLOCKS) return readAll(this.#source, offset, into, at, length);
    let done = 0;
    while (done < length) {
      const block = Math.floor((offset + done) / this.blockSize);
      const slot = this.#fetch(block);
      const start = offset + done - block * this.blockSize;
      const count = Math.min(length - done, (this.#length[slot] as number) - start);
      if (count <= 0) break;
      const buffer = this.#buffers[slot] as Uint8Array;
      if (count <= 16) {
        for (let i = 0; i < count; i++) into[at + done + i] = buffer[start + i] as number;
      } else {
        into.set(buffer.subarray(start, start + count), at + done);
      }
      done += count;
    }
    return done;
  }

  /** The u32 at `offset`, or -1 when any byte of it lies outside the file. */
  u32(offset: number): number {
    if (!(offset >= 0) || offset + 4 > this.size) return -1;
    const block = Math.floor(offset / this.blockSize);
    const slot = this.#fetch(block);
    const start = offset - block * this.blockSize;
    if (start + 4 <= (this.#length[slot] as number)) return (this.#views[slot] as DataView).getUint32(start, true);
    return this.read(offset, scratch, 0, 4) === 4 ? scratchView.getUint32(0, true) : -1;
  }

  /** Up to `length` bytes at `offset`, in a buffer of their own; never larger than what the file holds there. */
  bytes(offset: number, length: number): Uint8Array {
    const count = Math.min(length, this.size - offset);
    if (!(offset >= 0) || !(count > 0)) return new Uint8Array(0);
    const out = new Uint8Array(count);
    return out.subarray(0, this.read(offset, out, 0, count));
  }

  #fetch(block: number): number {
    const head = this.#head;
    if (head >= 0 && this.#block[head] === block) return head;
    const found = this.#slotOf.get(block);
    if (found !== undefined) {
      this.#unlink(found);
      this.#pushFront(found);
      return found;
    }
    let slot = this.#buffers.length;
    if (slot < this.#capacity) {
      const buffer = new Uint8Array(this.blockSize);
      this.#buffers.push(buffer);
      this.#views.push(new DataView(buffer.buffer));
    } else {
      slot = this.#tail;
      this.#unlink(slot);
      this.#slotOf.delete(this.#block[slot] as number);
    }
    const offset = block * this.blockSize;
    const wanted = Math.min(this.blockSize, this.size - offset);
    // Nothing of the old block may stay reachable under the new number if the source throws.
    this.#block[slot] = -1;
    this.#length[slot] = 0;
    this.#pushFront(slot);
    this.#length[slot] = readAll(this.#source, offset, this.#buffers[slot] as Uint8Array, 0, wanted);
    this.#block[slot] = block;
    this.#slotOf.set(block, slot);
    return slot;
  }

  #unlink(slot: number): void {
    const next = this.#next[slot] as number;
    const previous = this.#previous[slot] as number;
    if (next >= 0) this.#previous[next] = previous;
    else this.#tail = previous;
    if (previous >= 0) this.#next[previous] = next;
    else this.#head = next;
  }

  #pushFront(slot: number): void {
    const head = this.#head;
    this.#next[slot] = head;
    this.#previous[slot] = -1;
    if (head >= 0) this.#previous[head] = slot;
    else this.#tail = slot;
    this.#head = slot;
  }
}

const scratch = new Uint8Array(4);
const scratchView = new DataView(scratch.buffer);

function readAll(source: ByteSource, offset: number, into: Uint8Array, at: number, length: number): number {
  let done = 0;
  while (done < length) {
    const got = source.read(offset + done, into, at + done, length - done);
    if (!(got > 0)) break;
    done += got;
  }
  return done;
}
