import { u16, u32 } from '../pe/rva-reader.ts';
import { GsiHash } from './gsi.ts';
import type { MsfStream } from './msf.ts';
import { encodeName, recordName } from './publics.ts';
import * as S from './symbol-kinds.ts';

/** A record that the globals stream refers to. */
export type GlobalRecord =
  | { readonly kind: 'procedure'; readonly name: string; readonly module: number; readonly record: number }
  | {
      readonly kind: 'data';
      readonly name: string;
      readonly section: number;
      readonly offset: number;
      readonly type: number;
      readonly isGlobal: boolean;
    }
  | { readonly kind: 'typedef'; readonly name: string; readonly type: number };

/** The global symbols (GSI): data, typedefs, and references to the procedures of modules. */
export class Globals {
  readonly #records: MsfStream;
  readonly #hash: GsiHash;

  constructor(stream: MsfStream, records: MsfStream, isFastLink: boolean) {
    this.#records = records;
    this.#hash = new GsiHash(stream, 0, stream.length, isFastLink);
  }

  get size(): number {
    return this.#hash.size;
  }

  /** Records with this name; touches a few blocks. */
  find(name: string, exact = true): GlobalRecord[] {
    const wanted = exact ? name : name.toLowerCase();
    const out: GlobalRecord[] = [];
    for (const offset of this.#hash.candidates(encodeName(name))) {
      const record = this.#record(offset);
      if (record !== null && (exact ? record.name : record.name.toLowerCase()) === wanted) out.push(record);
    }
    return out;
  }

  *all(): Iterable<GlobalRecord> {
    this.#records.all();
    for (const offset of this.#hash.offsets()) {
      const record = this.#record(offset);
      if (record !== null) yield record;
    }
  }

  #record(offset: number): GlobalRecord | null {
    if (offset < 0 || offset + 4 > this.#records.length) return null;
    const head = this.#records.bytes(offset, 4);
    const length = u16(head, 0) + 2;
    if (length < 4 || offset + length > this.#records.length) return null;
    return parseGlobal(this.#records.bytes(offset, length), u16(head, 2), length);
  }
}

function parseGlobal(bytes: Uint8Array, kind: number, end: number): GlobalRecord | null {
  switch (kind) {
    case S.S_PROCREF:
    case S.S_LPROCREF:
    case S.S_PROCREF_ST:
    case S.S_LPROCREF_ST: {
      // The name of an ST reference follows the record's fill word.
      const isSt = kind === S.S_PROCREF_ST || kind === S.S_LPROCREF_ST;
      const name = isSt ? 16 : 14;
      if (name > end) return null;
      return {
        kind: 'procedure',
        name: recordName(bytes, name, end, isSt),
        record: u32(bytes, 8),
        module: u16(bytes, 12) - 1,
      };
    }
    case S.S_GDATA32:
    case S.S_LDATA32:
    case S.S_GMANDATA:
    case S.S_LMANDATA:
    case S.S_GDATA32_ST:
    case S.S_LDATA32_ST:
      if (end < 14) return null;
      return {
        kind: 'data',
        name: recordName(bytes, 14, end, kind === S.S_GDATA32_ST || kind === S.S_LDATA32_ST),
        type: u32(bytes, 4),
        offset: u32(bytes, 8),
        section: u16(bytes, 12),
        isGlobal: kind === S.S_GDATA32 || kind === S.S_GDATA32_ST || kind === S.S_GMANDATA,
      };
    case S.S_GDATA32_16T:
    case S.S_LDATA32_16T:
      if (end < 12) return null;
      return {
        kind: 'data',
        name: recordName(bytes, 12, end, true),
        offset: u32(bytes, 4),
        section: u16(bytes, 8),
        type: u16(bytes, 10),
        isGlobal: kind === S.S_GDATA32_16T,
      };
    case S.S_UDT:
    case S.S_UDT_ST:
      if (end < 8) return null;
      return { kind: 'typedef', name: recordName(bytes, 8, end, kind === S.S_UDT_ST), type: u32(bytes, 4) };
    default:
      return null;
  }
}
