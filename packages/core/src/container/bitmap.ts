import { hex, PAGE_SIZE } from '../brands.ts';
import { u32, u64Number } from '../bytes.ts';
import type { DumpKind } from '../dump.ts';
import { FilePages } from '../physical/file-pages.ts';
import { RankBitmap } from '../physical/rank-bitmap.ts';
import type { ContainerInput, PageContainer } from './container.ts';

/** Running page counts are kept in 32 bits; 2^32 pages are 16 TiB. */
const MAX_BITS = 2 ** 32;

/** What a bitmap header says. Offsets are file offsets. */
export interface BitmapLayout {
  readonly firstPage: number;
  readonly pages: number;
  readonly bits: number;
  readonly bitsOffset: number;
  /** Other places of the bits, tried when the set bits at `bitsOffset` are not as many as `pages`. */
  readonly otherBitsOffsets: readonly number[];
  readonly fields: { readonly firstPage: number; readonly pages: number; readonly bits: number };
}

/**
 * BITMAP_DUMP (types 5, 6, 7; Windows 8 and later): +20 HeaderSize u64 = offset of the first page, +28 Pages u64,
 * +30 BitmapSize u64 in bits, +38 the bitmap. The same behind a 32-bit header.
 */
export function bitmapLayout(input: ContainerInput): BitmapLayout {
  const base = input.header.size;
  const bytes = input.cache.bytes(base, 0x38);
  return {
    firstPage: u64Number(bytes, 0x20),
    pages: u64Number(bytes, 0x28),
    bits: u64Number(bytes, 0x30),
    bitsOffset: base + 0x38,
    otherBitsOffsets: [],
    fields: { firstPage: base + 0x20, pages: base + 0x28, bits: base + 0x30 },
  };
}

/**
 * SUMMARY_DUMP32/64 (type 2; Windows 2000 to 7): +0C HeaderSize, +10 BitmapSize, +14 Pages, all u32, then an
 * RTL_BITMAP {SizeOfBitMap u32, Buffer pointer} and the bits: +20 behind a 32-bit header, +28 behind a 64-bit one.
 * Sources dispute the order of BitmapSize and Pages, so it is decided by the bytes: SizeOfBitMap repeats BitmapSize;
 * where it repeats neither, the bitmap cannot have fewer bits than there are pages.
 */
export function summaryLayout(input: ContainerInput): BitmapLayout {
  const base = input.header.size;
  const bytes = input.cache.bytes(base, 0x28);
  const a = u32(bytes, 0x10);
  const b = u32(bytes, 0x14);
  const repeated = u32(bytes, 0x18);
  const bitsFirst = a === repeated || (b !== repeated && a >= b);
  return {
    firstPage: u32(bytes, 0x0c),
    pages: bitsFirst ? b : a,
    bits: bitsFirst ? a : b,
    bitsOffset: base + (input.pointerSize === 8 ? 0x28 : 0x20),
    // Writers that do not align the pointer, or that keep it at four bytes.
    otherBitsOffsets: input.pointerSize === 8 ? [base + 0x24, base + 0x20] : [],
    fields: { firstPage: base + 0x0c, pages: base + (bitsFirst ? 0x14 : 0x10), bits: base + (bitsFirst ? 0x10 : 0x14) },
  };
}

/** Whether bitmap and first page can be where the header says. */
export function isPlausible(layout: BitmapLayout): boolean {
  return (
    layout.bits > 0 &&
    layout.bits <= 2 ** 40 &&
    layout.pages <= layout.bits &&
    layout.firstPage >= layout.bitsOffset + Math.ceil(layout.bits / 8) &&
    layout.firstPage < 2 ** 40
  );
}

export function openBitmap(input: ContainerInput, kind: DumpKind, layout: BitmapLayout): PageContainer {
  const { cache, problems } = input;
  let bits = layout.bits;
  const limit = (offset: number): number => Math.max(0, offset - layout.bitsOffset) * 8;
  const clip = (most: number, why: string): void => {
    if (bits <= most) return;
    problems.add(
      'bitmap-size-mismatch',
      `BitmapSize is ${hex(bits)} bits, ${why}: the bitmap is read as ${hex(most)} bits`,
      layout.fields.bits,
    );
    bits = most;
  };
  const badFirstPage = layout.firstPage <= layout.bitsOffset;
  if (badFirstPage) {
    problems.add(
      'first-page-absurd',
      `HeaderSize ${hex(layout.firstPage)} puts the first page into the headers: pages read there are not to be trusted`,
      layout.fields.firstPage,
    );
  } else {
    clip(limit(layout.firstPage), `but only ${hex(limit(layout.firstPage))} fit before the first page`);
  }
  clip(limit(cache.size), `but the file ends after ${hex(limit(cache.size))}`);
  clip(MAX_BITS, 'more than 16 TiB of memory');
  let bitmap = new RankBitmap(cache, layout.bitsOffset, bits);
  for (const offset of layout.otherBitsOffsets) {
    if (bitmap.pageCount === layout.pages) break;
    const other = new RankBitmap(cache, offset, bits);
    if (other.pageCount === layout.pages) bitmap = other;
  }
  if (bitmap.pageCount !== layout.pages) {
    problems.add(
      'page-count-mismatch',
      `the header counts ${hex(layout.pages)} pages, the bitmap has ${hex(bitmap.pageCount)} set bits: the bitmap is used`,
      layout.fields.pages,
    );
  }
  const end = layout.firstPage + bitmap.pageCount * PAGE_SIZE;
  // Nothing can be told from pages that would overlay the headers themselves.
  const pages = badFirstPage ? null : new FilePages(cache, bitmap, layout.firstPage);
  return { kind, pages, end: Math.max(end, layout.bitsOffset) };
}
