import { PAGE_SIZE, va } from '../brands.ts';
import type { GapReason, PageLevel } from '../memory-gap.ts';
import type { EntryReader } from './entry-reader.ts';
import type { SoftwarePte } from './software-pte.ts';

const NO_GAP: GapReason = { kind: 'no-page-directory' };
export const HIGH = 0x1_0000_0000;

/**
 * Translation of one address space. Addresses come as two 32-bit halves, so that a walk allocates nothing; a failed
 * walk leaves its reason, which is made into an object only when somebody asks.
 */
export abstract class Walker {
  protected readonly entries: EntryReader;
  protected readonly software: SoftwarePte;
  #following = false;
  #kind: GapReason['kind'] = 'no-page-directory';
  #level: PageLevel = 'PTE';
  #hi = 0;
  #lo = 0;
  #address = 0;

  constructor(entries: EntryReader, software: SoftwarePte) {
    this.entries = entries;
    this.software = software;
  }

  /** Physical address of the 4 KiB page that holds the virtual address, or -1. */
  abstract walk(hi: number, lo: number): number;

  /** Why the last walk failed. */
  get reason(): GapReason {
    switch (this.#kind) {
      case 'not-present':
        return { kind: 'not-present', level: this.#level, entry: (BigInt(this.#hi) << 32n) | BigInt(this.#lo) };
      case 'paged-out':
        return { kind: 'paged-out', pageFile: this.#hi, offset: this.#lo };
      case 'prototype':
        return { kind: 'prototype', address: va((BigInt(this.#hi) << 32n) | BigInt(this.#lo)) };
      case 'table-missing': {
        const truncated = this.entries.isTruncated(this.#address);
        return { kind: 'table-missing', level: this.#level, pa: this.#address, truncated };
      }
      case 'non-canonical':
      case 'demand-zero':
        return { kind: this.#kind };
      default:
        return NO_GAP;
    }
  }

  protected fail(kind: 'non-canonical' | 'no-page-directory' | 'demand-zero'): number {
    this.#kind = kind;
    return -1;
  }

  /** The entry at physical address `entry` cannot be read. */
  protected failTable(level: PageLevel, entry: number): number {
    this.#kind = 'table-missing';
    this.#level = level;
    this.#address = Math.floor(entry / PAGE_SIZE) * PAGE_SIZE;
    return -1;
  }

  protected failNotPresent(level: PageLevel, hi: number, lo: number): number {
    this.#kind = 'not-present';
    this.#level = level;
    this.#hi = hi;
    this.#lo = lo;
    return -1;
  }

  /**
   * The page behind an entry that is not valid, or -1. `system` tells whether the virtual address is the kernel's:
   * there an empty PTE is no mapping at all; in user space only the VAD tree knows, and it counts as demand-zero.
   */
  protected soft(level: PageLevel, hi: number, lo: number, system: boolean): number {
    const pte = this.software;
    switch (pte.decode(hi, lo)) {
      case 'transition':
        return pte.page;
      case 'paged-out':
        this.#kind = 'paged-out';
        this.#hi = pte.pageFile;
        this.#lo = pte.pageFileOffset;
        return -1;
      case 'demand-zero':
        return this.fail('demand-zero');
      case 'prototype':
        if (level !== 'PTE') return this.failNotPresent(level, hi, lo);
        return this.#prototype(pte.protoHi, pte.protoLo);
      default:
        if (level === 'PTE' && !system) return this.fail('demand-zero');
        return this.failNotPresent(level, hi, lo);
    }
  }

  /** Follows a prototype PTE once: it lies in system space and describes the page as a PTE would. */
  #prototype(hi: number, lo: number): number {
    if (!this.#following) {
      this.#following = true;
      const page = this.walk(hi, lo);
      this.#following = false;
      const address = page < 0 ? -1 : page + (lo & 0xfff & -this.entrySize);
      if (address >= 0 && this.readEntry(address)) {
        const entryHi = this.entries.hi;
        const entryLo = this.entries.lo;
        if ((entryLo & 1) !== 0) return this.pageOf(entryHi, entryLo);
        // A prototype PTE that is itself of the prototype form is a subsection: the page is in its file.
        this.#following = true;
        const target = this.soft('PTE', entryHi, entryLo, true);
        this.#following = false;
        if (target >= 0) return target;
        if (this.#kind === 'paged-out' || this.#kind === 'demand-zero') return -1;
      }
    }
    this.#kind = 'prototype';
    this.#hi = hi;
    this.#lo = lo;
    return -1;
  }

  protected abstract readonly entrySize: 4 | 8;
  protected abstract readEntry(address: number): boolean;
  /** Physical address in a valid last-level entry. */
  protected abstract pageOf(hi: number, lo: number): number;
}
