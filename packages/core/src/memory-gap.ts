import type { Va } from './brands.ts';

/** Paging level in WinDbg's words; ARM64 levels 0..3 are named after the x64 level of the same index width. */
export type PageLevel = 'PML5E' | 'PXE' | 'PPE' | 'PDE' | 'PTE';

/** Why a byte of virtual memory cannot be read. Every case is "unknown", none of them means zero. */
export type GapReason =
  | { readonly kind: 'non-canonical' }
  /** The entry at `level` is not valid and in no software state that keeps the page in memory. */
  | { readonly kind: 'not-present'; readonly level: PageLevel; readonly entry: bigint }
  | { readonly kind: 'paged-out'; readonly pageFile: number; readonly offset: number }
  | { readonly kind: 'demand-zero' }
  /** A prototype PTE that cannot be followed, or a page that lives in a mapped file. */
  | { readonly kind: 'prototype'; readonly address: Va }
  /** The page table that holds the entry for `level` is not in the dump. */
  | { readonly kind: 'table-missing'; readonly level: PageLevel; readonly pa: number; readonly truncated: boolean }
  /** Translated, but the page was not written to the dump. `pa` is absent where the dump has no physical pages. */
  | { readonly kind: 'not-in-dump'; readonly pa?: number }
  /** The page should be in the file at `offset`, which is beyond the end of a truncated file. */
  | { readonly kind: 'truncated'; readonly pa?: number; readonly offset: number }
  /** No usable directory table base. */
  | { readonly kind: 'no-page-directory' };

/** A value, not an exception: what was asked for, and why it is not there. */
export interface MemoryGap {
  /** First byte that is missing. */
  readonly address: Va;
  readonly reason: GapReason;
}

function digits(n: number | bigint): string {
  return n.toString(16);
}

/** One clause for reports: "page paged out to page file 0 at offset 0x1a34". */
export function describeGap(gap: MemoryGap): string {
  const r = gap.reason;
  switch (r.kind) {
    case 'non-canonical':
      return 'the address is not canonical';
    case 'not-present':
      return `${r.level} ${digits(r.entry)} is not present`;
    case 'paged-out':
      return `paged out to page file ${r.pageFile}, offset 0x${digits(r.offset)}`;
    case 'demand-zero':
      return 'demand-zero page that was never touched';
    case 'prototype':
      return `prototype PTE ${digits(r.address)} leads to no page in memory`;
    case 'table-missing':
      return `the page table of the ${r.level} at physical ${digits(r.pa)} is ${r.truncated ? 'beyond the truncated end of the file' : 'not in the dump'}`;
    case 'not-in-dump':
      return r.pa === undefined
        ? 'not in the dump'
        : `physical page ${digits(Math.floor(r.pa / 4096))} is not in the dump`;
    case 'truncated':
      return `file offset 0x${digits(r.offset)} is beyond the truncated end of the file`;
    case 'no-page-directory':
      return 'no page directory to translate with';
  }
}
