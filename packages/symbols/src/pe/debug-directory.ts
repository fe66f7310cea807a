import type { DataDirectory } from './headers.ts';
import { type RvaReader, u16, u32 } from './rva-reader.ts';
import { cString, formatGuid } from './text.ts';

/** CodeView record of an image: which PDB was made with it. */
export interface CodeViewRecord {
  readonly kind: 'RSDS' | 'NB10';
  /** `92146115-65FA-4C53-8FE7-24A797B860F7`; for NB10 the 32-bit signature as 8 hex digits. */
  readonly guid: string;
  readonly age: number;
  /** As stored, often with the build machine's path. */
  readonly path: string;
  /** Last part of `path`: the name to ask a symbol store for. */
  readonly name: string;
}

export interface DebugEntry {
  readonly type: number;
  readonly timeDateStamp: number;
  readonly size: number;
  readonly rva: number;
  readonly rawOffset: number;
}

const TYPE_CODEVIEW = 2;
const MAX_ENTRIES = 64;

/** IMAGE_DEBUG_DIRECTORY entries; empty when there is none, null when it cannot be read. */
export function readDebugDirectory(reader: RvaReader, directory: DataDirectory | undefined): DebugEntry[] | null {
  if (directory === undefined || directory.rva === 0) return [];
  const out: DebugEntry[] = [];
  const count = Math.min(MAX_ENTRIES, Math.floor(directory.size / 28));
  for (let i = 0; i < count; i++) {
    const bytes = reader.bytes(directory.rva + i * 28, 28);
    if (bytes === undefined) return out.length === 0 ? null : out;
    out.push({
      timeDateStamp: u32(bytes, 4),
      type: u32(bytes, 12),
      size: u32(bytes, 16),
      rva: u32(bytes, 20),
      rawOffset: u32(bytes, 24),
    });
  }
  return out;
}

/** The first readable RSDS or NB10 record. */
export function readCodeView(reader: RvaReader, entries: readonly DebugEntry[]): CodeViewRecord | null {
  for (const entry of entries) {
    if (entry.type !== TYPE_CODEVIEW || entry.rva === 0) continue;
    const record = parseCodeView(reader, entry.rva, entry.size);
    if (record !== null) return record;
  }
  return null;
}

/** A CodeView record at `rva`; null when it is none or its fixed part cannot be read. */
export function parseCodeView(reader: RvaReader, rva: number, size: number): CodeViewRecord | null {
  const head = reader.bytes(rva, 16);
  if (head === undefined) return null;
  const signature = u32(head, 0);
  if (signature === 0x53445352) {
    const fixed = reader.bytes(rva, 24);
    if (fixed === undefined) return null;
    const path = reader.cString(rva + 24, Math.min(Math.max(size - 24, 260), 1024)) ?? '';
    return { kind: 'RSDS', guid: formatGuid(fixed, 4), age: u32(fixed, 20), path, name: baseName(path) };
  }
  if (signature === 0x3031424e) {
    const path = reader.cString(rva + 16, Math.min(Math.max(size - 16, 260), 1024)) ?? '';
    const guid = u32(head, 8).toString(16).toUpperCase().padStart(8, '0');
    return { kind: 'NB10', guid, age: u32(head, 12), path, name: baseName(path) };
  }
  return null;
}

/** An RSDS record given as bytes (module streams of minidumps, triage blobs). */
export function codeViewFromBytes(bytes: Uint8Array): CodeViewRecord | null {
  if (bytes.length >= 24 && u32(bytes, 0) === 0x53445352) {
    const path = cString(bytes, 24);
    return { kind: 'RSDS', guid: formatGuid(bytes, 4), age: u32(bytes, 20), path, name: baseName(path) };
  }
  if (bytes.length >= 16 && u16(bytes, 0) === 0x424e && u16(bytes, 2) === 0x3031) {
    const path = cString(bytes, 16);
    const guid = u32(bytes, 8).toString(16).toUpperCase().padStart(8, '0');
    return { kind: 'NB10', guid, age: u32(bytes, 12), path, name: baseName(path) };
  }
  return null;
}

function baseName(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('\\'), path.lastIndexOf('/')) + 1);
}
