import { u16, u32 } from '../pe/rva-reader.ts';
import { cString, findNul } from '../pe/text.ts';
import { PdbError } from './errors.ts';
import type { Msf, MsfStream } from './msf.ts';

const NO_STREAM = 0xffff;

/** Slots of the optional debug header. */
export const DEBUG_SLOTS = [
  'fpo',
  'exception',
  'fixup',
  'omapToSource',
  'omapFromSource',
  'sectionHeaders',
  'tokenRidMap',
  'xdata',
  'pdata',
  'newFpo',
  'originalSectionHeaders',
] as const;
export type DebugSlot = (typeof DEBUG_SLOTS)[number];

export interface DbiModule {
  readonly index: number;
  readonly name: string;
  readonly objectFile: string;
  /** Stream with symbols and lines; -1 when the linker kept none. */
  readonly stream: number;
  readonly symbolBytes: number;
  readonly c11Bytes: number;
  readonly c13Bytes: number;
  readonly fileCount: number;
}

/** A piece of a section and the module that it came from. */
export interface SectionContribution {
  readonly section: number;
  readonly offset: number;
  readonly size: number;
  readonly characteristics: number;
  readonly module: number;
}

export interface SectionMapEntry {
  readonly flags: number;
  readonly frame: number;
  readonly offset: number;
  readonly length: number;
}

/** The DBI stream (stream 3), old and new headers. Substreams are read when asked for. */
export class Dbi {
  /** `old` has no version signature (VC 4 and 5). */
  readonly header: 'old' | 'new';
  readonly version: number;
  readonly age: number;
  readonly machine: number;
  readonly isStripped: boolean;
  readonly isIncremental: boolean;
  /** Stream numbers; -1 where absent. */
  readonly globalsStream: number;
  readonly publicsStream: number;
  readonly symbolsStream: number;
  readonly #stream: MsfStream;
  readonly #name: string;
  readonly #parts: {
    readonly [part in 'modules' | 'contributions' | 'sectionMap' | 'files' | 'debug']: [number, number];
  };
  #modules: DbiModule[] | undefined;
  #debug: number[] | undefined;

  /** @throws {PdbError} when the stream is shorter than its header. */
  constructor(msf: Msf) {
    this.#name = msf.name;
    this.#stream = msf.stream(3);
    const head = this.#stream.bytes(0, Math.min(64, this.#stream.length));
    if (head.length < 24) throw new PdbError(`${msf.name}: PDB DBI stream of ${head.length} bytes is too short`);
    const isNew = u32(head, 0) === 0xffff_ffff && head.length === 64;
    this.header = isNew ? 'new' : 'old';
    const stream = (at: number): number => (u16(head, at) === NO_STREAM ? -1 : u16(head, at));
    const names = ['modules', 'contributions', 'sectionMap', 'files', 'typeServers', 'ec', 'debug'] as const;
    const parts: Record<(typeof names)[number], [number, number]> = {
      modules: [0, 0],
      contributions: [0, 0],
      sectionMap: [0, 0],
      files: [0, 0],
      typeServers: [0, 0],
      ec: [0, 0],
      debug: [0, 0],
    };
    if (isNew) {
      this.version = u32(head, 4);
      this.age = u32(head, 8);
      this.globalsStream = stream(12);
      this.publicsStream = stream(16);
      this.symbolsStream = stream(20);
      const flags = u16(head, 56);
      this.isIncremental = (flags & 1) !== 0;
      this.isStripped = (flags & 2) !== 0;
      this.machine = u16(head, 58);
    } else {
      this.version = 0;
      this.age = 0;
      this.globalsStream = stream(0);
      this.publicsStream = stream(2);
      this.symbolsStream = stream(4);
      this.isIncremental = false;
      this.isStripped = false;
      this.machine = 0;
    }
    // Sizes as the header lists them; the substreams follow in the order of `names`.
    const sizesAt = isNew ? [24, 28, 32, 36, 40, 52, 48] : [8, 12, 16, 20, -1, -1, -1];
    let at = isNew ? 64 : 24;
    names.forEach((name, i) => {
      const where = sizesAt[i] ?? -1;
      const size = where < 0 ? 0 : u32(head, where);
      parts[name] = [at, size];
      at += size;
    });
    this.#parts = parts;
  }

  #part(name: 'modules' | 'contributions' | 'sectionMap' | 'files' | 'debug'): Uint8Array {
    const [at, size] = this.#parts[name];
    if (size > 0 && at + size > this.#stream.length) {
      throw new PdbError(`${this.#name}: PDB DBI substream "${name}" of ${size} bytes at ${at} runs past the stream`);
    }
    return this.#stream.bytes(at, size);
  }

  /** In the linker's order; reading stops at the first record that does not fit. */
  get modules(): readonly DbiModule[] {
    if (this.#modules !== undefined) return this.#modules;
    const bytes = this.#part('modules');
    const out: DbiModule[] = [];
    // Old headers come with MODI50: a section contribution of 20 bytes and no edit-and-continue names.
    const isOld = this.header === 'old' || (this.version !== 0 && this.version < 19970606);
    const contribution = isOld ? 20 : 28;
    const names = 4 + contribution + (isOld ? 24 : 32);
    let at = 0;
    while (at + names + 2 <= bytes.length) {
      const f = at + 4 + contribution;
      const name = at + names;
      const nameEnd = findNul(bytes, name, bytes.length);
      const objectEnd = findNul(bytes, Math.min(nameEnd + 1, bytes.length), bytes.length);
      const stream = u16(bytes, f + 2);
      out.push({
        index: out.length,
        name: cString(bytes, name, nameEnd),
        objectFile: cString(bytes, Math.min(nameEnd + 1, bytes.length), objectEnd),
        stream: stream === NO_STREAM ? -1 : stream,
        symbolBytes: u32(bytes, f + 4),
        c11Bytes: u32(bytes, f + 8),
        c13Bytes: isOld ? 0 : u32(bytes, f + 12),
        fileCount: u16(bytes, f + 16),
      });
      at = (objectEnd + 1 + 3) & ~3;
    }
    this.#modules = out;
    return out;
  }

  /** Section contributions in file order (sorted by section and offset by every linker seen). */
  contributions(): SectionContribution[] {
    const bytes = this.#part('contributions');
    const out: SectionContribution[] = [];
    const version = bytes.length >= 4 ? u32(bytes, 0) : 0;
    const versioned = version === 0xf12eba2d || version === 0xf13151e4;
    const size = !versioned ? 20 : version === 0xf13151e4 ? 32 : 28;
    for (let at = versioned ? 4 : 0; at + size <= bytes.length; at += size) {
      out.push({
        section: u16(bytes, at),
        offset: u32(bytes, at + 4),
        size: u32(bytes, at + 8),
        characteristics: u32(bytes, at + 12),
        module: u16(bytes, at + 16),
      });
    }
    return out;
  }

  sectionMap(): SectionMapEntry[] {
    const bytes = this.#part('sectionMap');
    const out: SectionMapEntry[] = [];
    if (bytes.length < 4) return out;
    const count = Math.min(u16(bytes, 0), Math.floor((bytes.length - 4) / 20));
    for (let i = 0; i < count; i++) {
      const at = 4 + i * 20;
      out.push({
        flags: u16(bytes, at),
        frame: u16(bytes, at + 6),
        offset: u32(bytes, at + 12),
        length: u32(bytes, at + 16),
      });
    }
    return out;
  }

  /** Source files of one module, from the file info substream; empty when it lists none. */
  sourceFiles(module: number): string[] {
    const bytes = this.#part('files');
    if (bytes.length < 4) return [];
    const moduleCount = u16(bytes, 0);
    if (module < 0 || module >= moduleCount) return [];
    const countsAt = 4 + moduleCount * 2;
    // The header's start indices overflow 16 bits in large PDBs: add up the counts instead.
    let first = 0;
    let total = 0;
    for (let i = 0; i < moduleCount; i++) {
      if (i === module) first = total;
      total += u16(bytes, countsAt + i * 2);
    }
    const offsetsAt = countsAt + moduleCount * 2;
    const namesAt = offsetsAt + total * 4;
    if (namesAt > bytes.length) return [];
    const out: string[] = [];
    for (let k = 0; k < u16(bytes, countsAt + module * 2); k++) {
      const at = namesAt + u32(bytes, offsetsAt + (first + k) * 4);
      out.push(at < bytes.length ? cString(bytes, at, Math.min(bytes.length, at + 1024)) : '');
    }
    return out;
  }

  /** Stream number of a slot of the optional debug header; -1 when absent. */
  debugStream(slot: DebugSlot): number {
    if (this.#debug === undefined) {
      const bytes = this.#part('debug');
      this.#debug = [];
      for (let at = 0; at + 2 <= bytes.length; at += 2) {
        const index = u16(bytes, at);
        this.#debug.push(index === NO_STREAM ? -1 : index);
      }
    }
    return this.#debug[DEBUG_SLOTS.indexOf(slot)] ?? -1;
  }
}
