import type { DataDirectory } from './headers.ts';
import { u16, u32 } from './rva-reader.ts';

/** Base relocations by page: page RVA -> entries as (type << 12 | offset in page). */
export type RelocationIndex = ReadonlyMap<number, Uint16Array>;

/** Parses a .reloc directory given as bytes. Stops at the first block that runs past its end. */
export function parseRelocations(bytes: Uint8Array): RelocationIndex {
  const pages = new Map<number, Uint16Array>();
  let at = 0;
  while (at + 8 <= bytes.length) {
    const page = u32(bytes, at);
    const size = u32(bytes, at + 4);
    if (size < 8 || at + size > bytes.length) break;
    const count = (size - 8) >> 1;
    const before = pages.get(page);
    const entries = new Uint16Array(count + (before?.length ?? 0));
    if (before !== undefined) entries.set(before, count);
    for (let i = 0; i < count; i++) entries[i] = u16(bytes, at + 8 + i * 2);
    pages.set(page, entries);
    at += size;
  }
  return pages;
}

/**
 * Applies the relocations that touch `bytes` (the image's bytes at `rva`, in place). A fix-up that lies partly outside
 * of `bytes` is computed from `context`, which reads unrelocated image bytes; without it such a fix-up is left out.
 * DIR64, HIGHLOW, HIGH and LOW are known; HIGHADJ and the ARM and MIPS kinds do not occur in the images we read.
 */
export function relocate(
  bytes: Uint8Array,
  rva: number,
  delta: bigint,
  index: RelocationIndex,
  context?: (rva: number, length: number) => Uint8Array | null,
): void {
  if (delta === 0n || bytes.length === 0) return;
  const low = Number(BigInt.asUintN(32, delta));
  const high = Number(BigInt.asUintN(32, delta >> 32n));
  const first = Math.max(0, rva - 7);
  for (let page = first - (first % 0x1000); page < rva + bytes.length; page += 0x1000) {
    const entries = index.get(page);
    if (entries === undefined) continue;
    for (const entry of entries) {
      const type = entry >> 12;
      const width = type === 10 ? 8 : type === 3 ? 4 : type === 1 || type === 2 ? 2 : 0;
      if (width === 0) continue;
      const at = page + (entry & 0xfff) - rva;
      if (at + width <= 0 || at >= bytes.length) continue;
      if (at >= 0 && at + width <= bytes.length) addTo(bytes, at, type, low, high);
      else {
        const whole = context?.(rva + at, width);
        if (whole === null || whole === undefined || whole.length < width) continue;
        const copy = whole.slice(0, width);
        addTo(copy, 0, type, low, high);
        for (let i = 0; i < width; i++) if (at + i >= 0 && at + i < bytes.length) bytes[at + i] = copy[i] ?? 0;
      }
    }
  }
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 0xff;
  bytes[at + 1] = (value >>> 8) & 0xff;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value & 0xffff);
  put16(bytes, at + 2, value >>> 16);
}

function addTo(bytes: Uint8Array, at: number, type: number, low: number, high: number): void {
  switch (type) {
    case 10: {
      const sum = u32(bytes, at) + low;
      put32(bytes, at, sum >>> 0);
      put32(bytes, at + 4, (u32(bytes, at + 4) + high + (sum > 0xffff_ffff ? 1 : 0)) >>> 0);
      return;
    }
    case 3:
      put32(bytes, at, (u32(bytes, at) + low) >>> 0);
      return;
    case 1: // HIGH: the upper 16 bits of a 32-bit address
      put16(bytes, at, ((u16(bytes, at) * 0x1_0000 + low) >>> 16) & 0xffff);
      return;
    case 2: // LOW
      put16(bytes, at, (u16(bytes, at) + low) & 0xffff);
      return;
  }
}

export function relocationDirectory(directories: readonly DataDirectory[]): DataDirectory | undefined {
  const directory = directories[5];
  return directory === undefined || directory.rva === 0 || directory.size === 0 ? undefined : directory;
}
