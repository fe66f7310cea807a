import type { PageLevel } from '../memory-gap.ts';
import type { EntryReader } from './entry-reader.ts';
import { SoftwarePteX64 } from './software-pte.ts';
import { HIGH, Walker } from './walker.ts';

const LEVELS: readonly PageLevel[] = ['PTE', 'PDE', 'PPE', 'PXE', 'PML5E'];

/** x64 with 4 or 5 levels; 1 GiB pages at the PPE, 2 MiB pages at the PDE. */
export class X64Walker extends Walker {
  protected readonly entrySize = 8;
  readonly #root: number;
  readonly #top: number;
  readonly #canonicalShift: number;

  constructor(entries: EntryReader, directoryTableBase: number, levels: 4 | 5, build: number) {
    super(entries, new SoftwarePteX64(build));
    // The low twelve bits are the PCID.
    this.#root = directoryTableBase - (directoryTableBase % 0x1000);
    this.#top = levels - 1;
    this.#canonicalShift = levels === 5 ? 24 : 15;
  }

  walk(hi: number, lo: number): number {
    const sign = hi >>> this.#canonicalShift;
    if (sign !== 0 && sign !== 0xffffffff >>> this.#canonicalShift) return this.fail('non-canonical');
    const entries = this.entries;
    const system = sign !== 0;
    let table = this.#root;
    for (let level = this.#top; level > 0; level--) {
      const address = table + index(level, hi, lo) * 8;
      const name = LEVELS[level] as PageLevel;
      if (!entries.read64(address)) return this.failTable(name, address);
      if ((entries.lo & 1) === 0) {
        table = this.soft(name, entries.hi, entries.lo, system);
        if (table < 0) return -1;
      } else if ((entries.lo & 0x80) !== 0 && level <= 2) {
        const base = (entries.hi & 0xfffff) * HIGH;
        return level === 2
          ? base + ((entries.lo & 0xc0000000) >>> 0) + (lo & 0x3ffff000)
          : base + ((entries.lo & 0xffe00000) >>> 0) + (lo & 0x1ff000);
      } else {
        table = this.pageOf(entries.hi, entries.lo);
      }
    }
    const address = table + ((lo >>> 12) & 0x1ff) * 8;
    if (!entries.read64(address)) return this.failTable('PTE', address);
    if ((entries.lo & 1) !== 0) return this.pageOf(entries.hi, entries.lo);
    return this.soft('PTE', entries.hi, entries.lo, system);
  }

  protected readEntry(address: number): boolean {
    return this.entries.read64(address);
  }

  protected pageOf(hi: number, lo: number): number {
    return (hi & 0xfffff) * HIGH + ((lo & 0xfffff000) >>> 0);
  }
}

function index(level: number, hi: number, lo: number): number {
  switch (level) {
    case 1:
      return (lo >>> 21) & 0x1ff;
    case 2:
      return ((hi << 2) | (lo >>> 30)) & 0x1ff;
    case 3:
      return (hi >>> 7) & 0x1ff;
    default:
      return (hi >>> 16) & 0x1ff;
  }
}
