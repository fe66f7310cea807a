import { hex, PAGE_SIZE } from '../brands.ts';
import { u32, u64Number } from '../bytes.ts';
import type { DumpKind } from '../dump.ts';
import { FilePages } from '../physical/file-pages.ts';
import { RunTableBuilder } from '../physical/run-table.ts';
import { type ContainerInput, MAX_PFN, type PageContainer } from './container.ts';

/** Ranges kept: 4 Mi ranges are 96 MiB of table; a 64 GiB machine has 16 Mi pages. */
const MAX_RANGES = 4 * 1024 * 1024;
/** Ranges in no order have to be sorted and cut, which takes about 140 bytes each. */
const MAX_UNSORTED_RANGES = 1024 * 1024;
const CHUNK = 64 * 1024;
const RANGES_OFFSET = 0x30;

export interface RangeLayout {
  readonly metadataSize: number;
  readonly firstPage: number;
  readonly numberOfRanges: number;
  readonly totalPages: number;
}

/**
 * RDMP (types 8, 9, 0xA; written by `.dump /k`, `/ka`, `/f`), facts of kdmp-parser: at the header's end {0x40, 'RDMP',
 * 'DUMP', unused, MetadataSize u64, FirstPageOffset u64}, where MetadataSize - 0x20 = FirstPageOffset - 0x2040; then
 * 16 bytes that for type 0xA are {NumberOfRanges u32, u16, u16, TotalNumberOfPages u64} and unknown for 8 and 9; then
 * ranges {page number u64, page count u64}, whose pages follow each other from FirstPageOffset.
 */
export function rangeLayout(input: ContainerInput): RangeLayout {
  const bytes = input.cache.bytes(input.header.size, RANGES_OFFSET);
  return {
    metadataSize: u64Number(bytes, 0x10),
    firstPage: u64Number(bytes, 0x18),
    numberOfRanges: u32(bytes, 0x20),
    totalPages: u64Number(bytes, 0x28),
  };
}

/** The relation that kdmp-parser checks, for either header size. */
export function isConsistent(input: ContainerInput, layout: RangeLayout): boolean {
  return layout.metadataSize >= 0x20 && layout.firstPage === layout.metadataSize + input.header.size + 0x20;
}

export function openRange(input: ContainerInput, kind: DumpKind, layout: RangeLayout): PageContainer {
  const { cache, problems } = input;
  const base = input.header.size;
  const start = base + RANGES_OFFSET;
  if (!isConsistent(input, layout)) {
    problems.add(
      'range-metadata-mismatch',
      `MetadataSize ${hex(layout.metadataSize)} and FirstPageOffset ${hex(layout.firstPage)} do not agree: the latter is used`,
      base + 0x10,
    );
  }
  if (!(layout.firstPage > start)) {
    problems.add('first-page-absurd', `FirstPageOffset ${hex(layout.firstPage)}: no page can be located`, base + 0x18);
    return { kind, pages: null, end: base };
  }
  const full = kind === 'range-full';
  const limit = Math.floor((Math.min(layout.firstPage, cache.size) - start) / 16);
  const table = new RunTableBuilder();
  const chunk = new Uint8Array(CHUNK);
  let total = 0;
  let at = 0;
  scan: for (; at < limit; at += CHUNK / 16) {
    const got = cache.read(start + at * 16, chunk, 0, Math.min(CHUNK, (limit - at) * 16));
    for (let i = 0; i + 16 <= got; i += 16) {
      const range = at + i / 16;
      if (full && range >= layout.numberOfRanges) break scan;
      const page = u64Number(chunk, i);
      const count = u64Number(chunk, i + 8);
      // Type 8 and 9 tables end with a zero page number; page 0 itself is never dumped.
      if (page === 0 && (!full || count === 0)) break scan;
      if (count === 0) continue;
      if (page + count > MAX_PFN) {
        problems.add(
          'run-absurd',
          `range ${range} (page ${hex(page)}, ${hex(count)} pages) lies beyond 52 bits: it and the ranges behind it cannot be located`,
          start + range * 16,
        );
        break scan;
      }
      if (table.length >= MAX_RANGES) {
        problems.add(
          'runs-exceed-count',
          `more than ${MAX_RANGES} ranges: the others are not read`,
          start + range * 16,
        );
        break scan;
      }
      table.add(page, count);
      total += count;
    }
    if (got < CHUNK) break;
  }
  if (!table.sorted && table.length > MAX_UNSORTED_RANGES) {
    problems.add(
      'runs-exceed-count',
      `${table.length} ranges in no order: ${MAX_UNSORTED_RANGES} of them are used`,
      start,
    );
    table.truncate(MAX_UNSORTED_RANGES);
  }
  if (full && layout.numberOfRanges > limit) {
    problems.add(
      'runs-exceed-count',
      `NumberOfRanges is ${layout.numberOfRanges}, ${Math.max(0, limit)} fit: pages of the others cannot be located`,
      base + 0x20,
    );
  }
  if (full && total !== layout.totalPages) {
    problems.add(
      'page-count-mismatch',
      `TotalNumberOfPages is ${hex(layout.totalPages)}, the ranges hold ${hex(total)}: the ranges are used`,
      base + 0x28,
    );
  }
  const ranges = table.build();
  if (ranges.overlapping) problems.add('runs-overlap', 'page ranges overlap: the first one is taken', start);
  return {
    kind,
    pages: new FilePages(cache, ranges, layout.firstPage),
    end: layout.firstPage + total * PAGE_SIZE,
  };
}
