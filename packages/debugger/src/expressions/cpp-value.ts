import type { Va } from '@dumpscope/core';
import { type TypeRef, typeSize } from '@dumpscope/symbols';
import { CommandError } from '../commands/command.ts';
import { type ExpressionScope, targetAddress } from './scope.ts';

/**
 * A typed value: an lvalue (`address`) or an rvalue (`scalar`, the mathematical value: negative for signed types).
 * Structures exist only as lvalues.
 */
export interface CppValue {
  readonly type: TypeRef;
  readonly address: Va | null;
  readonly scalar: bigint | null;
}

export function rvalue(type: TypeRef, scalar: bigint): CppValue {
  return { type, address: null, scalar: wrap(type, scalar) };
}

/** Reduces a number to the range of its type. */
export function wrap(type: TypeRef, value: bigint): bigint {
  switch (type.kind) {
    case 'base':
      if (type.form === 'bool') return value === 0n ? 0n : 1n;
      if (type.size === 0) return value;
      return type.signed ? BigInt.asIntN(type.size * 8, value) : BigInt.asUintN(type.size * 8, value);
    case 'pointer':
      return BigInt.asUintN(type.size * 8, value);
    case 'enum':
      return BigInt.asIntN(32, value);
    default:
      return BigInt.asUintN(64, value);
  }
}

/** The bits of a bit field out of its storage unit, sign-extended where its type is signed. */
export function extractBits(type: Extract<TypeRef, { kind: 'bitfield' }>, unit: bigint): bigint {
  const bits = (unit >> BigInt(type.position)) & ((1n << BigInt(type.length)) - 1n);
  return type.of.kind === 'base' && type.of.signed ? BigInt.asIntN(type.length, bits) : bits;
}

/** Reads the scalar of `type` at `address`; undefined where memory is missing or the type has no scalar. */
export function readScalar(type: TypeRef, address: bigint, scope: ExpressionScope): bigint | undefined {
  const size = type.kind === 'function' ? undefined : typeSize(scope.types, type);
  if (size !== 1 && size !== 2 && size !== 4 && size !== 8) return undefined;
  if (type.kind === 'struct' || type.kind === 'array') return undefined;
  const unit = scope.read(targetAddress(address, scope.pointerSize), size);
  if (unit === undefined) return undefined;
  return type.kind === 'bitfield' ? extractBits(type, unit) : wrap(type, unit);
}

/** The type a loaded value has: bit fields become their declared type, arrays decay, functions become addresses. */
export function loadedType(type: TypeRef, scope: ExpressionScope): TypeRef {
  if (type.kind === 'bitfield') return type.of;
  if (type.kind === 'array') return { kind: 'pointer', to: type.of, size: scope.pointerSize };
  return type;
}

/** Lvalue-to-rvalue conversion. `quote` is what an error cites. */
export function load(value: CppValue, scope: ExpressionScope, quote: () => string, dead: boolean): CppValue {
  if (value.scalar !== null) return value;
  const type = loadedType(value.type, scope);
  if (value.type.kind === 'array') return rvalue(type, value.address ?? 0n);
  if (type.kind === 'struct') return value;
  if (dead) return rvalue(type, 0n);
  if (type.kind === 'function') {
    throw new CommandError(`No type information at '${quote()}': cast its address, (type *)&name`);
  }
  const scalar = value.address === null ? undefined : readScalar(value.type, value.address, scope);
  if (scalar === undefined) throw new CommandError(`Memory access error at '${quote()}'`);
  return { type, address: null, scalar };
}

export function isInteger(type: TypeRef): boolean {
  return (type.kind === 'base' && type.form !== 'float' && type.form !== 'void') || type.kind === 'enum';
}
