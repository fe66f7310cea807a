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
  /** One past the last virtual page. */
  readonly #pageEnd: number;

  constructor(pages: FilePages, walker: Walker, pointerSize: 4 | 8) {
    this.#pages = pages;
    this.#walker = walker;
    this.pointerSize = pointerSize;
    this.#pageEnd = pointerSize === 8 ? 2 ** 52 : PAGES_PER_HIGH;
  }

  readInto(address: Va, into: Uint8Array): number {
    const length = into.length;
    if (length === 0) return 0;
    const lo = Number(BigInt.asUintN(32, address));
    const hi = this.#high(address);
    if (hi < 0) return 0;
    let page = hi * PAGES_PER_HIGH + (lo >>> 12);
    let inPage = lo & 0xfff;
    let done = 0;
    while (done < length && page < this.#pageEnd) {
      const offset = this.#translate(page);
      if (offset < 0) break;
      const wanted = Math.min(PAGE_SIZE - inPage, length - done);
      const got = this.#pages.cache.read(offset + inPage, into, done, wanted);
      done += got;
      if (got < wanted) break;
      inPage = 0;
      page++;
    }
    return done;
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

  #translate(page: number): number {
    const slot = page % TLB_ENTRIES;
    if (this.#tag[slot] === page) return this.#offset[slot] as number;
    const hi = Math.floor(page / PAGES_PER_HIGH);
    const lo = (page - hi * PAGES_PER_HIGH) * PAGE_SIZE;
    const physical = this.#walker.walk(hi, lo);
    if (physical < 0) return -1;
    const offset = this.#pages.pageOffset(Math.floor(physical / PAGE_SIZE));
    if (offset < 0) return offset;
    this.#tag[slot] = page;
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
