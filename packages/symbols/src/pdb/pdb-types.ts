import type { EnumType, Field, StructType, TypeRef, TypeTable } from '../type-table.ts';
import { type FieldItem, parseFieldList } from './field-list.ts';
import { simpleSize, simpleType } from './simple-types.ts';
import type { TypeRecord } from './type-record.ts';
import type { TypeStream } from './type-stream.ts';

/** Depth of pointers to pointers, arrays of arrays, … that is followed; real types stay below 10. */
const MAX_DEPTH = 32;
/** T_PVOID, a 16-bit pointer, which MSVC uses for std::nullptr_t. */
const NULLPTR = 0x103;

type StructRecord = Extract<TypeRecord, { kind: 'struct' }>;
type EnumRecord = Extract<TypeRecord, { kind: 'enum' }>;

/**
 * Names that compilers give to every unnamed type: they name nothing. Such a type is known as `NAME_INDEX`, its type
 * index in hexadecimal.
 */
export function isAnonymousName(name: string): boolean {
  const scope = name.lastIndexOf('::');
  const last = scope < 0 ? name : name.slice(scope + 2);
  return (
    last === '' ||
    last === '__unnamed' ||
    last === '<unnamed-tag>' ||
    last === '<anonymous-tag>' ||
    last === '<anonymous-type>' ||
    last === '<unnamed-type>'
  );
}

/** Types of a PDB, read when asked for. */
export class PdbTypes implements TypeTable {
  readonly pointerSize: 4 | 8;
  readonly origin: string;
  readonly stream: TypeStream;
  readonly #typedef: (name: string) => number | undefined;
  #byName: Map<string, number> | undefined;
  readonly #found = new Map<string, number>();
  readonly #structs = new Map<string, StructType>();
  readonly #refs = new Map<number, TypeRef>();
  readonly #enums = new Map<string, EnumType>();

  /** `typedef` gives the type index that a name stands for (S_UDT), for names that are no structure. */
  constructor(
    stream: TypeStream,
    pointerSize: 4 | 8,
    origin: string,
    typedef: (name: string) => number | undefined = () => undefined,
  ) {
    this.stream = stream;
    this.pointerSize = pointerSize;
    this.origin = origin;
    this.#typedef = typedef;
  }

  struct(name: string): StructType | undefined {
    let type = this.#structs.get(name);
    if (type === undefined) {
      const index = this.find(name);
      const record = index === undefined ? undefined : this.stream.record(index);
      if (record?.kind !== 'struct' || index === undefined) return undefined;
      type = this.#makeStruct(record, index);
      this.#structs.set(name, type);
    }
    return type;
  }

  enumeration(name: string): EnumType | undefined {
    let type = this.#enums.get(name);
    if (type === undefined) {
      const index = this.find(name);
      const record = index === undefined ? undefined : this.stream.record(index);
      if (record?.kind !== 'enum') return undefined;
      const values = new Map<string, bigint>();
      const size = this.sizeOf(record.underlying);
      const base = this.typeRef(record.underlying);
      const isSigned = base.kind === 'base' && base.signed;
      for (const item of this.fields(record.fields)) {
        if (item.kind !== 'enumerate') continue;
        // clang stores a negative value of a signed enumeration as its unsigned bits.
        const bits = isSigned ? BigInt.asIntN(size * 8, item.value) : BigInt.asUintN(size * 8, item.value);
        values.set(item.name, size === 0 ? item.value : bits);
      }
      type = { name, size, values };
      this.#enums.set(name, type);
    }
    return type;
  }

  *structNames(): Iterable<string> {
    for (const [name, index] of this.#allNames()) {
      if (this.stream.record(index)?.kind === 'struct') yield name;
    }
  }

  *enumNames(): Iterable<string> {
    for (const [name, index] of this.#allNames()) {
      if (this.stream.record(index)?.kind === 'enum') yield name;
    }
  }

  /** Type index of the definition of a structure, union, class or enumeration. */
  find(name: string): number | undefined {
    const known = this.#found.get(name);
    if (known !== undefined) return known < 0 ? undefined : known;
    const index = this.#anonymousIndex(name) ?? this.#byHash(name) ?? this.#allNames().get(name) ?? this.#aliased(name);
    this.#found.set(name, index ?? -1);
    return index;
  }

  #byHash(name: string): number | undefined {
    if (this.#byName !== undefined) return undefined;
    const candidates = this.stream.candidates(name);
    if (candidates === null) return undefined;
    return this.#best(
      name,
      candidates.filter((index) => {
        const record = this.stream.record(index);
        return isDefinition(record) && record.name === name;
      }),
    );
  }

  /**
   * One of several definitions: the one that the linker points at, else the largest (some kernels carry a shortened
   * _KPRCB beside the full one), else the last.
   */
  #best(name: string, indices: readonly number[]): number | undefined {
    if (indices.length <= 1) return indices[0];
    const adjusted = this.stream.adjusted(name);
    if (adjusted !== undefined && indices.includes(adjusted)) return adjusted;
    let best = indices[0];
    let size = -1;
    for (const index of indices) {
      const record = this.stream.record(index);
      const own = record?.kind === 'struct' ? record.size : 0;
      if (own >= size) {
        best = index;
        size = own;
      }
    }
    return best;
  }

  #aliased(name: string): number | undefined {
    const index = this.#typedef(name);
    return index === undefined ? undefined : this.#definition(this.#unmodified(index));
  }

  /** `__unnamed_1a2b` */
  #anonymousIndex(name: string): number | undefined {
    const at = name.lastIndexOf('_');
    if (at < 0 || !isAnonymousName(name.slice(0, at)) || !/^[0-9a-f]{4,8}$/.test(name.slice(at + 1))) return undefined;
    const index = Number.parseInt(name.slice(at + 1), 16);
    const record = this.stream.record(index);
    return isDefinition(record) && record.name === name.slice(0, at) ? index : undefined;
  }

  /** Name -> index of the definition, of all types. One pass over the stream. */
  #allNames(): Map<string, number> {
    if (this.#byName !== undefined) return this.#byName;
    const seen = new Map<string, number[]>();
    for (let index = this.stream.first; index < this.stream.last; index++) {
      const record = this.stream.record(index);
      if (!isDefinition(record)) continue;
      const name = isAnonymousName(record.name) ? `${record.name}_${index.toString(16)}` : record.name;
      const others = seen.get(name);
      if (others === undefined) seen.set(name, [index]);
      else others.push(index);
    }
    const names = new Map<string, number>();
    for (const [name, indices] of seen) {
      const best = this.#best(name, indices);
      if (best !== undefined) names.set(name, best);
    }
    this.#byName = names;
    return names;
  }

  /** Strips const and volatile and typedefs of C++/CLI. */
  #unmodified(index: number): number {
    for (let i = 0; i < MAX_DEPTH; i++) {
      const record = this.stream.record(index);
      if (record?.kind !== 'modifier' && record?.kind !== 'alias') return index;
      index = record.of;
    }
    return index;
  }

  /** The definition of a structure or enumeration given by any of its records; itself when there is none. */
  #definition(index: number): number {
    const record = this.stream.record(index);
    if ((record?.kind !== 'struct' && record?.kind !== 'enum') || !record.isForward) return index;
    return this.find(record.name) ?? index;
  }

  /** The name under which {@link PdbTypes.struct} finds the type of this record. */
  nameOf(record: StructRecord | EnumRecord, index: number): string {
    return isAnonymousName(record.name) && !record.isForward ? `${record.name}_${index.toString(16)}` : record.name;
  }

  /** Items of a field list and its continuations. */
  fields(list: number): FieldItem[] {
    const out: FieldItem[] = [];
    const seen = new Set<number>();
    let next: number | null = list;
    while (next !== null && !seen.has(next)) {
      seen.add(next);
      const raw = this.stream.raw(next);
      next = null;
      if (raw === undefined || this.#isNoFieldList(raw.bytes, raw.at)) break;
      for (const item of parseFieldList(raw.bytes, raw.at + 2, raw.end).items) {
        if (item.kind === 'continued') next = item.type;
        else out.push(item);
      }
    }
    return out;
  }

  #isNoFieldList(bytes: Uint8Array, at: number): boolean {
    const leaf = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    return leaf !== 0x1203 && leaf !== 0x0204;
  }

  #makeStruct(record: StructRecord, index: number): StructType {
    const fields = new Map<string, Field>();
    for (const item of this.fields(record.fields)) {
      if (item.kind === 'member') {
        if (!fields.has(item.name)) {
          fields.set(item.name, { name: item.name, offset: item.offset, type: this.typeRef(item.type) });
        }
      } else if (item.kind === 'vftable' && !fields.has('__VFN_table')) {
        // WinDbg's name for it
        fields.set('__VFN_table', { name: '__VFN_table', offset: item.offset, type: this.#void() });
      } else if (item.kind === 'base') {
        const type = this.typeRef(item.type);
        const name = type.kind === 'struct' ? type.name : '__base';
        if (!fields.has(name)) fields.set(name, { name, offset: item.offset, type });
      }
    }
    return { name: this.nameOf(record, index), kind: record.form, size: record.size, fields };
  }

  #nullptr(): TypeRef {
    return { kind: 'base', name: 'std::nullptr_t', size: this.pointerSize, signed: false, form: 'int' };
  }

  #void(): TypeRef {
    return { kind: 'pointer', to: simpleType(3), size: this.pointerSize };
  }

  /** The type of an index; nested as deep as MAX_DEPTH. */
  typeRef(index: number): TypeRef {
    let type = this.#refs.get(index);
    if (type === undefined) {
      type = this.#makeRef(index, 0);
      this.#refs.set(index, type);
    }
    return type;
  }

  #makeRef(index: number, depth: number): TypeRef {
    if (index < 0x1000 && index < this.stream.first) return index === NULLPTR ? this.#nullptr() : simpleType(index);
    const record = depth > MAX_DEPTH ? undefined : this.stream.record(index);
    switch (record?.kind) {
      case 'struct':
        return { kind: 'struct', name: this.nameOf(record, index) };
      case 'enum':
        return { kind: 'enum', name: this.nameOf(record, index) };
      case 'pointer':
        return { kind: 'pointer', to: this.#makeRef(record.to, depth + 1), size: record.size || this.pointerSize };
      case 'modifier':
      case 'alias':
        return this.#makeRef(record.of, depth + 1);
      case 'array': {
        const element = record.stride ?? this.sizeOf(record.of);
        const count = element > 0 ? Math.floor(record.size / element) : 0;
        return { kind: 'array', count, of: this.#makeRef(record.of, depth + 1) };
      }
      case 'bitfield':
        return {
          kind: 'bitfield',
          of: this.#makeRef(record.of, depth + 1),
          position: record.position,
          length: record.length,
        };
      case 'function':
        return { kind: 'function', result: this.#makeRef(record.result, depth + 1) };
      default:
        return { kind: 'base', name: `<type 0x${index.toString(16)}>`, size: 0, signed: false, form: 'void' };
    }
  }

  /** Size in bytes; 0 for functions and for types that are only declared. */
  sizeOf(index: number): number {
    for (let i = 0; i < MAX_DEPTH; i++) {
      if (index < 0x1000 && index < this.stream.first) return index === NULLPTR ? this.pointerSize : simpleSize(index);
      const record = this.stream.record(index);
      switch (record?.kind) {
        case 'struct': {
          if (!record.isForward) return record.size;
          const definition = this.#definition(index);
          if (definition === index) return 0;
          index = definition;
          continue;
        }
        case 'enum':
          index = record.underlying;
          continue;
        case 'modifier':
        case 'alias':
        case 'bitfield':
          index = record.of;
          continue;
        case 'pointer':
          return record.size || this.pointerSize;
        case 'array':
          return record.size;
        default:
          return 0;
      }
    }
    return 0;
  }
}

function isDefinition(record: TypeRecord | undefined): record is StructRecord | EnumRecord {
  return (record?.kind === 'struct' || record?.kind === 'enum') && !record.isForward;
}
