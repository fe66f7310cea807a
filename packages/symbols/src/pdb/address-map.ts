import { type PeSection, readSection, SECTION_HEADER_SIZE } from '../pe/headers.ts';
import { u32 } from '../pe/rva-reader.ts';
import type { Dbi } from './dbi.ts';
import type { Msf } from './msf.ts';

/** One OMAP table: where a range that starts at `from[i]` went; `to` 0 means it was removed. */
export class Omap {
  readonly from: Uint32Array;
  readonly to: Uint32Array;

  /** Pairs of 32-bit RVAs, sorted by the first. An unsorted table (damaged) is sorted. */
  constructor(bytes: Uint8Array) {
    const count = Math.floor(bytes.length / 8);
    this.from = new Uint32Array(count);
    this.to = new Uint32Array(count);
    let sorted = true;
    for (let i = 0; i < count; i++) {
      this.from[i] = u32(bytes, i * 8);
      this.to[i] = u32(bytes, i * 8 + 4);
      if (i > 0 && (this.from[i] ?? 0) < (this.from[i - 1] ?? 0)) sorted = false;
    }
    if (!sorted) {
      const order = Array.from({ length: count }, (_, i) => i);
      const { from, to } = this;
      order.sort((a, b) => (from[a] ?? 0) - (from[b] ?? 0) || a - b);
      this.from = Uint32Array.from(order, (i) => from[i] ?? 0);
      this.to = Uint32Array.from(order, (i) => to[i] ?? 0);
    }
  }

  get length(): number {
    return this.from.length;
  }

  /** Index of the entry that covers `rva`, -1 below the first. */
  find(rva: number): number {
    let low = 0;
    let high = this.from.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((this.from[mid] ?? 0) <= rva) low = mid + 1;
      else high = mid;
    }
    return low - 1;
  }

  /** -1 when the address was removed or lies below the table. */
  translate(rva: number): number {
    const i = this.find(rva);
    if (i < 0) return -1;
    const to = this.to[i] ?? 0;
    return to === 0 ? -1 : to + (rva - (this.from[i] ?? 0));
  }
}

/**
 * section:offset of symbol records to RVAs of the image. An image that a post-link tool rearranged (BBT, `OMAP`) has
 * symbols in terms of the original sections; those are translated to where the code is now.
 */
export class AddressMap {
  readonly sections: readonly PeSection[];
  /** The sections that symbol records refer to: the original ones when there is an OMAP. */
  readonly symbolSections: readonly PeSection[];
  readonly omapFrom: Omap | null;
  readonly omapTo: Omap | null;
  readonly #starts: Float64Array;

  constructor(
    sections: readonly PeSection[],
    original: readonly PeSection[] | null,
    omapFrom: Omap | null,
    omapTo: Omap | null,
  ) {
    this.sections = sections;
    this.omapFrom = omapFrom;
    this.omapTo = omapTo;
    this.symbolSections = omapFrom !== null && original !== null && original.length > 0 ? original : sections;
    this.#starts = new Float64Array(this.symbolSections.length + 1).fill(-1);
    this.symbolSections.forEach((section, i) => {
      this.#starts[i + 1] = section.virtualAddress;
    });
  }

  /** RVA in the image; -1 for a section that does not exist (absolute symbols) or code that was removed. */
  rva(section: number, offset: number): number {
    const start = this.#starts[section] ?? -1;
    if (start < 0) return -1;
    const rva = start + offset;
    if (rva > 0xffff_ffff) return -1;
    return this.omapFrom === null ? rva : this.omapFrom.translate(rva);
  }

  /** RVA before OMAP. */
  sourceRva(section: number, offset: number): number {
    const start = this.#starts[section] ?? -1;
    return start < 0 || start + offset > 0xffff_ffff ? -1 : start + offset;
  }

  /** RVA of the image from one that is in terms of the original sections. */
  fromSource(rva: number): number {
    return this.omapFrom === null ? rva : this.omapFrom.translate(rva);
  }

  /** The reverse; -1 for code that the post-link tool made. */
  toSource(rva: number): number {
    return this.omapTo === null ? rva : this.omapTo.translate(rva);
  }

  /** Section (from 1) and offset in terms of symbol records, of an RVA before OMAP. */
  locate(sourceRva: number): { section: number; offset: number } | null {
    for (let i = 0; i < this.symbolSections.length; i++) {
      const section = this.symbolSections[i];
      if (section === undefined) continue;
      const size = Math.max(section.virtualSize, section.rawSize);
      if (sourceRva >= section.virtualAddress && sourceRva < section.virtualAddress + size) {
        return { section: i + 1, offset: sourceRva - section.virtualAddress };
      }
    }
    return null;
  }
}

/** Reads section headers and OMAP tables; `fallback` are the image's own sections for PDBs that lack them. */
export function readAddressMap(msf: Msf, dbi: Dbi, fallback: readonly PeSection[] | null): AddressMap {
  const sections = readSections(msf, dbi.debugStream('sectionHeaders'));
  const original = readSections(msf, dbi.debugStream('originalSectionHeaders'));
  const omap = (slot: 'omapFromSource' | 'omapToSource'): Omap | null => {
    const index = dbi.debugStream(slot);
    return index < 0 || msf.streamSize(index) < 8 ? null : new Omap(msf.stream(index).all());
  };
  return new AddressMap(
    sections !== null && sections.length > 0 ? sections : (fallback ?? []),
    original,
    omap('omapFromSource'),
    omap('omapToSource'),
  );
}

function readSections(msf: Msf, index: number): PeSection[] | null {
  if (index < 0 || !msf.has(index)) return null;
  const bytes = msf.stream(index).all();
  const out: PeSection[] = [];
  for (let at = 0; at + SECTION_HEADER_SIZE <= bytes.length && out.length < 0xffff; at += SECTION_HEADER_SIZE) {
    out.push(readSection(bytes, at));
  }
  return out;
}
