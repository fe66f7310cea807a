import type { DataDirectory } from './headers.ts';
import { type RvaReader, u16, u32 } from './rva-reader.ts';
import { utf16String } from './text.ts';

export interface VersionInfo {
  /** `10.0.19041.1288`, from VS_FIXEDFILEINFO; null when that block is absent. */
  readonly fileVersion: string | null;
  readonly productVersion: string | null;
  readonly fileFlags: number;
  /** Which bits of the flags mean something. */
  readonly fileFlagsMask: number;
  readonly fileOs: number;
  readonly fileType: number;
  readonly fileSubtype: number;
  /** FILETIME of dwFileDateMS and LS, mostly zero. */
  readonly fileDate: readonly [high: number, low: number];
  /** Language and code page of VarFileInfo\\Translation. */
  readonly translations: readonly (readonly [language: number, codePage: number])[];
  /** StringFileInfo of the first language: `CompanyName`, `FileDescription`, `OriginalFilename`, … */
  readonly strings: ReadonlyMap<string, string>;
}

const RT_VERSION = 16;
const MAX_VERSION_BYTES = 0x1_0000;
const MAX_STRINGS = 64;
const MAX_TRANSLATIONS = 64;

/** The version resource; null when the image has none or its path cannot be read. */
export function readVersionInfo(reader: RvaReader, directory: DataDirectory | undefined): VersionInfo | null {
  if (directory === undefined || directory.rva === 0) return null;
  const root = directory.rva;
  const byType = findEntry(reader, root, 0, RT_VERSION);
  if (byType === null || (byType & 0x8000_0000) === 0) return null;
  const byId = findEntry(reader, root, byType & 0x7fff_ffff, null);
  if (byId === null || (byId & 0x8000_0000) === 0) return null;
  const byLanguage = findEntry(reader, root, byId & 0x7fff_ffff, null);
  if (byLanguage === null || (byLanguage & 0x8000_0000) !== 0) return null;
  const data = reader.bytes(root + byLanguage, 16);
  if (data === undefined) return null;
  const bytes = reader.bytes(u32(data, 0), Math.min(u32(data, 4), MAX_VERSION_BYTES));
  return bytes === undefined ? null : parseVersionInfo(bytes);
}

/** Offset (with the subdirectory bit) of the entry with `id`, or of the first entry when `id` is null. */
function findEntry(reader: RvaReader, root: number, at: number, id: number | null): number | null {
  const head = reader.bytes(root + at, 16);
  if (head === undefined) return null;
  const count = Math.min(u16(head, 12) + u16(head, 14), 4096);
  for (let i = 0; i < count; i++) {
    const entry = reader.bytes(root + at + 16 + i * 8, 8);
    if (entry === undefined) return null;
    if (id === null || u32(entry, 0) === id) return u32(entry, 4);
  }
  return null;
}

interface Block {
  readonly key: string;
  readonly value: number;
  readonly valueLength: number;
  readonly isText: boolean;
  readonly end: number;
}

/** Header of one node: wLength, wValueLength, wType, key, padding to 4. */
function readBlock(bytes: Uint8Array, at: number, limit: number): Block | null {
  if (at + 6 > limit) return null;
  const length = u16(bytes, at);
  if (length < 6) return null;
  const end = Math.min(at + length, limit);
  const key = utf16String(bytes, at + 6, end);
  const value = (at + 6 + key.length * 2 + 2 + 3) & ~3;
  return { key, value, valueLength: u16(bytes, at + 2), isText: u16(bytes, at + 4) === 1, end };
}

/** VS_VERSIONINFO as bytes. */
export function parseVersionInfo(bytes: Uint8Array): VersionInfo | null {
  const root = readBlock(bytes, 0, bytes.length);
  if (root === null || root.key !== 'VS_VERSION_INFO') return null;
  const fixed = root.valueLength >= 52 && root.value + 52 <= root.end && u32(bytes, root.value) === 0xfeef04bd;
  const at = root.value;
  const strings = new Map<string, string>();
  const translations: [number, number][] = [];
  let child = (root.value + root.valueLength + 3) & ~3;
  while (child < root.end) {
    const info = readBlock(bytes, child, root.end);
    if (info === null) break;
    if (info.key === 'StringFileInfo' && strings.size === 0) {
      const table = readBlock(bytes, info.value, info.end);
      if (table !== null) readStrings(bytes, table, strings);
    } else if (info.key === 'VarFileInfo' && translations.length === 0) readTranslations(bytes, info, translations);
    child = (info.end + 3) & ~3;
  }
  return {
    fileVersion: fixed ? version(bytes, at + 8) : null,
    productVersion: fixed ? version(bytes, at + 16) : null,
    fileFlags: fixed ? (u32(bytes, at + 28) & u32(bytes, at + 24)) >>> 0 : 0,
    fileFlagsMask: fixed ? u32(bytes, at + 24) : 0,
    fileOs: fixed ? u32(bytes, at + 32) : 0,
    fileType: fixed ? u32(bytes, at + 36) : 0,
    fileSubtype: fixed ? u32(bytes, at + 40) : 0,
    fileDate: fixed ? [u32(bytes, at + 44), u32(bytes, at + 48)] : [0, 0],
    translations,
    strings,
  };
}

function readTranslations(bytes: Uint8Array, info: Block, into: [number, number][]): void {
  const entry = readBlock(bytes, info.value, info.end);
  if (entry === null || entry.key !== 'Translation') return;
  const end = Math.min(entry.value + entry.valueLength, entry.end);
  for (let at = entry.value; at + 4 <= end && into.length < MAX_TRANSLATIONS; at += 4) {
    into.push([u16(bytes, at), u16(bytes, at + 2)]);
  }
}

function readStrings(bytes: Uint8Array, table: Block, into: Map<string, string>): void {
  let at = table.value;
  while (at < table.end && into.size < MAX_STRINGS) {
    const entry = readBlock(bytes, at, table.end);
    if (entry === null) return;
    into.set(entry.key, entry.valueLength === 0 ? '' : utf16String(bytes, entry.value, entry.end));
    at = (entry.end + 3) & ~3;
  }
}

function version(bytes: Uint8Array, at: number): string {
  const ms = u32(bytes, at);
  const ls = u32(bytes, at + 4);
  return `${ms >>> 16}.${ms & 0xffff}.${ls >>> 16}.${ls & 0xffff}`;
}
