import type { Memory, Va } from '@dumpscope/core';
import { type TypeRef, type TypeTable, typeSize } from '@dumpscope/symbols';
import { extractBits } from '../expressions/cpp-value.ts';
import { type FieldLocation, resolveFieldPath } from '../expressions/field-path.ts';
import { targetAddress } from '../expressions/scope.ts';
import type { Target } from '../target/model.ts';

/**
 * A kernel structure in memory, its fields by name through the chosen layouts. Everything is undefined where the layout
 * lacks the field or memory is missing.
 */
export class Structure {
  readonly target: Target;
  readonly name: string;
  readonly address: Va;
  readonly memory: Memory;

  constructor(target: Target, name: string, address: bigint, memory: Memory = target.memory) {
    this.target = target;
    this.name = name;
    this.address = targetAddress(address, target.pointerSize);
    this.memory = memory;
  }

  field(path: string): FieldLocation | undefined {
    return locate(this.target.layouts.table, this.name, path);
  }

  has(path: string): boolean {
    return this.field(path) !== undefined;
  }

  addressOf(path: string): Va | undefined {
    const field = this.field(path);
    return field === undefined
      ? undefined
      : targetAddress(this.address + BigInt(field.offset), this.target.pointerSize);
  }

  /** A scalar field: integers, enumerations, pointers and bit fields, as an unsigned number of its size. */
  value(path: string): bigint | undefined {
    const field = this.field(path);
    return field === undefined ? undefined : this.read(field);
  }

  number(path: string): number | undefined {
    const value = this.value(path);
    return value === undefined ? undefined : Number(value);
  }

  signed(path: string): number | undefined {
    const field = this.field(path);
    const value = field === undefined ? undefined : this.read(field);
    if (field === undefined || value === undefined) return undefined;
    const size = this.sizeOf(field.type);
    return size === undefined ? Number(value) : Number(BigInt.asIntN(size * 8, value));
  }

  sizeOf(type: TypeRef): number | undefined {
    return type.kind === 'function' ? undefined : typeSize(this.target.layouts.table, type);
  }

  read(field: FieldLocation): bigint | undefined {
    const size = this.sizeOf(field.type);
    const at = this.address + BigInt(field.offset);
    let unit: bigint | undefined;
    if (size === 8) unit = this.memory.u64(at);
    else {
      const small =
        size === 4
          ? this.memory.u32(at)
          : size === 2
            ? this.memory.u16(at)
            : size === 1
              ? this.memory.u8(at)
              : undefined;
      unit = small === undefined ? undefined : BigInt(small);
    }
    if (unit === undefined || field.type.kind !== 'bitfield') return unit;
    return BigInt.asUintN(field.type.length, extractBits(field.type, unit));
  }

  /** The structure that an embedded member is. */
  inner(path: string): Structure | undefined {
    const field = this.field(path);
    if (field?.type.kind !== 'struct') return undefined;
    return new Structure(this.target, field.type.name, this.address + BigInt(field.offset), this.memory);
  }

  /** The structure that a pointer member leads to; undefined for null pointers too. */
  follow(path: string, name?: string): Structure | undefined {
    const field = this.field(path);
    const pointer = field === undefined ? undefined : this.read(field);
    if (field === undefined || pointer === undefined || pointer === 0n) return undefined;
    const to = field.type.kind === 'pointer' && field.type.to.kind === 'struct' ? field.type.to.name : undefined;
    const struct = name ?? to;
    return struct === undefined ? undefined : new Structure(this.target, struct, pointer, this.memory);
  }
}

const located = new WeakMap<TypeTable, Map<string, FieldLocation | undefined>>();

/** Answers are kept: the same members are read of every thread, resource and lock. */
function locate(table: TypeTable, struct: string, path: string): FieldLocation | undefined {
  let known = located.get(table);
  if (known === undefined) located.set(table, (known = new Map()));
  const key = `${struct}.${path}`;
  if (known.has(key)) return known.get(key);
  const found = resolveFieldPath(table, { kind: 'struct', name: struct }, path);
  known.set(key, found);
  return found;
}

/** Why a list ended. */
export type ListEnd = 'head' | 'unreadable' | 'cycle' | 'limit';

/**
 * Addresses of LIST_ENTRYs from a head: bounded, guarded against cycles that leave the head out. Not a loop over memory
 * in bulk: a step per object.
 */
export function walkList(
  target: Target,
  memory: Memory,
  head: bigint,
  limit: number,
): { readonly entries: readonly Va[]; readonly end: ListEnd; readonly at: Va } {
  const entries: Va[] = [];
  const seen = new Set<bigint>();
  const start = targetAddress(head, target.pointerSize);
  let at = memory.pointer(start);
  for (;;) {
    if (at === undefined) return { entries, end: 'unreadable', at: entries.at(-1) ?? start };
    if (at === start) return { entries, end: 'head', at };
    if (seen.has(at)) return { entries, end: 'cycle', at };
    if (entries.length >= limit) return { entries, end: 'limit', at };
    seen.add(at);
    entries.push(at);
    at = memory.pointer(at);
  }
}

/** Bytes up to a NUL as text, printable ASCII only; undefined where nothing can be read. */
export function asciiAt(memory: Memory, address: bigint, limit: number): string | undefined {
  const bytes = memory.prefix(address, limit);
  if (bytes.length === 0) return undefined;
  let text = '';
  for (const byte of bytes) {
    if (byte === 0) break;
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.';
  }
  return text;
}

/** A UNICODE_STRING's text, at most `limit` characters; undefined where its buffer cannot be read. */
export function unicodeStringAt(target: Target, memory: Memory, address: bigint, limit = 1024): string | undefined {
  const length = memory.u16(address);
  const buffer = memory.pointer(address + BigInt(target.pointerSize));
  if (length === undefined || buffer === undefined) return undefined;
  if (length === 0) return '';
  const bytes = memory.prefix(buffer, Math.min(length, limit * 2));
  if (bytes.length < 2) return undefined;
  let text = '';
  for (let i = 0; i + 1 < bytes.length; i += 2) {
    const code = (bytes[i] as number) | ((bytes[i + 1] as number) << 8);
    text +=
      code >= 0x20 && code !== 0x7f && (code < 0xd800 || code > 0xdfff) && code < 0xfffe
        ? String.fromCharCode(code)
        : '.';
  }
  return text;
}

/** Name of an enumeration's value in the layouts, undefined where it has none. */
export function enumName(target: Target, enumeration: string, value: bigint | number): string | undefined {
  const wanted = BigInt(value);
  for (const [name, v] of target.layouts.table.enumeration(enumeration)?.values ?? []) if (v === wanted) return name;
  return undefined;
}
