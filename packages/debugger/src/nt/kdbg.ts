import { type Va, va } from '@dumpscope/core';
import { kdbgOffsets, kdbgPointers } from '@dumpscope/symbols';
import type { Kdbg } from '../target/model.ts';

/** 'KDBG' as stored. */
export const KDBG_TAG = 0x4742444b;
/** Windows 2000 wrote 0x208 bytes; no build is near a page. */
export const KDBG_MIN_SIZE = 0x208;
export const KDBG_MAX_SIZE = 0x1000;

const pointerOffsets = new Map<string, number>([
  ['KernBase', 0x18],
  ['MmPageSize', 0x138],
  ['VfCrashDataBlock', 0x318],
  ...kdbgPointers.map((pointer) => [pointer.name, pointer.offset] as const),
]);

interface OffsetField {
  readonly offset: number;
  readonly width: 2 | 4;
}

const extraOffsets: readonly (readonly [string, number])[] = [
  ['ThCallbackStack', 0x30],
  ['NextCallback', 0x32],
  ['FramePointer', 0x34],
  ['PaeEnabled', 0x36],
  ['OffsetKThreadBStore', 0x2a4],
  ['OffsetKThreadBStoreLimit', 0x2a6],
  ['OffsetPcrInitialStack', 0x2ec],
  ['OffsetPcrStackLimit', 0x2ee],
  ['OffsetPrcbPcrPage', 0x2f0],
  ['GdtR0Code', 0x2f4],
  ['GdtR0Data', 0x2f6],
  ['GdtR0Pcr', 0x2f8],
  ['GdtR3Code', 0x2fa],
  ['GdtR3Data', 0x2fc],
  ['GdtR3Teb', 0x2fe],
  ['GdtLdt', 0x300],
  ['GdtTss', 0x302],
];

const offsetFields = new Map<string, OffsetField>([
  ...extraOffsets.map(([name, offset]) => [name, { offset, width: 2 }] as const),
  ...kdbgOffsets.map((field) => [field.name, { offset: field.offset, width: field.width }] as const),
]);

/** Size that the block claims, or null where the bytes do not begin a KDDEBUGGER_DATA64. */
export function kdbgSizeOf(head: Uint8Array): number | null {
  if (head.length < 0x20) return null;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (view.getUint32(0x10, true) !== KDBG_TAG) return null;
  const size = view.getUint32(0x14, true);
  return size >= KDBG_MIN_SIZE && size <= KDBG_MAX_SIZE && size % 4 === 0 ? size : null;
}

/**
 * Wraps the bytes of a decoded block. Fields beyond `Size` or beyond the bytes at hand are null. A 32-bit dump stores
 * its pointers sign-extended: they come back zero-extended.
 */
export function parseKdbg(
  bytes: Uint8Array,
  address: Va | null,
  source: Kdbg['source'],
  pointerSize: 4 | 8,
): Kdbg | null {
  const claimed = kdbgSizeOf(bytes);
  if (claimed === null) return null;
  const size = Math.min(claimed, bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const narrow = (value: bigint): Va => va(pointerSize === 4 ? value & 0xffffffffn : value);
  const pointerAt = (at: number | undefined): Va | null => {
    if (at === undefined || at + 8 > size) return null;
    const value = narrow(view.getBigUint64(at, true));
    return value === 0n ? null : value;
  };
  return {
    address,
    size: claimed,
    source,
    kernBase: narrow(view.getBigUint64(0x18, true)),
    pointer: (name) => pointerAt(pointerOffsets.get(name)),
    offset(name) {
      const field = offsetFields.get(name);
      if (field === undefined || field.offset + field.width > size) return null;
      const value = field.width === 2 ? view.getUint16(field.offset, true) : view.getUint32(field.offset, true);
      return value === 0 ? null : value;
    },
  };
}

/** The block's pointers minus the kernel's base, for matching a kernel: only those that lie in its image. */
export function kdbgPointerRvas(kdbg: Kdbg): Map<string, number> {
  const out = new Map<string, number>();
  for (const { name } of kdbgPointers) {
    const value = kdbg.pointer(name);
    if (value === null || value < kdbg.kernBase) continue;
    const delta = value - kdbg.kernBase;
    if (delta < 0x10000000n) out.set(name, Number(delta));
  }
  return out;
}

/** The block's offsets and sizes that are not 0. */
export function kdbgOffsetValues(kdbg: Kdbg): Map<string, number> {
  const out = new Map<string, number>();
  for (const { name } of kdbgOffsets) {
    const value = kdbg.offset(name);
    if (value !== null) out.set(name, value);
  }
  return out;
}
