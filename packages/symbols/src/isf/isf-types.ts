import type { EnumType, Field, StructType, TypeRef, TypeTable } from '../type-table.ts';
import { IsfError } from './isf-error.ts';
import { isPlainObject, type JsonSection } from './json-sections.ts';

type JsonObject = Readonly<Record<string, unknown>>;

export function asObject(value: unknown): JsonObject | undefined {
  return isPlainObject(value) ? value : undefined;
}

/** A member of the file's own: names such as `__proto__` or `toString` are names like any other. */
export function own(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** A problem of one type or member; the rest of the file is used. */
export interface IsfProblem {
  /** `user_types._KTHREAD.fields.Teb`. */
  readonly where: string;
  readonly what: string;
}

const MAXIMUM_PROBLEMS = 200;
// Pointers to pointers and arrays of arrays are at most a handful deep in any real file.
const MAXIMUM_DEPTH = 32;

const isCount = (value: unknown, limit: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= limit;

class Wrong extends Error {}

/**
 * Whether the file lists members as they were declared. Volatility's pdbconv sorts its keys, as all published files show,
 * so an alphabetical list tells nothing. A declaration goes back only to where an arm of a union began.
 */
function isDeclaredOrder(fields: readonly Field[]): boolean {
  if (fields.every((field, i) => i === 0 || (fields[i - 1] as Field).name <= field.name)) return false;
  const seen = new Set<number>();
  let last = -1;
  for (const { offset } of fields) {
    if (offset < last && !seen.has(offset)) return false;
    seen.add(offset);
    last = offset;
  }
  return true;
}

/** Types of an ISF file, converted when one is asked for. */
export class IsfTypeTable implements TypeTable {
  readonly pointerSize: 4 | 8;
  readonly origin: string;
  readonly problems: IsfProblem[] = [];
  readonly #users: JsonSection;
  readonly #bases: JsonObject;
  readonly #enums: JsonSection;
  readonly #structs = new Map<string, StructType | undefined>();
  readonly #enumerations = new Map<string, EnumType | undefined>();
  readonly #baseRefs = new Map<string, TypeRef>();

  constructor(origin: string, pointerSize: 4 | 8, users: JsonSection, bases: JsonObject, enums: JsonSection) {
    this.origin = origin;
    this.pointerSize = pointerSize;
    this.#users = users;
    this.#bases = bases;
    this.#enums = enums;
  }

  struct(name: string): StructType | undefined {
    if (this.#structs.has(name)) return this.#structs.get(name);
    if (!this.#users.has(name)) return undefined;
    const made = this.#makeStruct(name, this.#raw(this.#users, name, 'user_types'));
    this.#structs.set(name, made);
    return made;
  }

  enumeration(name: string): EnumType | undefined {
    if (this.#enumerations.has(name)) return this.#enumerations.get(name);
    if (!this.#enums.has(name)) return undefined;
    const made = this.#makeEnum(name, this.#raw(this.#enums, name, 'enums'));
    this.#enumerations.set(name, made);
    return made;
  }

  structNames(): Iterable<string> {
    return this.#users.keys();
  }

  enumNames(): Iterable<string> {
    return this.#enums.keys();
  }

  #problem(where: string, what: string): void {
    if (this.problems.length < MAXIMUM_PROBLEMS) this.problems.push({ where, what });
  }

  #raw(section: JsonSection, name: string, where: string): unknown {
    try {
      return section.get(name);
    } catch (error) {
      if (!(error instanceof IsfError)) throw error;
      this.#problem(`${where}.${name}`, error.message);
      return undefined;
    }
  }

  #makeStruct(name: string, raw: unknown): StructType | undefined {
    const where = `user_types.${name}`;
    const type = asObject(raw);
    const kind = type && own(type, 'kind');
    const size = type && own(type, 'size');
    const members = type && asObject(own(type, 'fields'));
    if (!type) this.#problem(where, 'is no object');
    else if (kind !== 'struct' && kind !== 'union' && kind !== 'class')
      this.#problem(where, 'kind is no struct, union or class');
    else if (!isCount(size, 0x7fff_ffff)) this.#problem(where, 'size is no byte count');
    else if (!members) this.#problem(where, 'fields is no object');
    else {
      const fields: Field[] = [];
      for (const field of Object.keys(members)) {
        try {
          fields.push(this.#makeField(field, members[field]));
        } catch (error) {
          if (!(error instanceof Wrong)) throw error;
          this.#problem(`${where}.fields.${field}`, error.message);
        }
      }
      if (!isDeclaredOrder(fields)) {
        fields.sort((a, b) => a.offset - b.offset || bit(a) - bit(b) || (a.name < b.name ? -1 : 1));
      }
      return { name, kind, size, fields: new Map(fields.map((field) => [field.name, field])) };
    }
    return undefined;
  }

  #makeField(name: string, raw: unknown): Field {
    const member = asObject(raw);
    if (!member) throw new Wrong('is no object');
    const offset = own(member, 'offset');
    if (!isCount(offset, 0x7fff_ffff)) throw new Wrong('offset is no byte count');
    return { name, offset, type: this.#ref(own(member, 'type'), 0) };
  }

  #ref(raw: unknown, depth: number): TypeRef {
    const type = asObject(raw);
    if (!type) throw new Wrong('type is no object');
    if (depth > MAXIMUM_DEPTH) throw new Wrong('type is nested too deeply');
    const kind = own(type, 'kind');
    switch (kind) {
      case 'base':
        return this.#base(nameOf(type));
      case 'pointer':
        return { kind: 'pointer', to: this.#ref(own(type, 'subtype'), depth + 1), size: this.pointerSize };
      case 'array': {
        const count = own(type, 'count');
        if (!isCount(count, 0xffff_ffff)) throw new Wrong('count is no number of elements');
        return { kind: 'array', count, of: this.#ref(own(type, 'subtype'), depth + 1) };
      }
      case 'bitfield': {
        const position = own(type, 'bit_position');
        const length = own(type, 'bit_length');
        if (!isCount(position, 127)) throw new Wrong('bit_position is no bit number');
        if (!isCount(length, 128)) throw new Wrong('bit_length is no number of bits');
        return { kind: 'bitfield', of: this.#ref(own(type, 'type'), depth + 1), position, length };
      }
      case 'struct':
      case 'union':
      case 'class':
        return { kind: 'struct', name: nameOf(type) };
      case 'enum':
        return { kind: 'enum', name: nameOf(type) };
      case 'function':
        return { kind: 'function' };
      default:
        throw new Wrong(`type is of the unknown kind ${String(JSON.stringify(kind)).slice(0, 40)}`);
    }
  }

  #base(name: string): TypeRef {
    const known = this.#baseRefs.get(name);
    if (known) return known;
    const raw = asObject(own(this.#bases, name));
    const made = raw ? baseRef(name, raw) : name === 'void' ? voidRef : undefined;
    if (!made) throw new Wrong(`base type ${name.slice(0, 60)} is not described`);
    this.#baseRefs.set(name, made);
    return made;
  }

  #makeEnum(name: string, raw: unknown): EnumType | undefined {
    const where = `enums.${name}`;
    const type = asObject(raw);
    const size = type && own(type, 'size');
    const constants = type && asObject(own(type, 'constants'));
    if (!type) this.#problem(where, 'is no object');
    else if (!isCount(size, 16)) this.#problem(where, 'size is no byte count');
    else if (!constants) this.#problem(where, 'constants is no object');
    else {
      const values: [string, bigint][] = [];
      for (const key of Object.keys(constants)) {
        const value = constants[key];
        if (typeof value === 'number' && Number.isInteger(value)) values.push([key, BigInt(value)]);
        else this.#problem(`${where}.constants.${key}`, 'is no integer');
      }
      values.sort((a, b) => (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : a[0] < b[0] ? -1 : 1));
      return { name, size, values: new Map(values) };
    }
    return undefined;
  }
}

const voidRef: TypeRef = { kind: 'base', name: 'void', size: 0, signed: false, form: 'void' };

function baseRef(name: string, raw: JsonObject): TypeRef | undefined {
  const size = own(raw, 'size');
  const kind = own(raw, 'kind');
  if (!isCount(size, 64)) return undefined;
  // `wchar` is described as a 16-bit integer; it holds UTF-16 units.
  const form =
    name === 'wchar'
      ? 'char'
      : kind === 'char' || kind === 'bool' || kind === 'float' || kind === 'void' || kind === 'int'
        ? kind
        : undefined;
  return form && { kind: 'base', name, size, signed: own(raw, 'signed') === true, form };
}

function nameOf(type: JsonObject): string {
  const name = own(type, 'name');
  if (typeof name !== 'string') throw new Wrong('type has no name');
  return name;
}

const bit = (field: Field): number => (field.type.kind === 'bitfield' ? field.type.position : -1);
