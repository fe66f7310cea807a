/**
 * Layouts of structures, whatever they were read from: a PDB's TPI stream, an ISF file, the built-in table.
 * NT names keep their NT spelling as data ('_EPROCESS').
 */
export type TypeRef =
  | {
      readonly kind: 'base';
      readonly name: string;
      readonly size: number;
      readonly signed: boolean;
      readonly form: 'int' | 'char' | 'bool' | 'float' | 'void';
    }
  | { readonly kind: 'pointer'; readonly to: TypeRef; readonly size: number }
  | { readonly kind: 'array'; readonly count: number; readonly of: TypeRef }
  | { readonly kind: 'struct'; readonly name: string }
  | { readonly kind: 'enum'; readonly name: string }
  | { readonly kind: 'bitfield'; readonly of: TypeRef; readonly position: number; readonly length: number }
  /** `result` where the source keeps it. */
  | { readonly kind: 'function'; readonly result?: TypeRef };

export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly type: TypeRef;
}

export interface StructType {
  readonly name: string;
  readonly kind: 'struct' | 'union' | 'class';
  readonly size: number;
  /** In order of declaration where the source keeps it, else by offset. */
  readonly fields: ReadonlyMap<string, Field>;
}

export interface EnumType {
  readonly name: string;
  readonly size: number;
  readonly values: ReadonlyMap<string, bigint>;
}

export interface TypeTable {
  readonly pointerSize: 4 | 8;
  /** For reports: `PDB ntkrnlmp.pdb {GUID,age}`, `ISF …`, `built-in 10.0.19041 …`. */
  readonly origin: string;
  struct(name: string): StructType | undefined;
  enumeration(name: string): EnumType | undefined;
  structNames(): Iterable<string>;
  /** Absent where the source cannot list them. */
  enumNames?(): Iterable<string>;
}

/** Size of a type in bytes; undefined for a structure that the table lacks. */
export function typeSize(table: TypeTable, type: TypeRef): number | undefined {
  switch (type.kind) {
    case 'base':
    case 'pointer':
      return type.size;
    case 'array': {
      const size = typeSize(table, type.of);
      return size === undefined ? undefined : size * type.count;
    }
    case 'struct':
      return table.struct(type.name)?.size;
    case 'enum':
      return table.enumeration(type.name)?.size;
    case 'bitfield':
      return typeSize(table, type.of);
    case 'function':
      return undefined;
  }
}
