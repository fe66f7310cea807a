import type { DataDirectory } from './headers.ts';
import { type RvaReader, u16, u32 } from './rva-reader.ts';

export interface PeExport {
  /** Null for an entry exported by ordinal only. */
  readonly name: string | null;
  readonly ordinal: number;
  /** 0 for a forwarder. */
  readonly rva: number;
  /** `NTDLL.RtlFoo`, or null. */
  readonly forwarder: string | null;
}

export interface PeExports {
  /** The image's own name in the directory, null when it cannot be read. */
  readonly dllName: string | null;
  readonly entries: readonly PeExport[];
  /** False when part of the directory could not be read: a name that is absent may exist. */
  readonly complete: boolean;
}

const MAX_EXPORTS = 0x1_0000; // ordinals are 16 bits wide

/** Reads a u16 or u32 array piece by piece; entries that cannot be read are -1. */
function readArray(
  reader: RvaReader,
  rva: number,
  count: number,
  size: 2 | 4,
): { values: Int32Array | Float64Array; complete: boolean } {
  const values = size === 2 ? new Int32Array(count).fill(-1) : new Float64Array(count).fill(-1);
  let complete = true;
  const step = 0x400;
  for (let at = 0; at < count; at += step) {
    const n = Math.min(step, count - at);
    const bytes = reader.bytes(rva + at * size, n * size);
    if (bytes !== undefined) {
      for (let i = 0; i < n; i++) values[at + i] = size === 2 ? u16(bytes, i * 2) : u32(bytes, i * 4);
      continue;
    }
    for (let i = 0; i < n; i++) {
      const one = reader.bytes(rva + (at + i) * size, size);
      if (one === undefined) complete = false;
      else values[at + i] = size === 2 ? u16(one, 0) : u32(one, 0);
    }
  }
  return { values, complete };
}

/** IMAGE_EXPORT_DIRECTORY and what it leads to; null when there is none or its header cannot be read. */
export function readExports(reader: RvaReader, directory: DataDirectory | undefined): PeExports | null {
  if (directory === undefined || directory.rva === 0 || directory.size < 40) return null;
  const head = reader.bytes(directory.rva, 40);
  if (head === undefined) return null;
  const ordinalBase = u32(head, 16);
  const functionCount = Math.min(u32(head, 20), MAX_EXPORTS);
  const nameCount = Math.min(u32(head, 24), MAX_EXPORTS);
  const functions = readArray(reader, u32(head, 28), functionCount, 4);
  const names = readArray(reader, u32(head, 32), nameCount, 4);
  const ordinals = readArray(reader, u32(head, 36), nameCount, 2);
  let complete = functions.complete && names.complete && ordinals.complete;
  if (u32(head, 20) > MAX_EXPORTS || u32(head, 24) > MAX_EXPORTS) complete = false;
  const entries: PeExport[] = [];
  const named = new Uint8Array(functionCount);
  const end = directory.rva + directory.size;
  const add = (name: string | null, index: number): void => {
    const rva = functions.values[index] ?? -1;
    if (rva <= 0) return;
    // An address inside the export directory is the string of a forwarder.
    if (rva >= directory.rva && rva < end) {
      const forwarder = reader.cString(rva, Math.min(512, end - rva));
      if (forwarder === undefined) complete = false;
      entries.push({ name, ordinal: ordinalBase + index, rva: 0, forwarder: forwarder ?? '' });
    } else entries.push({ name, ordinal: ordinalBase + index, rva, forwarder: null });
  };
  for (let i = 0; i < nameCount; i++) {
    const nameRva = names.values[i] ?? -1;
    const index = ordinals.values[i] ?? -1;
    if (nameRva < 0 || index < 0 || index >= functionCount) continue;
    const name = reader.cString(nameRva, 4096);
    if (name === undefined) {
      complete = false;
      continue;
    }
    named[index] = 1;
    add(name, index);
  }
  for (let i = 0; i < functionCount; i++) if (named[i] === 0) add(null, i);
  const dllName = reader.cString(u32(head, 12), 260) ?? null;
  return { dllName, entries, complete };
}
