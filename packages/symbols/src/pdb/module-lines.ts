import type { AddressMap } from './address-map.ts';
import { readOldLines } from './c11-lines.ts';
import type { InlineeLine } from './c13-lines.ts';
import { type FileChecksum, ownStringTable, readFileChecksums, readInlineeLines, readLineBlocks } from './c13-lines.ts';
import type { DbiModule } from './dbi.ts';
import { NameTable } from './info.ts';
import type { Msf } from './msf.ts';

/** Line numbers that mark code without a source line: LLVM's 0, MSVC's "never" and "always step into". */
const HIDDEN = [0, 0xf00f00, 0xfeefee];

/** Raw line entry. */
export interface LineEntry {
  readonly section: number;
  readonly offset: number;
  /** Before OMAP; -1 for code that the linker dropped (section 0). */
  readonly rva: number;
  readonly file: string;
  readonly line: number;
}

interface LineTable {
  readonly starts: Uint32Array;
  readonly ends: Float64Array;
  readonly files: Uint32Array;
  readonly lines: Uint32Array;
  readonly paths: readonly string[];
}

/** Lines of one module. */
export class ModuleLines {
  readonly #c13: Uint8Array;
  readonly #c11: Uint8Array;
  readonly #map: AddressMap;
  readonly #names: NameTable | null;
  #checksums: Map<number, FileChecksum> | undefined;
  #inlinees: Map<number, InlineeLine> | undefined;
  #table: LineTable | undefined;

  constructor(msf: Msf, module: DbiModule, map: AddressMap, names: NameTable | null) {
    this.#map = map;
    const none = new Uint8Array(0);
    const hasLines = module.stream >= 0 && (module.c13Bytes > 0 || module.c11Bytes > 0);
    const stream = hasLines ? msf.stream(module.stream) : null;
    const read = (offset: number, length: number): Uint8Array =>
      stream === null || length === 0 || offset + length > stream.length ? none : stream.bytes(offset, length);
    this.#c11 = read(module.symbolBytes, module.c11Bytes);
    this.#c13 = read(module.symbolBytes + module.c11Bytes, module.c13Bytes);
    const own = ownStringTable(this.#c13);
    this.#names = own === null ? names : new NameTable(this.#c13, own.at, own.end - own.at);
  }

  get checksums(): ReadonlyMap<number, FileChecksum> {
    if (this.#checksums === undefined) this.#checksums = readFileChecksums(this.#c13);
    return this.#checksums;
  }

  /** Path of a file by its offset in the checksums. */
  path(file: number): string | undefined {
    const checksum = this.checksums.get(file);
    return checksum === undefined ? undefined : this.#names?.get(checksum.name);
  }

  inlinee(item: number): InlineeLine | undefined {
    if (this.#inlinees === undefined) this.#inlinees = readInlineeLines(this.#c13);
    return this.#inlinees.get(item);
  }

  /** All entries as stored, those of hidden and of dropped code included. */
  *entries(): Iterable<LineEntry> {
    for (const { section, offset: start, file: id, count, pairs } of readLineBlocks(this.#c13)) {
      const file = this.path(id) ?? `<file 0x${id.toString(16)}>`;
      for (let i = 0; i < count; i++) {
        const offset = start + (pairs[i * 2] ?? 0);
        yield { section, offset, rva: this.#map.sourceRva(section, offset), file, line: pairs[i * 2 + 1] ?? 0 };
      }
    }
    for (const { section, file, pairs } of readOldLines(this.#c11)) {
      for (let i = 0; i + 1 < pairs.length; i += 2) {
        const offset = pairs[i] ?? 0;
        yield { section, offset, rva: this.#map.sourceRva(section, offset), file, line: pairs[i + 1] ?? 0 };
      }
    }
  }

  /** The entry that covers an RVA before OMAP. */
  find(sourceRva: number): { rva: number; file: string; line: number } | undefined {
    const { starts, ends, files, lines, paths } = this.#load();
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((starts[mid] ?? 0) <= sourceRva) low = mid + 1;
      else high = mid;
    }
    const at = low - 1;
    if (at < 0 || sourceRva >= (ends[at] ?? 0)) return undefined;
    const line = lines[at] ?? 0;
    if (HIDDEN.includes(line)) return undefined;
    return { rva: starts[at] ?? 0, file: paths[files[at] ?? 0] ?? '', line };
  }

  #load(): LineTable {
    if (this.#table !== undefined) return this.#table;
    const rows: { start: number; end: number; file: number; line: number }[] = [];
    const paths: string[] = [];
    const pathIndex = new Map<string, number>();
    const pathOf = (path: string): number => {
      let index = pathIndex.get(path);
      if (index === undefined) {
        index = paths.length;
        paths.push(path);
        pathIndex.set(path, index);
      }
      return index;
    };
    for (const block of readLineBlocks(this.#c13)) {
      const start = this.#map.sourceRva(block.section, block.offset);
      if (start < 0) continue;
      const file = pathOf(this.path(block.file) ?? `<file 0x${block.file.toString(16)}>`);
      for (let i = 0; i < block.count; i++) {
        rows.push({
          start: start + (block.pairs[i * 2] ?? 0),
          end: start + block.size,
          file,
          line: block.pairs[i * 2 + 1] ?? 0,
        });
      }
    }
    for (const block of readOldLines(this.#c11)) {
      const file = pathOf(block.file);
      const last = this.#map.sourceRva(block.section, block.end);
      for (let i = 0; i + 1 < block.pairs.length; i += 2) {
        const start = this.#map.sourceRva(block.section, block.pairs[i] ?? 0);
        if (start >= 0) rows.push({ start, end: Math.max(last, start) + 1, file, line: block.pairs[i + 1] ?? 0 });
      }
    }
    rows.sort((a, b) => a.start - b.start);
    this.#table = {
      starts: Uint32Array.from(rows, (r) => r.start),
      ends: Float64Array.from(rows, (r) => r.end),
      files: Uint32Array.from(rows, (r) => r.file),
      lines: Uint32Array.from(rows, (r) => r.line),
      paths,
    };
    return this.#table;
  }
}
