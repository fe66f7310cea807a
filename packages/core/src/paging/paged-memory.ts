import { PAGE_SIZE, type Va, va } from '../brands.ts';
import type { MemoryReader } from '../memory.ts';
import type { GapReason, MemoryGap } from '../memory-gap.ts';
import type { FilePages } from '../physical/file-pages.ts';
import type { Walker } from './walker.ts';

const TLB_ENTRIES = 1024;
const PAGES_PER_HIGH = 0x10_0000;

/**
 * Virtual memory of one address space over physical pages. The TLB (direct-mapped, by the low bits of the virtual page
 * number) keeps the file offset of a page, so that a hit costs neither a walk nor a look-up of the physical page.
 */
export class PagedMemory implements MemoryReader {
  readonly pointerSize: 4 | 8;
  readonly #pages: FilePages;
  readonly #walker: Walker;
  readonly #tag: Float64Array = new Float64Array(TLB_ENTRIES).fill(-1);
  readonly #offset: Float64Array = new Float64Array(TLB_ENTRIES);
  readonly #lastHigh: number;

  constructor(pages: FilePages, walker: Walker, pointerSize: 4 | 8) {
    this.#pages = pages;
    this.#walker = walker;
    this.pointerSize = pointerSize;
    this.#lastHigh = pointerSize === 8 ? 0xffffffff : 0;
  }

  readInto(address: Va, into: Uint8Array): number {
    const length = into.length;
    if (length === 0) return 0;
    const lo = Number(BigInt.asUintN(32, address));
    let hi = this.#high(address);
    if (hi < 0) return 0;
    let page = lo >>> 12;
    let inPage = lo & 0xfff;
    let done = 0;
    for (;;) {
      const offset = this.#translate(hi, page);
      if (offset < 0) return done;
      const wanted = Math.min(PAGE_SIZE - inPage, length - done);
      const got = this.#pages.cache.read(offset + inPage, into, done, wanted);
      done += got;
      if (got < wanted || done === length) return done;
      inPage = 0;
      if (++page < PAGES_PER_HIGH) continue;
      page = 0;
      if (++hi > this.#lastHigh) return done;
    }
  }

  gapAt(address: Va): MemoryGap | null {
    const reason = this.#reason(address);
    return reason === null ? null : { address: va(address), reason };
  }

  #reason(address: Va): GapReason | null {
    const lo = Number(BigInt.asUintN(32, address));
    const hi = this.#high(address);
    if (hi < 0) return { kind: 'non-canonical' };
    const physical = this.#walker.walk(hi, lo);
    if (physical < 0) return this.#walker.reason;
    const offset = this.#pages.expectedOffset(Math.floor(physical / PAGE_SIZE));
    if (offset < 0) return { kind: 'not-in-dump', pa: physical + (lo & 0xfff) };
    const at = offset + (lo & 0xfff);
    return at < this.#pages.cache.size ? null : { kind: 'truncated', pa: physical + (lo & 0xfff), offset: at };
  }

  /**
   * Upper half of the address; on 32-bit 0, where addresses may come sign-extended (as KDDEBUGGER_DATA64 holds them).
   * -1 for a value that is no 32-bit address.
   */
  #high(address: Va): number {
    const hi = Number(BigInt.asUintN(32, address >> 32n));
    if (this.pointerSize === 8) return hi;
    return hi === 0 || (hi === 0xffffffff && (address & 0x80000000n) !== 0n) ? 0 : -1;
  }

  /** File offset of virtual page `page` (20 bits) below upper half `hi`, or negative. */
  #translate(hi: number, page: number): number {
    const slot = page % TLB_ENTRIES;
    const tag = hi * PAGES_PER_HIGH + page;
    if (this.#tag[slot] === tag) return this.#offset[slot] as number;
    const physical = this.#walker.walk(hi, (page << 12) >>> 0);
    if (physical < 0) return -1;
    const offset = this.#pages.pageOffset(Math.floor(physical / PAGE_SIZE));
    if (offset < 0) return offset;
    this.#tag[slot] = tag;
    this.#offset[slot] = offset;
    return offset;
  }
}

/** A reader without any byte, for dumps whose memory cannot be reached at all. */
export class NoMemory implements MemoryReader {
  readonly pointerSize: 4 | 8;
  readonly #reason: GapReason;

  constructor(pointerSize: 4 | 8, reason: GapReason) {
    this.pointerSize = pointerSize;
    this.#reason = reason;
  }

  readInto(): number {
    return 0;
  }

  gapAt(address: Va): MemoryGap {
    return { address: va(address), reason: this.#reason };
  }
}
