import { kdbgPointers } from '@dumpscope/symbols';
import type { Kdbg } from './model.ts';

/**
 * Pages of nt that hold data, for kernels whose section headers are not in the dump: every variable that KDBG points at
 * lies on one, sections begin on pages of their own, and code never lies between two such pages that are close.
 */

const CODE = new Set(['BreakpointWithStatus', 'KiCallUserMode']);
/** Pages between two known ones that are taken to belong to the same section. */
const GAP = 16;

export function kernelDataPages(kdbg: Kdbg | null, size: number): ReadonlySet<number> {
  const pages = new Set<number>();
  if (kdbg === null) return pages;
  const known: number[] = [];
  const add = (address: bigint | null): void => {
    if (address === null || address < kdbg.kernBase) return;
    const rva = address - kdbg.kernBase;
    if (rva < BigInt(size)) known.push(Number(rva >> 12n));
  };
  add(kdbg.address);
  for (const { name } of kdbgPointers) if (!CODE.has(name)) add(kdbg.pointer(name));
  known.sort((a, b) => a - b);
  let last = -1;
  for (const page of known) {
    if (last >= 0 && page - last <= GAP) for (let fill = last + 1; fill < page; fill++) pages.add(fill);
    pages.add(page);
    last = page;
  }
  return pages;
}
