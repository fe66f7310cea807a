import { hex, va } from '../brands.ts';
import { u16, u32, u64, utf16 } from '../bytes.ts';
import type { BlockCache } from '../cache/block-cache.ts';
import type { ContainerInput } from '../container/container.ts';
import type { TriageDriver, UnloadedDriver } from '../dump.ts';
import type { TriageHeader } from './triage-header.ts';

const MAX_DRIVERS = 16 * 1024;
const MAX_NAME_UNITS = 1024;

/** Offsets within DUMP_DRIVER_ENTRY32/64: {name offset, [pad,] KLDR_DATA_TABLE_ENTRY}. */
interface EntryLayout {
  readonly stride: number;
  readonly base: number;
  readonly entryPoint: number;
  readonly size: number;
  readonly checkSum: number;
  readonly timeDateStamp: number;
}

/** 0x90 in all eight real dumps, from 9600 to 22000 and ARM64. */
const ENTRY64: EntryLayout = {
  stride: 0x90,
  base: 0x38,
  entryPoint: 0x40,
  size: 0x48,
  checkSum: 0x80,
  timeDateStamp: 0x88,
};
/** KLDR_DATA_TABLE_ENTRY32 behind a 4-byte name offset; 0x4c bytes apart on XP. */
const ENTRY32: EntryLayout = {
  stride: 0x4c,
  base: 0x1c,
  entryPoint: 0x20,
  size: 0x24,
  checkSum: 0x44,
  timeDateStamp: 0x48,
};

export function readDrivers(input: ContainerInput, triage: TriageHeader): TriageDriver[] {
  const { cache, pointerSize, problems } = input;
  const at = triage.driverListOffset;
  if (triage.driverCount === 0 || at === 0) return [];
  const layout = pointerSize === 8 ? ENTRY64 : ENTRY32;
  const stride = driverStride(input, triage, layout.stride);
  const count = Math.min(triage.driverCount, MAX_DRIVERS, Math.max(0, Math.floor((cache.size - at) / stride)));
  if (count < triage.driverCount) {
    problems.add(
      'triage-driver-count',
      `DriverCount is ${triage.driverCount}, ${count} can be read: the other drivers are missing`,
      triage.at + 0x34,
    );
  }
  const drivers: TriageDriver[] = [];
  let nameless = 0;
  for (let i = 0; i < count; i++) {
    const entry = cache.bytes(at + i * stride, stride);
    if (entry.length < layout.size + 4) break;
    const pointer = (offset: number): bigint => (pointerSize === 8 ? u64(entry, offset) : BigInt(u32(entry, offset)));
    const name = dumpString(cache, u32(entry, 0));
    if (name === null) nameless++;
    drivers.push({
      base: va(pointer(layout.base)),
      entryPoint: va(pointer(layout.entryPoint)),
      size: u32(entry, layout.size),
      name: name ?? '',
      ...stamp(entry, layout),
    });
  }
  if (nameless > 0) {
    problems.add('triage-driver-name', `${nameless} of ${drivers.length} driver names cannot be read`, at);
  }
  return drivers;
}

/**
 * Stamp and check sum come from the image's header; Windows writes both as 0 where that page was not in memory (up to
 * 10 drivers of a real dump). They are 32 bits wide: on 9600 the upper halves of their 64-bit slots hold garbage.
 */
function stamp(entry: Uint8Array, layout: EntryLayout): { checkSum: number | null; timeDateStamp: number | null } {
  if (entry.length < layout.timeDateStamp + 4) return { checkSum: null, timeDateStamp: null };
  const checkSum = u32(entry, layout.checkSum);
  const timeDateStamp = u32(entry, layout.timeDateStamp);
  if (timeDateStamp === 0) return { checkSum: checkSum === 0 ? null : checkSum, timeDateStamp: null };
  return { checkSum, timeDateStamp };
}

/**
 * Distance of driver entries: the list reaches up to the string pool in every real dump; a distance is right when the
 * entries' name offsets lead to strings, and the usual one or any other is taken where that of the pool does not.
 */
function driverStride(input: ContainerInput, triage: TriageHeader, usual: number): number {
  const { pointerSize } = input;
  const step = pointerSize;
  const span = triage.stringPoolOffset - triage.driverListOffset;
  const derived = Math.floor(span / triage.driverCount / step) * step;
  const candidates = [usual];
  if (derived > usual / 2 && derived <= 0x200) candidates.unshift(derived);
  for (let stride = pointerSize === 8 ? 0x78 : 0x3c; stride <= 0x140; stride += step) candidates.push(stride);
  const samples = Math.min(triage.driverCount, 16);
  let best = usual;
  let bestNames = 0;
  for (const stride of candidates) {
    let names = 0;
    for (let i = 0; i < samples; i++) {
      const offset = input.cache.u32(triage.driverListOffset + i * stride);
      if (isDumpString(input.cache, offset)) names++;
    }
    if (names > bestNames) {
      best = stride;
      bestNames = names;
    }
    if (names === samples) break;
  }
  return best;
}

/** Whether a DUMP_STRING {Length u32, characters, NUL} stands at `offset`: the NUL is where Length says. */
function isDumpString(cache: BlockCache, offset: number): boolean {
  const length = offset > 0 ? cache.u32(offset) : -1;
  if (length <= 0 || length > MAX_NAME_UNITS) return false;
  const end = cache.bytes(offset + 4 + 2 * length, 2);
  const first = cache.bytes(offset + 4, 2);
  return end.length === 2 && u16(end, 0) === 0 && first.length === 2 && u16(first, 0) >= 0x20;
}

/** Length counts UTF-16 units; the NUL ends the string all the same, should a writer have counted bytes. */
function dumpString(cache: BlockCache, offset: number): string | null {
  const length = offset > 0 ? cache.u32(offset) : -1;
  if (length <= 0) return null;
  const text = utf16(cache.bytes(offset + 4, 2 * Math.min(length, MAX_NAME_UNITS)));
  return text === '' ? null : text;
}

/**
 * DUMP_UNLOADED_DRIVERS: a count (u64, on 32-bit u32), then {UNICODE_STRING, WCHAR[12], StartAddress, EndAddress}.
 * Names are cut to 12 characters, and Windows leaves the rest of the array unwritten behind shorter ones.
 */
export function readUnloadedDrivers(input: ContainerInput, triage: TriageHeader): UnloadedDriver[] {
  const { cache, pointerSize, problems } = input;
  const at = triage.unloadedDriversOffset;
  if (at === 0) return [];
  const declared = cache.u32(at);
  if (declared <= 0) {
    if (declared < 0) beyond(input, triage);
    return [];
  }
  const stride = pointerSize === 8 ? 0x38 : 0x28;
  const stringSize = 2 * pointerSize;
  const start = at + pointerSize;
  const count = Math.min(declared, MAX_DRIVERS, Math.max(0, Math.floor((cache.size - start) / stride)));
  if (count < declared) {
    problems.add(
      'triage-driver-count',
      `${declared} unloaded drivers, ${count} can be read: the others are missing`,
      at,
    );
  }
  const drivers: UnloadedDriver[] = [];
  for (let i = 0; i < count; i++) {
    const entry = cache.bytes(start + i * stride, stride);
    if (entry.length < stride) break;
    const pointer = (offset: number): bigint => (pointerSize === 8 ? u64(entry, offset) : BigInt(u32(entry, offset)));
    const nameBytes = Math.min(24, u16(entry, 0) & ~1);
    drivers.push({
      name: utf16(entry.subarray(stringSize, stringSize + nameBytes)),
      start: va(pointer(stringSize + 24)),
      end: va(pointer(stringSize + 24 + pointerSize)),
      time: null,
    });
  }
  return drivers;
}

function beyond(input: ContainerInput, triage: TriageHeader): void {
  input.problems.add(
    'triage-structure-beyond-end',
    `the unloaded driver list at ${hex(triage.unloadedDriversOffset)} is beyond the end of the file`,
    triage.at + 0x18,
  );
}
