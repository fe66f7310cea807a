import type { Rva } from '@dumpscope/core';
import { u16, u32 } from '../pe/rva-reader.ts';
import { decodeUtf8, findNul } from '../pe/text.ts';
import type { ModuleSymbol, SymbolTable } from '../symbol-table.ts';
import { undecorateSymbol } from '../undecorate.ts';
import type { AddressMap } from './address-map.ts';
import { GsiHash } from './gsi.ts';
import type { MsfStream } from './msf.ts';
import { RvaIndex } from './rva-index.ts';
import { S_PUB32, S_PUB32_16T, S_PUB32_ST } from './symbol-kinds.ts';

const FLAG_CODE = 1;
const FLAG_FUNCTION = 2;
/** Argument bytes of a decorated C name that are tried before all names are indexed. */
const MAX_ARGUMENT_BYTES = 64;

/** One public symbol record. */
export interface PublicRecord {
  /** As stored. */
  readonly name: string;
  readonly section: number;
  readonly offset: number;
  readonly flags: number;
  /** -1 where it has none: absolute, or removed by a post-link tool. */
  readonly rva: number;
}

export function encodeName(name: string): Uint8Array {
  let plain = true;
  for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) > 0x7f) plain = false;
  if (plain) return Uint8Array.from(name, (c) => c.charCodeAt(0));
  const out: number[] = [];
  for (const character of name) {
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x80) out.push(point);
    else if (point < 0x800) out.push(0xc0 | (point >> 6), 0x80 | (point & 63));
    else if (point < 0x1_0000) out.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
    else {
      out.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 63), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
    }
  }
  return Uint8Array.from(out);
}

/** Where name, section and offset lie in a public record of `kind`; null for another kind of record. */
function layout(kind: number): { flags: number; offset: number; section: number; name: number; isSt: boolean } | null {
  if (kind === S_PUB32) return { flags: 4, offset: 8, section: 12, name: 14, isSt: false };
  if (kind === S_PUB32_ST) return { flags: 4, offset: 8, section: 12, name: 14, isSt: true };
  if (kind === S_PUB32_16T) return { flags: -1, offset: 4, section: 8, name: 12, isSt: true };
  return null;
}

/** The public symbols of a PDB: by name through the hash, by address through the address map. */
export class Publics implements SymbolTable {
  readonly origin = 'pdb-public';
  readonly #psi: MsfStream;
  readonly #records: MsfStream;
  readonly #map: AddressMap;
  readonly #machine: number;
  readonly #hash: GsiHash;
  readonly #addressMapAt: number;
  readonly #addressMapSize: number;
  #index: { rvas: RvaIndex; offsets: Uint32Array } | undefined;
  /** By RVA before OMAP; only for images that have one. */
  #sourceIndex: { rvas: RvaIndex; offsets: Uint32Array } | undefined;
  /** Names that differ from how they are stored, by display. */
  #displays: Map<string, number> | undefined;
  #folded: Map<string, number> | undefined;

  /** @throws {PdbError} when the publics stream is shorter than its header. */
  constructor(psi: MsfStream, records: MsfStream, map: AddressMap, machine: number, isFastLink: boolean) {
    this.#psi = psi;
    this.#records = records;
    this.#map = map;
    this.#machine = machine;
    const head = psi.bytes(0, 28);
    const hashSize = Math.min(u32(head, 0), psi.length - 28);
    this.#hash = new GsiHash(psi, 28, hashSize, isFastLink);
    this.#addressMapAt = 28 + hashSize;
    this.#addressMapSize = Math.max(0, Math.min(u32(head, 4), psi.length - this.#addressMapAt));
  }

  /** The record at an offset of the symbol record stream; null when there is no public symbol. */
  record(offset: number): PublicRecord | null {
    if (offset < 0 || offset + 4 > this.#records.length) return null;
    const head = this.#records.bytes(offset, 4);
    const length = u16(head, 0) + 2;
    const at = layout(u16(head, 2));
    if (at === null || length < at.name || offset + length > this.#records.length) return null;
    const bytes = this.#records.bytes(offset, length);
    const section = u16(bytes, at.section);
    const symbolOffset = u32(bytes, at.offset);
    return {
      name: recordName(bytes, at.name, length, at.isSt),
      section,
      offset: symbolOffset,
      flags: at.flags < 0 ? 0 : u32(bytes, at.flags),
      rva: this.#map.rva(section, symbolOffset),
    };
  }

  #symbol(offset: number, removed = false): ModuleSymbol | undefined {
    const record = this.record(offset);
    if (record === null || (record.rva < 0 && !removed)) return undefined;
    // Flags are absent from ST records and from PDBs whose every flag is zero; then nobody knows.
    const known = record.flags !== 0;
    return {
      name: record.name,
      display: undecorateSymbol(record.name, this.#machine),
      rva: record.rva as Rva,
      isFunction: known ? (record.flags & (FLAG_FUNCTION | FLAG_CODE)) !== 0 : null,
      size: null,
    };
  }

  byName(name: string): ModuleSymbol | undefined {
    return this.find(name, true) ?? this.find(name, false);
  }

  /** By stored name or display, in the case given or in any. */
  find(name: string, exact: boolean): ModuleSymbol | undefined {
    return this.#byHash(name, exact) ?? this.#byDisplay(name, exact) ?? (exact ? this.#byScan(name) : undefined);
  }

  /**
   * lld (seen with 19) files names of exactly 8 characters in a wrong bucket: it hashes a COFF short name past its end.
   * A name that the hash does not have is looked for among all records.
   */
  #byScan(name: string): ModuleSymbol | undefined {
    const wanted = encodeName(name);
    const { offsets } = this.#load();
    const bytes = this.#records.all();
    for (const offset of offsets) {
      const at = layout(u16(bytes, offset + 2));
      if (at === null) continue;
      const start = offset + at.name + (at.isSt ? 1 : 0);
      const end = offset + u16(bytes, offset) + 2;
      if (start + wanted.length > end) continue;
      let same = 0;
      while (same < wanted.length && bytes[start + same] === wanted[same]) same++;
      if (same < wanted.length) continue;
      const ends = at.isSt ? bytes[start - 1] === wanted.length : start + same === end || bytes[start + same] === 0;
      if (ends) return this.#symbol(offset);
    }
    return undefined;
  }

  /** By stored name, also with the C decorations: touches a few blocks. */
  #byHash(name: string, exact: boolean): ModuleSymbol | undefined {
    const plain = this.#stored(name, exact);
    if (plain !== undefined || name.startsWith('?')) return plain;
    const underscored = this.#stored(`_${name}`, exact);
    if (underscored !== undefined || this.#machine !== 0x14c) return underscored;
    for (let n = 0; n <= MAX_ARGUMENT_BYTES; n += 4) {
      const found = this.#stored(`_${name}@${n}`, exact) ?? this.#stored(`@${name}@${n}`, exact);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #stored(name: string, exact: boolean): ModuleSymbol | undefined {
    const wanted = exact ? name : name.toLowerCase();
    for (const offset of this.#hash.candidates(encodeName(name))) {
      const record = this.record(offset);
      if (record === null) continue;
      if ((exact ? record.name : record.name.toLowerCase()) !== wanted) continue;
      const symbol = this.#symbol(offset);
      if (symbol !== undefined) return symbol;
    }
    return undefined;
  }

  #byDisplay(name: string, exact: boolean): ModuleSymbol | undefined {
    if (this.#displays === undefined) {
      this.#displays = new Map();
      const { offsets } = this.#load();
      const bytes = this.#records.all();
      for (const offset of offsets) {
        const at = layout(u16(bytes, offset + 2));
        if (at === null) continue;
        const first = bytes[offset + at.name + (at.isSt ? 1 : 0)] ?? 0;
        // ? _ @ are how decorated names start; vectorcall (Foo@@8) is found by its stored name only.
        if (first !== 0x3f && first !== 0x5f && (this.#machine !== 0x14c || first !== 0x40)) continue;
        const stored = recordName(bytes, offset + at.name, offset + u16(bytes, offset) + 2, at.isSt);
        const display = undecorateSymbol(stored, this.#machine);
        if (display !== stored && !this.#displays.has(display)) this.#displays.set(display, offset);
      }
    }
    const offset = this.#displays.get(name);
    if (offset !== undefined) return this.#symbol(offset);
    if (exact) return undefined;
    if (this.#folded === undefined) {
      this.#folded = new Map();
      for (const [display, at] of this.#displays) {
        const key = display.toLowerCase();
        if (!this.#folded.has(key)) this.#folded.set(key, at);
      }
    }
    const folded = this.#folded.get(name.toLowerCase());
    return folded === undefined ? undefined : this.#symbol(folded);
  }

  /** After OMAP: the symbol that the code belonged to before it was moved, at the distance it had then. */
  nearest(rva: number): ModuleSymbol | undefined {
    const source = this.#map.omapTo === null ? -1 : this.#map.toSource(rva);
    if (source >= 0) {
      const { rvas, offsets } = this.#loadSource();
      const at = rvas.nearest(source);
      const symbol = at < 0 ? undefined : this.#symbol(offsets[rvas.item(at)] ?? 0, true);
      if (symbol === undefined) return undefined;
      const start = rva - (source - (rvas.rvas[at] ?? 0));
      return start === symbol.rva ? symbol : { ...symbol, rva: Math.max(0, start) as Rva };
    }
    const { rvas, offsets } = this.#load();
    const at = rvas.nearest(rva);
    return at < 0 ? undefined : this.#symbol(offsets[rvas.item(at)] ?? 0);
  }

  next(rva: number): ModuleSymbol | undefined {
    const { rvas, offsets } = this.#load();
    const at = rvas.next(rva);
    return at < 0 ? undefined : this.#symbol(offsets[rvas.item(at)] ?? 0);
  }

  *all(): Iterable<ModuleSymbol> {
    const { rvas, offsets } = this.#load();
    for (let i = 0; i < rvas.length; i++) {
      const symbol = this.#symbol(offsets[rvas.item(i)] ?? 0);
      if (symbol !== undefined) yield symbol;
    }
  }

  /** Number of symbols that have an RVA. Loads and sorts the addresses. */
  get size(): number {
    return this.#load().rvas.length;
  }

  /** Every public record as stored, those without an RVA included, in the order of the address map. */
  *records(): Iterable<PublicRecord> {
    this.#records.all();
    for (const offset of this.#offsets()) {
      const record = this.record(offset);
      if (record !== null) yield record;
    }
  }

  /** Record offsets in address order, from the address map; from the hash or the records where there is none. */
  #offsets(): Uint32Array {
    const count = Math.floor(this.#addressMapSize / 4);
    if (count > 0) {
      const bytes = this.#psi.bytes(this.#addressMapAt, count * 4);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const out = new Uint32Array(count);
      for (let i = 0; i < count; i++) out[i] = view.getUint32(i * 4, true);
      return out;
    }
    if (this.#hash.size > 0) return this.#hash.offsets().sort();
    const bytes = this.#records.all();
    const out: number[] = [];
    for (let at = 0; at + 4 <= bytes.length; at += u16(bytes, at) + 2) {
      if (layout(u16(bytes, at + 2)) !== null) out.push(at);
    }
    return Uint32Array.from(out);
  }

  #load(): { rvas: RvaIndex; offsets: Uint32Array } {
    if (this.#index === undefined) this.#index = this.#indexed((section, offset) => this.#map.rva(section, offset));
    return this.#index;
  }

  #loadSource(): { rvas: RvaIndex; offsets: Uint32Array } {
    if (this.#sourceIndex === undefined) {
      this.#sourceIndex = this.#indexed((section, offset) => this.#map.sourceRva(section, offset));
    }
    return this.#sourceIndex;
  }

  #indexed(toRva: (section: number, offset: number) => number): { rvas: RvaIndex; offsets: Uint32Array } {
    const all = this.#offsets();
    const bytes = this.#records.all();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const rvas = new Uint32Array(all.length);
    const offsets = new Uint32Array(all.length);
    let count = 0;
    for (let i = 0; i < all.length; i++) {
      const offset = all[i] ?? 0;
      if (offset + 14 > bytes.length) continue;
      const kind = view.getUint16(offset + 2, true);
      let section: number;
      let symbolOffset: number;
      if (kind === S_PUB32 || kind === S_PUB32_ST) {
        symbolOffset = view.getUint32(offset + 8, true);
        section = view.getUint16(offset + 12, true);
      } else if (kind === S_PUB32_16T) {
        symbolOffset = view.getUint32(offset + 4, true);
        section = view.getUint16(offset + 8, true);
      } else continue;
      if (offset + view.getUint16(offset, true) + 2 > bytes.length) continue;
      const rva = toRva(section, symbolOffset);
      if (rva < 0) continue;
      rvas[count] = rva;
      offsets[count] = offset;
      count++;
    }
    return { rvas: new RvaIndex(rvas.subarray(0, count)), offsets: offsets.subarray(0, count) };
  }
}

/** Compilers cut or hash names at 4 KB. */
const MAX_NAME = 4096;

/** A name of an SZ (NUL-terminated) or ST (length-prefixed) record whose record ends at `limit`. */
export function recordName(bytes: Uint8Array, at: number, limit: number, isSt: boolean): string {
  limit = Math.min(limit, at + MAX_NAME);
  if (!isSt) return decodeUtf8(bytes, at, findNul(bytes, at, limit));
  return decodeUtf8(bytes, at + 1, Math.max(at + 1, Math.min(limit, at + 1 + (bytes[at] ?? 0))));
}
