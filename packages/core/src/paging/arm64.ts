import type { PageLevel } from '../memory-gap.ts';
import type { EntryReader } from './entry-reader.ts';
import { SoftwarePteArm64 } from './software-pte.ts';
import { HIGH, Walker } from './walker.ts';

/**
 * ARM64, 4 KiB granule, 48 bits. Windows keeps one top table for both halves, as on x64: TTBR1 points at its upper
 * half, so that DirectoryTableBase serves user and kernel addresses. Bit 0 is valid, bit 1 tells a table (levels 0
 * to 2) or page (level 3) from a block; blocks are allowed at levels 1 (1 GiB) and 2 (2 MiB).
 */
export class Arm64Walker extends Walker {
  protected readonly entrySize = 8;
  readonly #root: number;

  constructor(entries: EntryReader, directoryTableBase: number) {
    super(entries, new SoftwarePteArm64());
    this.#root = directoryTableBase - (directoryTableBase % 0x1000);
  }

  walk(hi: number, lo: number): number {
    const sign = hi >>> 16;
    if (sign !== 0 && sign !== 0xffff) return this.fail('non-canonical');
    const entries = this.entries;
    const system = sign !== 0;
    let table = this.#root;
    for (let level = 0; level < 3; level++) {
      const name: PageLevel = level === 0 ? 'PXE' : level === 1 ? 'PPE' : 'PDE';
      const index = level === 0 ? hi >>> 7 : level === 1 ? (hi << 2) | (lo >>> 30) : lo >>> 21;
      const address = table + (index & 0x1ff) * 8;
      if (!entries.read64(address)) return this.failTable(name, address);
      if ((entries.lo & 1) === 0) {
        table = this.soft(name, entries.hi, entries.lo, system);
        if (table < 0) return -1;
      } else if ((entries.lo & 2) === 0) {
        const base = (entries.hi & 0xffff) * HIGH;
        if (level === 1) return base + ((entries.lo & 0xc0000000) >>> 0) + (lo & 0x3ffff000);
        if (level === 2) return base + ((entries.lo & 0xffe00000) >>> 0) + (lo & 0x1ff000);
        return this.failNotPresent(name, entries.hi, entries.lo);
      } else {
        table = this.pageOf(entries.hi, entries.lo);
      }
    }
    const address = table + ((lo >>> 12) & 0x1ff) * 8;
    if (!entries.read64(address)) return this.failTable('PTE', address);
    if ((entries.lo & 3) === 3) return this.pageOf(entries.hi, entries.lo);
    // Valid without bit 1 is reserved at the last level.
    if ((entries.lo & 1) !== 0) return this.failNotPresent('PTE', entries.hi, entries.lo);
    return this.soft('PTE', entries.hi, entries.lo, system);
  }

  protected readEntry(address: number): boolean {
    return this.entries.read64(address);
  }

  protected pageOf(hi: number, lo: number): number {
    return (hi & 0xffff) * HIGH + ((lo & 0xfffff000) >>> 0);
  }
}
