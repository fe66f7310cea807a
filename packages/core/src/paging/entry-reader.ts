import { PAGE_SIZE } from '../brands.ts';
import type { FilePages } from '../physical/file-pages.ts';

/** Reads page-table entries by physical address; the last one read is in `lo` and `hi`. */
export class EntryReader {
  lo = 0;
  hi = 0;
  readonly #pages: FilePages;

  constructor(pages: FilePages) {
    this.#pages = pages;
  }

  read32(address: number): boolean {
    const page = Math.floor(address / PAGE_SIZE);
    const offset = this.#pages.pageOffset(page);
    if (offset < 0) return false;
    this.lo = this.#pages.cache.u32(offset + address - page * PAGE_SIZE);
    this.hi = 0;
    return this.lo >= 0;
  }

  read64(address: number): boolean {
    const page = Math.floor(address / PAGE_SIZE);
    const offset = this.#pages.pageOffset(page);
    if (offset < 0) return false;
    const at = offset + address - page * PAGE_SIZE;
    this.lo = this.#pages.cache.u32(at);
    this.hi = this.#pages.cache.u32(at + 4);
    return this.lo >= 0 && this.hi >= 0;
  }

  /** Whether a page that cannot be read should be in the file, behind its end. */
  isTruncated(address: number): boolean {
    return this.#pages.expectedOffset(Math.floor(address / PAGE_SIZE)) >= 0;
  }
}
