import { type Dump, type Memory, type UnloadedDriver, type Va, va } from '@dumpscope/core';
import type { LimitList } from './limits.ts';
import type { Kdbg } from './model.ts';

/** A loaded module as the kernel lists it. */
export interface ListedModule {
  readonly imageName: string;
  readonly imagePath: string;
  readonly base: Va;
  readonly size: number;
  readonly timeDateStamp: number | null;
  readonly checkSum: number | null;
  /** KLDR_DATA_TABLE_ENTRY.ExceptionTable: .pdata where the image header cannot be read. */
  readonly exceptionTable: { readonly address: Va; readonly size: number } | null;
}

/** More modules than any system has; a list that is longer is damaged. */
const MAX_MODULES = 4096;

/** Offsets in KLDR_DATA_TABLE_ENTRY that no version from XP to 11 has moved. */
const ldr = {
  4: { exception: 0x08, dllBase: 0x18, size: 0x20, fullName: 0x24, baseName: 0x2c, checkSum: 0x40, bytes: 0x4c },
  8: { exception: 0x10, dllBase: 0x30, size: 0x40, fullName: 0x48, baseName: 0x58, checkSum: 0x78, bytes: 0x88 },
} as const;

/** UNICODE_STRING at `bytes[at]`; null where its buffer cannot be read. */
export function unicodeStringAt(memory: Memory, bytes: Uint8Array, at: number): string | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint16(at, true) & ~1;
  const pointer = memory.pointerSize === 8 ? view.getBigUint64(at + 8, true) : BigInt(view.getUint32(at + 4, true));
  if (length === 0 || pointer === 0n) return '';
  const text = memory.prefix(pointer, Math.min(length, 1024));
  if (text.length < 2) return null;
  let out = '';
  for (let i = 0; i + 1 < text.length; i += 2) {
    const unit = (text[i] ?? 0) | ((text[i + 1] ?? 0) << 8);
    if (unit === 0) break;
    out += String.fromCharCode(unit);
  }
  return out;
}

function baseOf(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('\\'), path.lastIndexOf('/')) + 1);
}

/** The first entry of PsLoadedModuleList is the kernel; null where the list cannot be read. */
export function kernelFromList(dump: Dump, memory: Memory): { base: Va; size: number } | null {
  const first = dump.triage?.drivers[0];
  if (first !== undefined) return { base: first.base, size: first.size };
  const head = dump.header.psLoadedModuleList;
  if (head === null) return null;
  const entry = memory.pointer(head);
  if (entry === undefined || entry === head) return null;
  const at = ldr[dump.pointerSize];
  const base = memory.pointer(entry + BigInt(at.dllBase));
  const size = memory.u32(entry + BigInt(at.size));
  if (base === undefined || base === 0n || size === undefined) return null;
  return { base, size };
}

function validModule(dump: Dump, base: bigint, size: number): boolean {
  if (base === 0n || (base & 0xfffn) !== 0n || size === 0 || size > 0x40000000) return false;
  return dump.pointerSize === 8 ? base >= 0xffff000000000000n : base + BigInt(size) <= 0x100000000n;
}

/** Follows the list both ways from its head, so that one bad link does not hide what lies behind it. */
function walkList(dump: Dump, memory: Memory, head: Va, limits: LimitList): ListedModule[] {
  const at = ldr[dump.pointerSize];
  const seen = new Set<bigint>();
  const forward: ListedModule[] = [];
  const backward: ListedModule[] = [];
  for (const [out, link] of [
    [forward, 0n],
    [backward, BigInt(dump.pointerSize)],
  ] as const) {
    let entry = memory.pointer(head + link);
    while (entry !== undefined && entry !== head && entry !== 0n && !seen.has(entry) && seen.size < MAX_MODULES) {
      seen.add(entry);
      const bytes = memory.bytes(entry, at.bytes);
      if (bytes === undefined) {
        limits.add('loaded modules', `the list entry at ${entry.toString(16)} cannot be read`, 'that page', 'modules');
        break;
      }
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const pointer = (offset: number): Va =>
        dump.pointerSize === 8 ? (view.getBigUint64(offset, true) as Va) : va(view.getUint32(offset, true));
      const base = pointer(at.dllBase);
      const size = view.getUint32(at.size, true);
      if (!validModule(dump, base, size)) {
        limits.add('loaded modules', `the list entry at ${entry.toString(16)} is no module`, null, 'modules');
        break;
      }
      const path = unicodeStringAt(memory, bytes, at.fullName);
      const name = unicodeStringAt(memory, bytes, at.baseName) ?? (path === null ? null : baseOf(path));
      const table = pointer(at.exception);
      const tableSize = view.getUint32(at.exception + dump.pointerSize, true);
      out.push({
        imageName: name === null || name === '' ? `image_${base.toString(16)}` : name,
        imagePath: path ?? '',
        base,
        size,
        timeDateStamp: null,
        checkSum: view.getUint32(at.checkSum, true),
        exceptionTable:
          dump.pointerSize === 8 && table !== 0n && tableSize !== 0 && tableSize < size
            ? { address: table, size: tableSize }
            : null,
      });
      entry = pointer(Number(link));
    }
  }
  return [...forward, ...backward.reverse()];
}

/** Loaded modules in the kernel's order, nt first. */
export function listModules(dump: Dump, memory: Memory, kdbg: Kdbg | null, limits: LimitList): ListedModule[] {
  if (dump.triage !== null && dump.triage.drivers.length > 0) {
    const out: ListedModule[] = [];
    for (const driver of dump.triage.drivers) {
      if (!validModule(dump, driver.base, driver.size)) continue;
      const name = baseOf(driver.name);
      out.push({
        imageName: name === '' ? `image_${driver.base.toString(16)}` : name,
        imagePath: driver.name,
        base: driver.base,
        size: driver.size,
        timeDateStamp: driver.timeDateStamp,
        checkSum: driver.checkSum,
        exceptionTable: null,
      });
    }
    return out;
  }
  const heads = [dump.header.psLoadedModuleList, kdbg?.pointer('PsLoadedModuleList') ?? null];
  for (const head of heads) {
    if (head === null || head === 0n) continue;
    const found = walkList(dump, memory, head, limits);
    if (found.length > 0) return found;
  }
  limits.add(
    'loaded modules',
    heads.every((head) => head === null)
      ? 'the dump names no PsLoadedModuleList'
      : `PsLoadedModuleList at ${heads.find((head) => head !== null)?.toString(16)} leads to no module`,
    'the pages of the list',
    'modules',
  );
  return [];
}

/** MI_UNLOADED_DRIVER: UNICODE_STRING, start, end, time; 50 of them in a ring that MmLastUnloadedDriver ends. */
export function listUnloaded(dump: Dump, memory: Memory, kdbg: Kdbg | null): UnloadedDriver[] {
  if (dump.triage !== null) return [...dump.triage.unloaded];
  const array = kdbg?.pointer('MmUnloadedDrivers');
  const start = array == null ? undefined : memory.pointer(array);
  if (start === undefined || start === 0n) return [];
  const width = dump.pointerSize;
  const stride = width === 8 ? 0x28 : 0x18;
  const bytes = memory.prefix(start, stride * 50);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lastAt = kdbg?.pointer('MmLastUnloadedDriver');
  const next = lastAt == null ? 0 : (memory.u32(lastAt) ?? 0);
  const out: UnloadedDriver[] = [];
  for (let i = 0; i < 50; i++) {
    // newest first
    const index = (((next - 1 - i) % 50) + 50) % 50;
    const at = index * stride;
    if (at + stride > bytes.length) continue;
    const pointer = (offset: number): Va =>
      width === 8 ? (view.getBigUint64(at + offset, true) as Va) : va(view.getUint32(at + offset, true));
    const from = pointer(width * 2);
    const to = pointer(width * 3);
    const name = unicodeStringAt(memory, bytes, at);
    if (from === 0n || to <= from || name === null || name === '') continue;
    out.push({ name, start: from, end: to, time: view.getBigUint64(at + width * 4, true) });
  }
  return out;
}
