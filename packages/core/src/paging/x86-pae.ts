import type { EntryReader } from './entry-reader.ts';
import { SoftwarePtePae } from './software-pte.ts';
import { HIGH, Walker } from './walker.ts';

/** x86 with PAE: a page-directory-pointer table of four entries, aligned to 32 bytes; 2 MiB pages. */
export class PaeWalker extends Walker {
  protected readonly entrySize = 8;
  readonly #pointers: number;

  constructor(entries: EntryReader, directoryTableBase: number, build: number) {
    super(entries, new SoftwarePtePae(build));
    this.#pointers = directoryTableBase - (directoryTableBase % 0x20);
  }

  walk(_hi: number, lo: number): number {
    const system = lo >>> 31 === 1;
    const entries = this.entries;
    const pdpteAddress = this.#pointers + (lo >>> 30) * 8;
    if (!entries.read64(pdpteAddress)) return this.failTable('PPE', pdpteAddress);
    if ((entries.lo & 1) === 0) return this.failNotPresent('PPE', entries.hi, entries.lo);
    const pdeAddress = this.pageOf(entries.hi, entries.lo) + ((lo >>> 21) & 0x1ff) * 8;
    if (!entries.read64(pdeAddress)) return this.failTable('PDE', pdeAddress);
    let table = this.pageOf(entries.hi, entries.lo);
    if ((entries.lo & 1) === 0) {
      table = this.soft('PDE', entries.hi, entries.lo, system);
      if (table < 0) return -1;
    } else if ((entries.lo & 0x80) !== 0) {
      return (entries.hi & 0xfffff) * HIGH + ((entries.lo & 0xffe00000) >>> 0) + (lo & 0x1ff000);
    }
    const pteAddress = table + ((lo >>> 12) & 0x1ff) * 8;
    if (!entries.read64(pteAddress)) return this.failTable('PTE', pteAddress);
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
