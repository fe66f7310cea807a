import { PAGE_SIZE, type Pa } from '../brands.ts';
import type { BlockCache } from '../cache/block-cache.ts';
import type { PhysicalMemory } from '../dump.ts';
import type { PageIndex } from './page-index.ts';

/** Physical memory of a container that stores whole pages one after the other. */
export class FilePages implements PhysicalMemory {
  readonly cache: BlockCache;
  readonly index: PageIndex;
  readonly firstPage: number;

  constructor(cache: BlockCache, index: PageIndex, firstPage: number) {
    this.cache = cache;
    this.index = index;
    this.firstPage = firstPage;
  }

  get pageCount(): number {
    return this.index.pageCount;
  }

  /** File offset that a page should have, whether or not the file is that long; -1 when the dump does not hold it. */
  expectedOffset(pfn: number): number {
    const ordinal = this.index.ordinal(pfn);
    return ordinal < 0 ? -1 : this.firstPage + ordinal * PAGE_SIZE;
  }

  /** A page of which at least one byte is in the file has an offset; reads then stop at the end of the file. */
  pageOffset(pfn: number): number {
    const offset = this.expectedOffset(pfn);
    return offset >= this.cache.size ? -2 : offset;
  }

  readInto(address: Pa, into: Uint8Array): number {
    let done = 0;
    while (done < into.length) {
      const page = Math.floor((address + done) / PAGE_SIZE);
      const inPage = address + done - page * PAGE_SIZE;
      const offset = this.pageOffset(page);
      if (offset < 0) break;
      const wanted = Math.min(PAGE_SIZE - inPage, into.length - done);
      const got = this.cache.read(offset + inPage, into, done, wanted);
      done += got;
      if (got < wanted) break;
    }
    return done;
  }
}
