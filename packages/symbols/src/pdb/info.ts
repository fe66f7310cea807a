import { u32 } from '../pe/rva-reader.ts';
import { cString, formatGuid } from '../pe/text.ts';
import { PdbError } from './errors.ts';
import type { Msf } from './msf.ts';
import { readU32Map } from './serialized-map.ts';

const VC70_DEPRECATED = 19990604;
const FEATURE_VC110 = 20091201;
const FEATURE_VC140 = 20140508;
const FEATURE_NO_TYPE_MERGE = 0x4d544f4e;
const FEATURE_MINIMAL = 0x494e494d;

/** The PDB info stream (stream 1). */
export interface PdbInfo {
  readonly version: number;
  readonly signature: number;
  /** Of the info stream; an image's RSDS record carries the DBI stream's age. */
  readonly age: number;
  /** `92146115-65FA-4C53-8FE7-24A797B860F7`; for PDBs older than VC7 the signature as 8 hex digits. */
  readonly guid: string;
  readonly namedStreams: ReadonlyMap<string, number>;
  readonly features: readonly number[];
  /** There is an IPI stream. */
  readonly hasIds: boolean;
  /** /DEBUG:FASTLINK: types and private symbols stay in the object files. */
  readonly isFastLink: boolean;
}

/** @throws {PdbError} when the stream is missing or too short; a damaged name map yields no named streams. */
export function readPdbInfo(msf: Msf): PdbInfo {
  if (!msf.has(1) || msf.streamSize(1) < 12) throw new PdbError(`${msf.name}: PDB has no info stream (stream 1)`);
  const bytes = msf.stream(1).all();
  const version = u32(bytes, 0);
  const signature = u32(bytes, 4);
  const hasGuid = version > VC70_DEPRECATED && bytes.length >= 28;
  const mapAt = hasGuid ? 28 : 12;
  const map = readNameMap(bytes, mapAt);
  const features: number[] = [];
  for (let at = map.end; at + 4 <= bytes.length && features.length < 16; at += 4) {
    const feature = u32(bytes, at);
    if (feature === FEATURE_VC110) {
      features.push(feature);
      break; // nothing follows it
    }
    // Between the map and the features there is the count of name indices used; unknown words are passed over.
    if (feature === FEATURE_VC140 || feature === FEATURE_NO_TYPE_MERGE || feature === FEATURE_MINIMAL) {
      features.push(feature);
    }
  }
  return {
    version,
    signature,
    age: u32(bytes, 8),
    guid: hasGuid ? formatGuid(bytes, 12) : signature.toString(16).toUpperCase().padStart(8, '0'),
    namedStreams: map.names,
    features,
    hasIds: features.includes(FEATURE_VC110) || features.includes(FEATURE_VC140),
    isFastLink: features.includes(FEATURE_MINIMAL),
  };
}

/** The string buffer of the named streams, then a table of its offsets to stream numbers. */
function readNameMap(bytes: Uint8Array, start: number): { names: Map<string, number>; end: number } {
  const names = new Map<string, number>();
  if (start + 4 > bytes.length) return { names, end: bytes.length };
  const textSize = u32(bytes, start);
  const text = start + 4;
  const map = readU32Map(bytes, text + textSize);
  for (const [key, stream] of map.entries) {
    if (key < textSize && text + key < bytes.length) names.set(cString(bytes, text + key, text + textSize), stream);
  }
  return { names, end: map.end };
}

/** The `/names` string table: NUL-terminated strings by offset. */
export class NameTable {
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  readonly #known = new Map<number, string>();
  /** Strings do not overlap in a sound table; in a damaged one every offset may start a long one. */
  #budget: number;

  constructor(bytes: Uint8Array, start: number, length: number) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = Math.min(bytes.length, start + length);
    this.#budget = 2 * (this.#end - start) + 0x1_0000;
  }

  /** Undefined for an offset outside of the table. Cut at 4096 bytes: a damaged table may lack the NULs. */
  get(offset: number): string | undefined {
    const at = this.#start + offset;
    if (offset < 0 || at >= this.#end) return undefined;
    let text = this.#known.get(offset);
    if (text === undefined && this.#budget > 0) {
      text = cString(this.#bytes, at, Math.min(this.#end, at + 4096));
      this.#budget -= text.length + 1;
      this.#known.set(offset, text);
    }
    return text;
  }
}

/** The `/names` stream; null when the PDB has none or it is damaged. */
export function readNameTable(msf: Msf, info: PdbInfo): NameTable | null {
  const index = info.namedStreams.get('/names');
  if (index === undefined || !msf.has(index) || msf.streamSize(index) < 12) return null;
  const bytes = msf.stream(index).all();
  if (u32(bytes, 0) !== 0xeffeeffe) return null;
  return new NameTable(bytes, 12, u32(bytes, 8));
}
