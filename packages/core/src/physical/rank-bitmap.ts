import type { BlockCache } from '../cache/block-cache.ts';
import type { PageIndex } from './page-index.ts';

/** Bitmaps up to this size (128 GiB of memory) are held in memory, larger ones are read again through the cache. */
const RESIDENT_BYTES = 4 * 1024 * 1024;
const RESIDENT_GROUP = 64;
const PAGED_GROUP = 1024;
const READ_CHUNK = 256 * 1024;

/**
 * One bit per physical page, LSB first within a byte; the present pages stand in the file in the order of their
 * numbers. A table of running counts, one for each 512 bits (64 bytes), makes a look-up one table read and at most
 * sixteen population counts. 64 GiB of memory are 2 MiB of bitmap and 128 KiB of table.
 */
export class RankBitmap implements PageIndex {
  readonly pageCount: number;
  readonly bitCount: number;
  readonly #cache: BlockCache;
  readonly #offset: number;
  readonly #bytes: number;
  readonly #group: number;
  readonly #rank: Uint32Array;
  readonly #resident: Uint8Array | null;
  readonly #window: Uint8Array;
  #windowGroup = -1;

  /**
   * `offset` and `bitCount` locate the bitmap in the file; bits that lie beyond the end of the file read as 0. The
   * caller bounds `bitCount` by what the file can hold.
   */
  constructor(cache: BlockCache, offset: number, bitCount: number) {
    this.#cache = cache;
    this.#offset = offset;
    this.bitCount = bitCount;
    this.#bytes = Math.ceil(bitCount / 8);
    const resident = this.#bytes <= RESIDENT_BYTES;
    this.#group = resident ? RESIDENT_GROUP : PAGED_GROUP;
    this.#resident = resident ? new Uint8Array(Math.ceil(this.#bytes / 4) * 4) : null;
    this.#window = this.#resident ?? new Uint8Array(PAGED_GROUP);
    this.#rank = new Uint32Array(Math.ceil(this.#bytes / this.#group) + 1);
    this.pageCount = this.#count();
  }

  #count(): number {
    const chunk = this.#resident ?? new Uint8Array(READ_CHUNK);
    const words = new Uint32Array(chunk.buffer);
    const wordsPerGroup = this.#group / 4;
    let total = 0;
    let group = 0;
    for (let done = 0; done < this.#bytes; done += chunk.length) {
      const wanted = Math.min(chunk.length, this.#bytes - done);
      const got = this.#cache.read(this.#offset + done, chunk, 0, wanted);
      chunk.fill(0, got);
      if (done + wanted === this.#bytes) clearTail(chunk, this.bitCount - done * 8);
      const wordCount = Math.ceil(wanted / 4);
      for (let i = 0; i < wordCount; i++) {
        if (i % wordsPerGroup === 0) this.#rank[group++] = total;
        total += popcount(words[i] as number);
      }
    }
    return total;
  }

  ordinal(pfn: number): number {
    if (!(pfn >= 0 && pfn < this.bitCount)) return -1;
    const bits = this.#group * 8;
    const group = Math.floor(pfn / bits);
    const inGroup = pfn - group * bits;
    let base = 0;
    const window = this.#window;
    if (this.#resident) {
      base = group * this.#group;
    } else if (group !== this.#windowGroup) {
      this.#windowGroup = -1;
      window.fill(0, this.#cache.read(this.#offset + group * this.#group, window, 0, this.#group));
      this.#windowGroup = group;
    }
    const target = base + (inGroup >>> 3);
    if ((((window[target] as number) >>> (inGroup & 7)) & 1) === 0) return -1;
    let rank = this.#rank[group] as number;
    let at = base;
    for (; at + 4 <= target; at += 4) rank += popcount(word(window, at));
    for (; at < target; at++) rank += popcount(window[at] as number);
    return rank + popcount((window[target] as number) & ((1 << (inGroup & 7)) - 1));
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

/** Zeroes the bits from `bitCount` on: the last byte may hold bits of pages that do not exist. */
function clearTail(bytes: Uint8Array, bitCount: number): void {
  const whole = Math.floor(bitCount / 8);
  if (whole < bytes.length && bitCount % 8 !== 0) bytes[whole] = (bytes[whole] as number) & ((1 << (bitCount % 8)) - 1);
  bytes.fill(0, Math.ceil(bitCount / 8));
}

/** Set bits of a 32-bit word. */
export function popcount(value: number): number {
  value -= (value >>> 1) & 0x55555555;
  value = (value & 0x33333333) + ((value >>> 2) & 0x33333333);
  return Math.imul((value + (value >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
