import type { EnumType, Field, StructType, TypeTable } from '@dumpscope/symbols';

/** A table that knows nothing: everything is read by KDBG offsets or not at all. */
export function emptyTable(pointerSize: 4 | 8): TypeTable {
  return {
    pointerSize,
    origin: 'none',
    struct: () => undefined,
    enumeration: () => undefined,
    structNames: () => [],
  };
}

/**
 * A neighbouring build's table with the members hidden that the dump contradicts: of each structure in `limits` only
 * members that begin at or below the given offset are shown. (8.1: _KPRCB of 7601 and 9600 kernels grew in its tail when
 * more processors were allowed, all before it stayed.)
 */
export class RestrictedTable implements TypeTable {
  readonly pointerSize: 4 | 8;
  readonly origin: string;
  readonly #table: TypeTable;
  readonly #limits: ReadonlyMap<string, number>;
  readonly #known = new Map<string, StructType | undefined>();

  constructor(table: TypeTable, limits: ReadonlyMap<string, number>) {
    this.pointerSize = table.pointerSize;
    this.origin = table.origin;
    this.#table = table;
    this.#limits = limits;
  }

  struct(name: string): StructType | undefined {
    const limit = this.#limits.get(name);
    if (limit === undefined) return this.#table.struct(name);
    if (this.#known.has(name)) return this.#known.get(name);
    const struct = this.#table.struct(name);
    let made: StructType | undefined;
    if (struct !== undefined) {
      const fields = new Map<string, Field>();
      for (const [key, field] of struct.fields) if (field.offset <= limit) fields.set(key, field);
      made = { name: struct.name, kind: struct.kind, size: struct.size, fields };
    }
    this.#known.set(name, made);
    return made;
  }

  enumeration(name: string): EnumType | undefined {
    return this.#table.enumeration(name);
  }

  enumNames(): Iterable<string> {
    return this.#table.enumNames?.() ?? [];
  }

  structNames(): Iterable<string> {
    return this.#table.structNames();
  }
}
