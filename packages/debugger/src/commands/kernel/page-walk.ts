import type { Dump, PagingMode } from '@dumpscope/core';

/** One level of a translation, as `!pte` and `!vtop` show it. */
export interface WalkLevel {
  readonly name: 'PML5E' | 'PXE' | 'PPE' | 'PDE' | 'PTE';
  /** Index of the entry in its table. */
  readonly index: number;
  /** Physical address of the entry. */
  readonly at: number;
  /** The entry; null when its table is not in the dump. */
  readonly entry: bigint | null;
  readonly valid: boolean;
  readonly large: boolean;
  /** Page frame of a valid entry. */
  readonly pfn: number | null;
}

export interface PageWalk {
  readonly mode: PagingMode;
  readonly root: number;
  readonly levels: readonly WalkLevel[];
  /** Physical address, null where the walk ended. */
  readonly physical: number | null;
}

interface LevelShape {
  readonly name: WalkLevel['name'];
  readonly shift: number;
  readonly bits: number;
  /** Size of the page that a large entry of this level maps; 0 when it cannot be large. */
  readonly large: number;
}

const K = 1024;
const M = K * K;
const G = M * K;

const X64: readonly LevelShape[] = [
  { name: 'PXE', shift: 39, bits: 9, large: 0 },
  { name: 'PPE', shift: 30, bits: 9, large: G },
  { name: 'PDE', shift: 21, bits: 9, large: 2 * M },
  { name: 'PTE', shift: 12, bits: 9, large: 0 },
];

const SHAPES: Readonly<Record<PagingMode, { readonly size: 4 | 8; readonly levels: readonly LevelShape[] }>> = {
  x86: {
    size: 4,
    levels: [
      { name: 'PDE', shift: 22, bits: 10, large: 4 * M },
      { name: 'PTE', shift: 12, bits: 10, large: 0 },
    ],
  },
  'x86-pae': {
    size: 8,
    levels: [
      { name: 'PPE', shift: 30, bits: 2, large: 0 },
      { name: 'PDE', shift: 21, bits: 9, large: 2 * M },
      { name: 'PTE', shift: 12, bits: 9, large: 0 },
    ],
  },
  'x64-4-level': { size: 8, levels: X64 },
  'x64-5-level': { size: 8, levels: [{ name: 'PML5E', shift: 48, bits: 9, large: 0 }, ...X64] },
  arm64: { size: 8, levels: X64 },
};

/** Page frame bits 12..51 (x86: 12..31). */
function frameOf(entry: bigint, size: 4 | 8): number {
  const mask = size === 4 ? 0xffff_f000n : 0xf_ffff_ffff_f000n;
  return Number((entry & mask) >> 12n);
}

/** Reads the tables of one address space from the physical pages of the dump; stops at the first entry that is not valid. */
export function walkPages(dump: Dump, mode: PagingMode, directory: number, address: bigint): PageWalk {
  const { size, levels } = SHAPES[mode];
  const root = mode === 'x86-pae' ? Math.floor(directory / 32) * 32 : Math.floor(directory / 4096) * 4096;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const found: WalkLevel[] = [];
  let table = root;
  for (const shape of levels) {
    const index = Number((address >> BigInt(shape.shift)) & ((1n << BigInt(shape.bits)) - 1n));
    const at = table + index * size;
    const read = dump.physical?.readInto(at as Parameters<NonNullable<Dump['physical']>['readInto']>[0], bytes) ?? 0;
    const entry = read < size ? null : size === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
    const valid = entry !== null && (entry & 1n) === 1n;
    // ARM64: bit 1 clear is a block; x86: the PS bit.
    const large = valid && shape.large > 0 && (mode === 'arm64' ? (entry & 2n) === 0n : (entry & 0x80n) !== 0n);
    const pfn = valid ? frameOf(entry, size) : null;
    found.push({ name: shape.name, index, at, entry, valid, large, pfn });
    if (!valid || pfn === null) return { mode, root, levels: found, physical: null };
    if (large) {
      const page = Math.floor((pfn * 4096) / shape.large) * shape.large;
      return { mode, root, levels: found, physical: page + Number(address & BigInt(shape.large - 1)) };
    }
    table = pfn * 4096;
  }
  return { mode, root, levels: found, physical: table + Number(address & 0xfffn) };
}

/** Index of the entry in the root table that maps the table itself (the page-table self-map of Windows); null without one. */
export function selfMapIndex(dump: Dump, mode: PagingMode, root: number): number | null {
  if (mode === 'x86' || mode === 'x86-pae' || mode === 'arm64') return null;
  const bytes = new Uint8Array(4096);
  const read = dump.physical?.readInto(root as Parameters<NonNullable<Dump['physical']>['readInto']>[0], bytes) ?? 0;
  if (read < 4096) return null;
  const view = new DataView(bytes.buffer);
  const frame = root / 4096;
  for (let i = 256; i < 512; i++) {
    const low = view.getUint32(i * 8, true);
    const high = view.getUint32(i * 8 + 4, true) & 0xfffff;
    if ((low & 1) === 1 && Math.floor(low / 4096) + high * 0x100000 === frame) return i;
  }
  return null;
}
