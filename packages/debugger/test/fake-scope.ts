import { type Va, va } from '@dumpscope/core';
import type { StructType, TypeRef, TypeTable } from '@dumpscope/symbols';
import { INT, INT64, LONG, UCHAR, UINT64 } from '../src/expressions/cpp-types.ts';
import type { ExpressionScope } from '../src/expressions/scope.ts';

/** A type table out of a literal: `{ _LIST_ENTRY: [16, { Flink: [0, pointer], … }] }`. */
export function fakeTypes(
  pointerSize: 4 | 8,
  structs: Readonly<Record<string, readonly [number, Readonly<Record<string, readonly [number, TypeRef]>>]>>,
  enums: Readonly<Record<string, Readonly<Record<string, number>>>> = {},
): TypeTable {
  return {
    pointerSize,
    origin: 'fake',
    struct(name): StructType | undefined {
      const entry = structs[name];
      if (entry === undefined) return undefined;
      return {
        name,
        kind: 'struct',
        size: entry[0],
        fields: new Map(
          Object.entries(entry[1]).map(([field, [offset, type]]) => [field, { name: field, offset, type }]),
        ),
      };
    },
    enumeration(name) {
      const values = enums[name];
      if (values === undefined) return undefined;
      return { name, size: 4, values: new Map(Object.entries(values).map(([k, v]) => [k, BigInt(v)])) };
    },
    structNames: () => Object.keys(structs),
  };
}

export interface FakeScopeOptions {
  readonly pointerSize?: 4 | 8;
  readonly radix?: number;
  readonly registers?: Readonly<Record<string, readonly [bigint, number]>>;
  readonly pseudo?: Readonly<Record<string, bigint>>;
  readonly symbols?: Readonly<Record<string, bigint>>;
  /** Byte runs by start address. */
  readonly memory?: ReadonlyMap<bigint, Uint8Array>;
  readonly types?: TypeTable;
}

/** A scope for unit tests: everything it knows is in the options. */
export function fakeScope(options: FakeScopeOptions = {}): ExpressionScope {
  const pointerSize = options.pointerSize ?? 8;
  const byteAt = (address: bigint): number | undefined => {
    for (const [start, bytes] of options.memory ?? []) {
      if (address >= start && address < start + BigInt(bytes.length)) return bytes[Number(address - start)];
    }
    return undefined;
  };
  const read = (address: bigint, size: number): bigint | undefined => {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) {
      const byte = byteAt(address + BigInt(i));
      if (byte === undefined) return undefined;
      value = (value << 8n) | BigInt(byte);
    }
    return value;
  };
  return {
    pointerSize,
    radix: options.radix ?? 16,
    isCommonRegister: (name) => /^[er](?:[abcd]x|[sd]i|[bs]p|ip)$|^efl$/.test(name),
    register(name) {
      const entry = options.registers?.[name];
      return entry === undefined ? undefined : { value: entry[0], size: entry[1] };
    },
    pseudo(name) {
      const value = options.pseudo?.[name];
      return value === undefined ? undefined : { value, type: null };
    },
    symbol(name): Va | undefined {
      const value = options.symbols?.[name];
      return value === undefined ? undefined : va(value);
    },
    read,
    readPhysical: read,
    isReadable: (address, length) => read(address, length) !== undefined,
    imageEntry: () => undefined,
    types: options.types ?? fakeTypes(pointerSize, {}),
  };
}

const pointer = (to: TypeRef): TypeRef => ({ kind: 'pointer', to, size: 8 });

/** A few x64 structures: a list, bit fields, arrays, an embedded structure. */
export const sampleTypes: TypeTable = fakeTypes(
  8,
  {
    _LIST_ENTRY: [
      16,
      {
        Flink: [0, pointer({ kind: 'struct', name: '_LIST_ENTRY' })],
        Blink: [8, pointer({ kind: 'struct', name: '_LIST_ENTRY' })],
      },
    ],
    _ITEM: [
      64,
      {
        Id: [0, LONG],
        Flags: [
          4,
          {
            kind: 'bitfield',
            of: { kind: 'base', name: 'unsigned long', size: 4, signed: false, form: 'int' },
            position: 4,
            length: 3,
          },
        ],
        Links: [8, { kind: 'struct', name: '_LIST_ENTRY' }],
        Values: [24, { kind: 'array', count: 3, of: INT }],
        Name: [36, { kind: 'array', count: 8, of: UCHAR }],
        Count: [48, UINT64],
        Delta: [56, INT64],
      },
    ],
  },
  { _STATE: { Ready: 1, Running: 2 } },
);
