import { u16, u32 } from '../pe/rva-reader.ts';

const LINES = 0xf2;
const STRING_TABLE = 0xf3;
const FILE_CHECKSUMS = 0xf4;
const INLINEE_LINES = 0xf6;
const IGNORE = 0x8000_0000;
const HAVE_COLUMNS = 1;

/** A subsection of C13 line information: `[at, end)` are its contents. */
interface Subsection {
  readonly kind: number;
  readonly at: number;
  readonly end: number;
}

function* subsections(bytes: Uint8Array): Generator<Subsection> {
  for (let at = 0; at + 8 <= bytes.length; ) {
    const kind = u32(bytes, at);
    const end = at + 8 + u32(bytes, at + 4);
    if (end > bytes.length) return;
    if ((kind & IGNORE) === 0) yield { kind, at: at + 8, end };
    at = (end + 3) & ~3;
  }
}

/** Lines of one contribution of a section, as stored: offsets are from `offset`. */
export interface LineBlock {
  readonly section: number;
  readonly offset: number;
  readonly size: number;
  /** Offset of the file in the checksums subsection. */
  readonly file: number;
  readonly count: number;
  /** Pairs (code offset from `offset`, start line), `count` of them. */
  readonly pairs: Uint32Array;
}

/** DEBUG_S_LINES of a module. */
export function readLineBlocks(bytes: Uint8Array): LineBlock[] {
  const out: LineBlock[] = [];
  for (const { kind, at, end } of subsections(bytes)) {
    if (kind !== LINES || at + 12 > end) continue;
    const offset = u32(bytes, at);
    const section = u16(bytes, at + 4);
    const columns = (u16(bytes, at + 6) & HAVE_COLUMNS) !== 0;
    const size = u32(bytes, at + 8);
    for (let block = at + 12; block + 12 <= end; ) {
      const file = u32(bytes, block);
      const lineCount = u32(bytes, block + 4);
      const blockSize = u32(bytes, block + 8);
      const perLine = columns ? 12 : 8;
      if (blockSize < 12 || block + blockSize > end || 12 + lineCount * perLine > blockSize) break;
      const pairs = new Uint32Array(lineCount * 2);
      for (let i = 0; i < lineCount; i++) {
        pairs[i * 2] = u32(bytes, block + 12 + i * 8);
        pairs[i * 2 + 1] = u32(bytes, block + 16 + i * 8) & 0xff_ffff;
      }
      out.push({ section, offset, size, file, count: lineCount, pairs });
      block += blockSize;
    }
  }
  return out;
}

/** A source file of a module. */
export interface FileChecksum {
  /** Offset of its path in the name table. */
  readonly name: number;
  /** 0 none, 1 MD5, 2 SHA-1, 3 SHA-256. */
  readonly checksumKind: number;
  readonly checksum: Uint8Array;
}

/** DEBUG_S_FILECHKSMS of a module, by the offset that line blocks refer to. */
export function readFileChecksums(bytes: Uint8Array): Map<number, FileChecksum> {
  const out = new Map<number, FileChecksum>();
  for (const { kind, at, end } of subsections(bytes)) {
    if (kind !== FILE_CHECKSUMS) continue;
    for (let entry = at; entry + 6 <= end; ) {
      const length = bytes[entry + 4] ?? 0;
      if (entry + 6 + length > end) break;
      out.set(entry - at, {
        name: u32(bytes, entry),
        checksumKind: bytes[entry + 5] ?? 0,
        checksum: bytes.subarray(entry + 6, entry + 6 + length),
      });
      entry = (entry + 6 + length + 3) & ~3;
    }
  }
  return out;
}

/** Where the source of an inlined function begins. */
export interface InlineeLine {
  readonly file: number;
  readonly line: number;
}

/** DEBUG_S_INLINEELINES of a module, by item id. */
export function readInlineeLines(bytes: Uint8Array): Map<number, InlineeLine> {
  const out = new Map<number, InlineeLine>();
  for (const { kind, at, end } of subsections(bytes)) {
    if (kind !== INLINEE_LINES || at + 4 > end) continue;
    const extended = u32(bytes, at) === 1;
    for (let entry = at + 4; entry + 12 <= end; ) {
      out.set(u32(bytes, entry), { file: u32(bytes, entry + 4), line: u32(bytes, entry + 8) });
      entry += 12;
      if (extended) {
        if (entry + 4 > end) break;
        entry += 4 + u32(bytes, entry) * 4;
      }
    }
  }
  return out;
}

/** `[at, end)` of a string table inside of the module's lines; PDBs have it in /names instead. */
export function ownStringTable(bytes: Uint8Array): { at: number; end: number } | null {
  for (const { kind, at, end } of subsections(bytes)) if (kind === STRING_TABLE) return { at, end };
  return null;
}
