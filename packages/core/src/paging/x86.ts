import type { EntryReader } from './entry-reader.ts';
import { SoftwarePte32 } from './software-pte.ts';
import { HIGH, Walker } from './walker.ts';

/** x86 without PAE: page directory and page tables of 1024 four-byte entries; 4 MiB pages, PSE-36 included. */
export class X86Walker extends Walker {
  protected readonly entrySize = 4;
  readonly #directory: number;

  constructor(entries: EntryReader, directoryTableBase: number) {
    super(entries, new SoftwarePte32());
    this.#directory = directoryTableBase - (directoryTableBase % 0x1000);
  }

  walk(_hi: number, lo: number): number {
    const system = lo >>> 31 === 1;
    const pdeAddress = this.#directory + (lo >>> 22) * 4;
    if (!this.entries.read32(pdeAddress)) return this.failTable('PDE', pdeAddress);
    const pde = this.entries.lo;
    let table = (pde & 0xfffff000) >>> 0;
    if ((pde & 1) === 0) {
      table = this.soft('PDE', 0, pde, system);
      if (table < 0) return -1;
    } else if ((pde & 0x80) !== 0) {
      // PSE-36: bits 20:13 of a large-page entry are physical address bits 39:32.
      return ((pde >>> 13) & 0xff) * HIGH + ((pde & 0xffc00000) >>> 0) + (lo & 0x3ff000);
    }
    const pteAddress = table + ((lo >>> 12) & 0x3ff) * 4;
    if (!this.entries.read32(pteAddress)) return this.failTable('PTE', pteAddress);
    const pte = this.entries.lo;
    return (pte & 1) !== 0 ? this.pageOf(0, pte) : this.soft('PTE', 0, pte, system);
  }

  protected readEntry(address: number): boolean {
    return this.entries.read32(address);
  }

  protected pageOf(_hi: number, lo: number): number {
    return (lo & 0xfffff000) >>> 0;
  }
}
