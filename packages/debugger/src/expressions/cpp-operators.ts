import { type TypeRef, typeSize } from '@dumpscope/symbols';
import { CommandError } from '../commands/command.ts';
import { floatBinary, floatCast, isFloat } from './cpp-float.ts';
import { BOOL, INT, INT64, LONG, UINT, UINT64 } from './cpp-types.ts';
import { type CppValue, isInteger, rvalue } from './cpp-value.ts';
import type { ExpressionScope } from './scope.ts';

/** C precedence of binary operators, higher binds tighter. */
export const CPP_PRECEDENCE: ReadonlyMap<string, number> = new Map([
  ['*', 13],
  ['/', 13],
  ['%', 13],
  ['+', 12],
  ['-', 12],
  ['<<', 11],
  ['>>', 11],
  ['<', 10],
  ['<=', 10],
  ['>', 10],
  ['>=', 10],
  ['==', 9],
  ['!=', 9],
  ['&', 8],
  ['^', 7],
  ['|', 6],
  ['&&', 5],
  ['||', 4],
  ['?', 3],
  [',', 1],
]);

export const CPP_ASSIGNMENTS: ReadonlySet<string> = new Set([
  '=',
  '+=',
  '-=',
  '*=',
  '/=',
  '%=',
  '<<=',
  '>>=',
  '&=',
  '|=',
  '^=',
  '++',
  '--',
]);

interface IntegerShape {
  readonly size: number;
  readonly signed: boolean;
  readonly name: string;
}

function shape(type: TypeRef): IntegerShape {
  return type.kind === 'base'
    ? { size: type.size, signed: type.signed, name: type.name }
    : { size: 4, signed: true, name: 'int' };
}

/** Integral promotion: everything below int becomes int. */
export function promote(type: TypeRef): TypeRef {
  const s = shape(type);
  return s.size < 4 || type.kind === 'enum' || (type.kind === 'base' && type.form === 'bool') ? INT : type;
}

/** The common type of two integers (usual arithmetic conversions; `long` and `int` are both 4 bytes on Windows). */
export function commonType(a: TypeRef, b: TypeRef): TypeRef {
  const x = shape(promote(a));
  const y = shape(promote(b));
  const size = Math.max(x.size, y.size);
  const signed = (x.size < size || x.signed) && (y.size < size || y.signed);
  if (size === 8) return signed ? INT64 : UINT64;
  const long = /long/i.test(x.name) || /long/i.test(y.name);
  if (signed) return long ? LONG : INT;
  return long ? { kind: 'base', name: 'unsigned long', size: 4, signed: false, form: 'int' } : UINT;
}

function conflict(quote: () => string): never {
  throw new CommandError(`Type conflict error at '${quote()}'`);
}

function compare(op: string, a: bigint, b: bigint): boolean {
  switch (op) {
    case '<':
      return a < b;
    case '<=':
      return a <= b;
    case '>':
      return a > b;
    case '>=':
      return a >= b;
    case '==':
      return a === b;
    default:
      return a !== b;
  }
}

/** Bytes that one step of a pointer covers; void counts as 1 as in WinDbg. */
function step(type: Extract<TypeRef, { kind: 'pointer' }>, scope: ExpressionScope): bigint {
  const size = type.to.kind === 'function' ? 1 : typeSize(scope.types, type.to);
  return BigInt(size === undefined || size === 0 ? 1 : size);
}

/** A binary operator on loaded operands; pointers scale. */
export function applyCppBinary(
  op: string,
  a: CppValue,
  b: CppValue,
  scope: ExpressionScope,
  quote: () => string,
  dead: boolean,
): CppValue {
  if (a.scalar === null || b.scalar === null) return conflict(quote);
  const comparison = ['<', '<=', '>', '>=', '==', '!='].includes(op);
  const pointers = a.type.kind === 'pointer' || b.type.kind === 'pointer';
  if (isFloat(a.type) || isFloat(b.type)) return (pointers ? undefined : floatBinary(op, a, b)) ?? conflict(quote);
  if (pointers) {
    if (comparison) {
      const width = scope.pointerSize * 8;
      return rvalue(BOOL, compare(op, BigInt.asUintN(width, a.scalar), BigInt.asUintN(width, b.scalar)) ? 1n : 0n);
    }
    if (op === '+' || op === '-') return pointerArithmetic(op, a, b, scope, quote);
    return conflict(quote);
  }
  if (!isInteger(a.type) || !isInteger(b.type)) return conflict(quote);
  if (op === '<<' || op === '>>') {
    const type = promote(a.type);
    const count = BigInt.asUintN(64, b.scalar);
    const bits = BigInt(shape(type).size * 8);
    if (count >= bits) return rvalue(type, op === '>>' && a.scalar < 0n ? -1n : 0n);
    return rvalue(type, op === '<<' ? a.scalar << count : a.scalar >> count);
  }
  const type = commonType(a.type, b.type);
  const x = rvalue(type, a.scalar).scalar as bigint;
  const y = rvalue(type, b.scalar).scalar as bigint;
  if (comparison) return rvalue(BOOL, compare(op, x, y) ? 1n : 0n);
  switch (op) {
    case '*':
      return rvalue(type, x * y);
    case '/':
    case '%':
      if (y === 0n) {
        if (dead) return rvalue(type, 0n);
        throw new CommandError(`Operand error at '${quote()}'`);
      }
      return rvalue(type, op === '/' ? x / y : x % y);
    case '+':
      return rvalue(type, x + y);
    case '-':
      return rvalue(type, x - y);
    case '&':
      return rvalue(type, x & y);
    case '^':
      return rvalue(type, x ^ y);
    case '|':
      return rvalue(type, x | y);
    default:
      return conflict(quote);
  }
}

function pointerArithmetic(
  op: '+' | '-',
  a: CppValue,
  b: CppValue,
  scope: ExpressionScope,
  quote: () => string,
): CppValue {
  const x = a.scalar as bigint;
  const y = b.scalar as bigint;
  if (a.type.kind === 'pointer' && b.type.kind === 'pointer') {
    if (op === '+') return conflict(quote);
    const difference = BigInt.asIntN(scope.pointerSize * 8, x - y) / step(a.type, scope);
    return rvalue(scope.pointerSize === 8 ? INT64 : INT, difference);
  }
  if (a.type.kind === 'pointer') {
    if (!isInteger(b.type)) return conflict(quote);
    const delta = y * step(a.type, scope);
    return rvalue(a.type, op === '+' ? x + delta : x - delta);
  }
  if (b.type.kind !== 'pointer' || op === '-' || !isInteger(a.type)) return conflict(quote);
  return rvalue(b.type, y + x * step(b.type, scope));
}

/** Explicit cast; always performed (c---numbers-and-operators.md). */
export function castValue(type: TypeRef, value: CppValue, quote: () => string): CppValue {
  if (type.kind === 'struct' || type.kind === 'array') {
    if (value.address !== null) return { type, address: value.address, scalar: null };
    return conflict(quote);
  }
  if (value.scalar === null || type.kind === 'function') return conflict(quote);
  if (isFloat(type) || isFloat(value.type)) return floatCast(type, value) ?? conflict(quote);
  return rvalue(type, value.scalar);
}
