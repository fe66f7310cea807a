import type { Arch } from '@dumpscope/core';
import type { Field, StructType, TypeRef } from '../type-table.ts';

/*
 * The generated table. Strings of all families stand in one pool a tier, separated by line feeds, in order of first
 * use; a family holds the types of related builds, equal definitions once. Tier 0 is what nearly every run reads,
 * tier 1 all the rest. Tier 0 is text that is read as it stands: a number is digits of five bits in base64's alphabet,
 * lowest first, the sixth bit says that another follows. All else is LEB128, raw deflate, base64. `s` means zigzag.
 *
 *   counts     definitions, bytes of names, of offsets, of field types; types, bytes of types; enums, bytes of enums
 *   names      a field: s(string id - that of the field before it in its definition)
 *   offsets    a field: offset - that of the field before it
 *   types of fields   a field: type index
 *   types      kind and arguments, see {@link TypePool.ref}
 *   enums      size, count, then for each value: s(string id - last), s(value - last); both start at 0 in each enum
 *   heads      a definition: size * 4 + (0 struct, 1 union, 2 class), number of fields, bytes of its names, offsets, types
 *   builds     for each build structures, then enums: count, then s(string id - last), s(definition - last)
 *
 * Anonymous types have no name in the table: they are meant by the index of their definition.
 */
export interface BuiltinRecord {
  readonly id: string;
  readonly arch: Arch;
  readonly version: string;
  readonly build: number;
  readonly guid: string | null;
  readonly age: number | null;
  readonly pdb: string;
  readonly pae: boolean | null;
  readonly pointerSize: 4 | 8;
  readonly source: string;
  readonly family: string;
  /** Position in the family. */
  readonly index: number;
  /** RVAs of `fingerprintNames` in base 36, separated by commas, empty for a name that the build lacks. */
  readonly rvas: string;
}

export abstract class NumberReader {
  at: number;

  constructor(at: number) {
    this.at = at;
  }

  abstract u(): number;

  s(): number {
    const value = this.u();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

export class VarintReader extends NumberReader {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at = 0) {
    super(at);
    this.#bytes = bytes;
  }

  u(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.at++] ?? 0;
      if (byte < 0x80) return value + byte * scale;
      value += (byte & 0x7f) * scale;
    }
  }
}

const digits = new Uint8Array(128);
for (let i = 0; i < 64; i++) {
  digits['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.charCodeAt(i)] = i;
}

export class TextReader extends NumberReader {
  readonly #text: string;

  constructor(text: string, at = 0) {
    super(at);
    this.#text = text;
  }

  u(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 32) {
      const digit = digits[this.#text.charCodeAt(this.at++)] ?? 0;
      if (digit < 32) return value + digit * scale;
      value += (digit & 31) * scale;
    }
  }
}

const kinds = ['struct', 'union', 'class'] as const;
const forms = ['int', 'char', 'bool', 'float', 'void'] as const;

/** One family and tier. Opening it reads the heads; definitions are made into objects when one of them is asked for. */
export class TypePool {
  readonly #strings: readonly string[];
  readonly #pointerSize: 4 | 8;
  readonly #unnamed: string;
  readonly #open: (at: number) => NumberReader;
  /** Definitions. */
  readonly count: number;
  readonly #heads: Uint32Array; // size * 4 + kind, fields, where its names, offsets and types begin
  readonly #typeAt: Uint32Array;
  readonly #refs: (TypeRef | undefined)[];
  readonly #enumAt: Uint32Array;
  readonly #mapAt: number;

  /** `unnamed` is the prefix of the names that anonymous types get, followed by the index of the definition. */
  constructor(data: Uint8Array | string, strings: readonly string[], pointerSize: 4 | 8, unnamed: string) {
    this.#open = (at) => (typeof data === 'string' ? new TextReader(data, at) : new VarintReader(data, at));
    this.#strings = strings;
    this.#pointerSize = pointerSize;
    this.#unnamed = unnamed;
    const r = this.#open(0);
    this.count = r.u();
    const nameBytes = r.u();
    const offsetBytes = r.u();
    const fieldTypeBytes = r.u();
    const types = r.u();
    const typeBytes = r.u();
    const enums = r.u();
    const enumBytes = r.u();
    let names = r.at;
    let offsets = names + nameBytes;
    let fieldTypes = offsets + offsetBytes;
    const typeReader = this.#open(fieldTypes + fieldTypeBytes);
    const enumReader = this.#open(typeReader.at + typeBytes);
    const heads = this.#open(enumReader.at + enumBytes);

    this.#heads = new Uint32Array(this.count * 5);
    for (let i = 0; i < this.#heads.length; i += 5) {
      this.#heads[i] = heads.u();
      this.#heads[i + 1] = heads.u();
      this.#heads[i + 2] = names;
      this.#heads[i + 3] = offsets;
      this.#heads[i + 4] = fieldTypes;
      names += heads.u();
      offsets += heads.u();
      fieldTypes += heads.u();
    }
    this.#mapAt = heads.at;
    this.#typeAt = new Uint32Array(types);
    this.#refs = new Array<TypeRef | undefined>(types);
    for (let i = 0; i < types; i++) {
      this.#typeAt[i] = typeReader.at;
      const kind = typeReader.u();
      const args = kind === 6 ? 0 : kind === 0 || kind === 2 ? 2 : kind === 5 ? 3 : 1;
      for (let k = 0; k < args; k++) typeReader.u();
    }
    this.#enumAt = new Uint32Array(enums);
    for (let i = 0; i < enums; i++) {
      this.#enumAt[i] = enumReader.at;
      enumReader.u();
      for (let k = enumReader.u() * 2; k > 0; k--) enumReader.u();
    }
  }

  definition(index: number, name: string): StructType | undefined {
    if (index < 0 || index >= this.count) return undefined;
    const heads = this.#heads;
    const at = index * 5;
    const head = heads[at] ?? 0;
    const names = this.#open(heads[at + 2] ?? 0);
    const offsets = this.#open(heads[at + 3] ?? 0);
    const types = this.#open(heads[at + 4] ?? 0);
    const fields = new Map<string, Field>();
    let id = 0;
    let offset = 0;
    for (let left = heads[at + 1] ?? 0; left > 0; left--) {
      const field = this.string((id += names.s()));
      fields.set(field, { name: field, offset: (offset += offsets.u()), type: this.ref(types.u()) });
    }
    return { name, kind: kinds[head & 3] ?? 'struct', size: head >>> 2, fields };
  }

  string(id: number): string {
    return this.#strings[id] ?? '';
  }

  /** Names of build `index` of the family: to definitions and to enums. */
  build(index: number): { structs: ReadonlyMap<string, number>; enums: ReadonlyMap<string, number> } {
    const r = this.#open(this.#mapAt);
    for (let skip = index * 2; skip > 0; skip--) for (let k = r.u() * 2; k > 0; k--) r.u();
    const maps = [new Map<string, number>(), new Map<string, number>()] as const;
    for (const map of maps) {
      let id = 0;
      let def = 0;
      for (let count = r.u(); count > 0; count--) {
        id += r.s();
        def += r.s();
        map.set(this.string(id), def);
      }
    }
    return { structs: maps[0], enums: maps[1] };
  }

  ref(index: number): TypeRef {
    return (this.#refs[index] ??= this.#decode(index));
  }

  #decode(index: number): TypeRef {
    const r = this.#open(this.#typeAt[index] ?? 0);
    switch (r.u()) {
      case 0: {
        const name = this.string(r.u());
        const bits = r.u();
        return {
          kind: 'base',
          name,
          size: bits >>> 4,
          signed: (bits & 1) === 1,
          form: forms[(bits >> 1) & 7] ?? 'int',
        };
      }
      case 1:
        return { kind: 'pointer', to: this.ref(r.u()), size: this.#pointerSize };
      case 2: {
        const count = r.u();
        return { kind: 'array', count, of: this.ref(r.u()) };
      }
      case 3:
        return { kind: 'struct', name: this.string(r.u()) };
      case 4:
        return { kind: 'enum', name: this.string(r.u()) };
      case 5: {
        const position = r.u();
        const length = r.u();
        return { kind: 'bitfield', of: this.ref(r.u()), position, length };
      }
      case 7:
        return { kind: 'struct', name: this.#unnamed + r.u() };
      default:
        return { kind: 'function' };
    }
  }

  enumeration(index: number): { size: number; values: Map<string, bigint> } {
    const r = this.#open(this.#enumAt[index] ?? 0);
    const size = r.u();
    const values = new Map<string, bigint>();
    let id = 0;
    let value = 0;
    for (let count = r.u(); count > 0; count--) {
      id += r.s();
      value += r.s();
      values.set(this.string(id), BigInt(value));
    }
    return { size, values };
  }
}
