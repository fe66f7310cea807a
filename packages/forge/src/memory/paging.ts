import { ForgeError, type Mapping } from './address-space.ts';

/**
 * One architecture's page tables as data: index widths from the top level down, and how an entry is encoded. Bits as in
 * the Intel SDM (32-bit, PAE, 4- and 5-level paging) and the Arm ARM (VMSAv8-64, 4 KiB granule); the software states of
 * an entry that is not valid are Windows' own.
 */
export interface PagingFormat {
  readonly name: string;
  /** Index bits of each level, top level first. */
  readonly levels: readonly number[];
  readonly entrySize: 4 | 8;
  /** Top-level index from which the entries belong to the kernel and are shared by all processes. */
  readonly kernelFrom: number;
  /** Entries per large page: 4 KiB pages that one entry of the last level but one covers. */
  readonly largePages: number;
  table(pfn: number, user: boolean): bigint;
  leaf(pfn: number, mapping: Mapping, user: boolean): bigint;
  large(pfn: number, mapping: Mapping, user: boolean): bigint;
  transition(pfn: number): bigint;
  prototype(address: bigint): bigint;
  pagedOut(pageFile: number, offset: number): bigint;
  demandZero(): bigint;
}

const VALID = 0x1n;
const WRITE = 0x2n;
const USER = 0x4n;
const UNCACHED = 0x18n; // PCD and PWT: device memory
const ACCESSED = 0x20n;
const DIRTY = 0x40n;
const LARGE = 0x80n;
const GLOBAL = 0x100n;
const NO_EXECUTE = 1n << 63n;
const PROTECT_READWRITE = 4n << 5n; // MM_READWRITE in bits 5..9 of every software PTE

function intel(pfn: number, mapping: Mapping, user: boolean, nx: boolean): bigint {
  let entry = (BigInt(pfn) << 12n) | VALID | ACCESSED;
  if (mapping.writable) entry |= WRITE | DIRTY;
  if (user) entry |= USER;
  else entry |= GLOBAL;
  if (mapping.page.device) entry |= UNCACHED;
  if (nx && !mapping.executable) entry |= NO_EXECUTE;
  return entry;
}

function intelTable(pfn: number, user: boolean): bigint {
  return (BigInt(pfn) << 12n) | VALID | WRITE | ACCESSED | DIRTY | (user ? USER : 0n);
}

/** x86 without PAE: 32-bit entries, 4 MiB large pages. */
export const X86_PAGING: PagingFormat = {
  name: 'x86',
  levels: [10, 10],
  entrySize: 4,
  kernelFrom: 512,
  largePages: 1024,
  table: intelTable,
  leaf: (pfn, mapping, user) => intel(pfn, mapping, user, false),
  large: (pfn, mapping, user) => intel(pfn, mapping, user, false) | LARGE,
  transition: (pfn) => (BigInt(pfn) << 12n) | 0x800n | PROTECT_READWRITE,
  // Prototype PTE addresses lose bit 31 (they are kernel ones) and are split over bits 1..8 and 11..31 (_MMPTE_PROTOTYPE).
  prototype: (address) => ((address & 0x7ffffc00n) << 1n) | ((address & 0x3ffn) >> 1n) | 0x400n,
  pagedOut: (file, offset) => (BigInt(offset) << 12n) | (BigInt(file & 0xf) << 1n) | PROTECT_READWRITE,
  demandZero: () => PROTECT_READWRITE,
};

/** x86 with PAE: the page directory pointer table has four entries, of which only present and cache bits may be set. */
export const PAE_PAGING: PagingFormat = {
  ...X86_PAGING,
  name: 'x86 PAE',
  levels: [2, 9, 9],
  entrySize: 8,
  kernelFrom: 2,
  largePages: 512,
  leaf: (pfn, mapping, user) => intel(pfn, mapping, user, false),
  prototype: (address) => ((address & 0xffffffffn) << 32n) | 0x400n | (4n << 11n),
  pagedOut: (file, offset) => (BigInt(offset) << 32n) | (BigInt(file & 0xf) << 1n) | PROTECT_READWRITE,
};

/**
 * x64, 4 or 5 levels. From build 17134 on, entries that are not valid are kept away from real memory (L1TF): their frame
 * numbers are XORed with a mask unless SwizzleBit (bit 4) is set, and the page file number moved to bits 12..15.
 */
export function x64Paging(levels: 4 | 5, build: number): PagingFormat {
  const swizzle = build >= 17134 ? 0x10n : 0n;
  const fileShift = build >= 17134 ? 12n : 1n;
  return {
    ...PAE_PAGING,
    name: `x64 ${levels}-level`,
    levels: levels === 5 ? [9, 9, 9, 9, 9] : [9, 9, 9, 9],
    kernelFrom: 256,
    leaf: (pfn, mapping, user) => intel(pfn, mapping, user, true),
    large: (pfn, mapping, user) => intel(pfn, mapping, user, true) | LARGE,
    transition: (pfn) => (BigInt(pfn) << 12n) | 0x800n | swizzle | PROTECT_READWRITE,
    prototype: (address) => ((address & 0xffffffffffffn) << 16n) | 0x400n,
    pagedOut: (file, offset) =>
      (BigInt(offset) << 32n) | (BigInt(file & 0xf) << fileShift) | swizzle | PROTECT_READWRITE,
    demandZero: () => PROTECT_READWRITE,
  };
}

function armUnsupported(what: string): never {
  throw new ForgeError(`ARM64 page tables have no ${what} writer: that state is not documented`);
}

const AF = 1n << 10n;
const INNER_SHAREABLE = 3n << 8n;
const NOT_GLOBAL = 1n << 11n;
const PXN = 1n << 53n;
const UXN = 1n << 54n;

function armBlock(pfn: number, mapping: Mapping, user: boolean): bigint {
  let entry = (BigInt(pfn) << 12n) | AF | INNER_SHAREABLE;
  if (user) entry |= (1n << 6n) | NOT_GLOBAL | PXN;
  else entry |= UXN;
  if (!mapping.writable) entry |= 1n << 7n;
  if (mapping.page.device) entry |= 1n << 2n; // another memory attribute than index 0
  if (!mapping.executable) entry |= PXN | UXN;
  return entry;
}

/** ARM64, 4 KiB granule, 48-bit. One top table serves TTBR0 (low half) and TTBR1 (high half), as Windows has it. */
export const ARM64_PAGING: PagingFormat = {
  name: 'ARM64 4K',
  levels: [9, 9, 9, 9],
  entrySize: 8,
  kernelFrom: 256,
  largePages: 512,
  table: (pfn) => (BigInt(pfn) << 12n) | 3n,
  leaf: (pfn, mapping, user) => armBlock(pfn, mapping, user) | 3n,
  large: (pfn, mapping, user) => armBlock(pfn, mapping, user) | 1n,
  transition: () => armUnsupported('transition'),
  prototype: () => armUnsupported('prototype'),
  pagedOut: () => armUnsupported('paged-out'),
  demandZero: () => 0n,
};
