import type { TypeRef } from '@dumpscope/symbols';
import { BOOL, DOUBLE, FLOAT } from './cpp-types.ts';
import { type CppValue, rvalue } from './cpp-value.ts';

/** Floating-point values: a scalar of such a type holds the bits that memory holds. */

const view = new DataView(new ArrayBuffer(8));

export function isFloat(type: TypeRef): boolean {
  return type.kind === 'base' && type.form === 'float';
}

function isSingle(type: TypeRef): boolean {
  return type.kind === 'base' && type.size === 4;
}

/** The number that a loaded scalar is; integers by their value. */
export function numberOf(type: TypeRef, scalar: bigint): number {
  if (!isFloat(type)) return Number(scalar);
  view.setBigUint64(0, BigInt.asUintN(64, scalar), true);
  return isSingle(type) ? view.getFloat32(0, true) : view.getFloat64(0, true);
}

export function floatValue(type: TypeRef, number: number): CppValue {
  if (isSingle(type)) {
    view.setFloat32(0, number, true);
    return rvalue(type, BigInt(view.getUint32(0, true)));
  }
  view.setFloat64(0, number, true);
  return rvalue(type, view.getBigUint64(0, true));
}

/** Truth as in C: -0.0 is false, NaN true. */
export function isTrue(type: TypeRef, scalar: bigint): boolean {
  return isFloat(type) ? numberOf(type, scalar) !== 0 : scalar !== 0n;
}

/** An operator with a floating-point operand by C's conversions; undefined for those that C has not for them. */
export function floatBinary(op: string, a: CppValue, b: CppValue): CppValue | undefined {
  const x = numberOf(a.type, a.scalar as bigint);
  const y = numberOf(b.type, b.scalar as bigint);
  const single = (isSingle(a.type) || !isFloat(a.type)) && (isSingle(b.type) || !isFloat(b.type));
  const type = single ? FLOAT : DOUBLE;
  const truth = (value: boolean): CppValue => rvalue(BOOL, value ? 1n : 0n);
  switch (op) {
    case '+':
      return floatValue(type, x + y);
    case '-':
      return floatValue(type, x - y);
    case '*':
      return floatValue(type, x * y);
    case '/':
      return floatValue(type, x / y);
    case '<':
      return truth(x < y);
    case '<=':
      return truth(x <= y);
    case '>':
      return truth(x > y);
    case '>=':
      return truth(x >= y);
    case '==':
      return truth(x === y);
    case '!=':
      return truth(x !== y);
    default:
      return undefined;
  }
}

/** A cast from or to floating point; undefined where C has none, as to a pointer. */
export function floatCast(type: TypeRef, value: CppValue): CppValue | undefined {
  const scalar = value.scalar as bigint;
  const number = numberOf(value.type, scalar);
  if (isFloat(type)) return value.type.kind === 'pointer' ? undefined : floatValue(type, number);
  if (type.kind === 'pointer') return undefined;
  if (type.kind === 'base' && type.form === 'bool') return rvalue(type, number !== 0 ? 1n : 0n);
  // What has no integer becomes the 80..00 of the processor's conversion.
  if (!Number.isFinite(number) || Math.abs(number) >= 2 ** 64) return rvalue(type, 1n << 63n);
  return rvalue(type, BigInt(Math.trunc(number)));
}
