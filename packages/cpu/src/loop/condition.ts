import {
  bitMask,
  constant,
  describeExpression,
  type Environment,
  type Expression,
  evaluate,
  type Load,
  operation,
  sameExpression,
  unknown,
  type Width,
} from './expression.ts';
import { holds, OPPOSITE, RELATION_TEXT, type Relation } from './relation.ts';

export type { Relation } from './relation.ts';

export type Condition =
  | { readonly kind: 'compare'; readonly relation: Relation; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'constant'; readonly value: boolean }
  | { readonly kind: 'unknown'; readonly why: string };

export function negate(c: Condition): Condition {
  if (c.kind === 'constant') return { kind: 'constant', value: !c.value };
  return c.kind === 'unknown' ? c : { ...c, relation: OPPOSITE[c.relation] };
}

/** Builds a comparison in a normal form: tests of bits as `(x & mask) == value`, constants on the right. */
export function compare(relation: Relation, left: Expression, right: Expression): Condition {
  if (left.kind === 'unknown') return { kind: 'unknown', why: left.why };
  if (right.kind === 'unknown') return { kind: 'unknown', why: right.why };
  if (left.kind === 'constant' && right.kind === 'constant')
    return { kind: 'constant', value: holds(relation, left.value, right.value, left.size) };
  if (sameExpression(left, right))
    return { kind: 'constant', value: ['eq', 'uge', 'ule', 'sge', 'sle'].includes(relation) };
  if (left.kind === 'constant') {
    const swapped: Partial<Record<Relation, Relation>> = {
      eq: 'eq',
      ne: 'ne',
      ult: 'ugt',
      ugt: 'ult',
      ule: 'uge',
      uge: 'ule',
      slt: 'sgt',
      sgt: 'slt',
      sle: 'sge',
      sge: 'sle',
    };
    return compare(swapped[relation] ?? relation, right, left);
  }
  if (right.kind === 'constant') {
    const c = right.value;
    const sign = 1n << BigInt(left.size * 8 - 1);
    if (c === 0n && (relation === 'slt' || relation === 'sge'))
      return equality(
        relation === 'slt' ? 'ne' : 'eq',
        operation('and', left, constant(sign, left.size), left.size),
        0n,
      );
    if (c === 0n && relation === 'ult') return { kind: 'constant', value: false };
    if (c === 0n && relation === 'uge') return { kind: 'constant', value: true };
    if (
      (c === 1n && (relation === 'ult' || relation === 'uge')) ||
      (c === 0n && (relation === 'ule' || relation === 'ugt'))
    )
      return equality(relation === 'ult' || relation === 'ule' ? 'eq' : 'ne', left, 0n);
    if (relation === 'eq' || relation === 'ne') return equality(relation, left, c);
  }
  return { kind: 'compare', relation, left, right };
}

function equality(relation: 'eq' | 'ne', left: Expression, value: bigint): Condition {
  const no: Condition = { kind: 'constant', value: relation === 'ne' };
  const plain = (): Condition => ({ kind: 'compare', relation, left, right: constant(value, left.size) });
  if (left.kind === 'constant') return { kind: 'constant', value: (left.value === value) === (relation === 'eq') };
  if (left.kind === 'truth') {
    if (value > 1n) return no;
    return compare(
      (value === 1n) === (relation === 'eq') ? left.relation : OPPOSITE[left.relation],
      left.left,
      left.right,
    );
  }
  if (left.kind !== 'operation') return plain();
  const { operator, left: x, right: y } = left;
  const bits = BigInt(left.size * 8);
  switch (operator) {
    case 'add':
      return y?.kind === 'constant' ? equality(relation, x, BigInt.asUintN(left.size * 8, value - y.value)) : plain();
    case 'sub':
      return value === 0n && y ? compare(relation, x, y) : plain();
    case 'xor':
      if (y?.kind === 'constant') return equality(relation, x, value ^ y.value);
      return value === 0n && y ? compare(relation, x, y) : plain();
    case 'zext':
      return value > bitMask(x.size) ? no : equality(relation, x, value);
    case 'sext':
      if (BigInt.asUintN(left.size * 8, BigInt.asIntN(x.size * 8, value)) !== value) return no;
      return equality(relation, x, BigInt.asUintN(x.size * 8, value));
    case 'trunc':
      return equality(relation, operation('and', x, constant(bitMask(left.size), x.size), x.size), value);
    case 'shr':
      if (y?.kind !== 'constant') return plain();
      if (value << y.value > bitMask(left.size)) return no;
      return equality(
        relation,
        operation('and', x, constant(bitMask(left.size) ^ ((1n << y.value) - 1n), left.size), left.size),
        value << y.value,
      );
    case 'shl':
      if (y?.kind !== 'constant' || y.value >= bits) return plain();
      if (value & ((1n << y.value) - 1n)) return no;
      return equality(
        relation,
        operation('and', x, constant(bitMask(left.size) >> y.value, left.size), left.size),
        value >> y.value,
      );
    case 'and':
      if (y?.kind !== 'constant') return plain();
      if (value & ~y.value) return no;
      // A single tested bit reads best against zero.
      if (value !== 0n && value === y.value && (value & (value - 1n)) === 0n)
        return { kind: 'compare', relation: OPPOSITE[relation], left, right: constant(0n, left.size) };
      return normalizeMasked(relation, left, x, y.value, value);
    default:
      return plain();
  }
}

/** `(wide & mask) == value` where wide is an extension or a sum: moves the mask inside. */
function normalizeMasked(
  relation: 'eq' | 'ne',
  whole: Expression,
  x: Expression,
  mask: bigint,
  value: bigint,
): Condition {
  if (x.kind === 'operation' && x.operator === 'zext' && mask <= bitMask(x.left.size))
    return equality(relation, operation('and', x.left, constant(mask, x.left.size), x.left.size), value);
  if (x.kind === 'operation' && x.operator === 'trunc')
    return equality(relation, operation('and', x.left, constant(mask, x.left.size), x.left.size), value);
  if (x.kind === 'operation' && x.operator === 'shr' && x.right?.kind === 'constant') {
    const by = x.right.value;
    const moved = (mask << by) & bitMask(x.size);
    if (moved >> by === mask)
      return equality(relation, operation('and', x.left, constant(moved, x.size), x.size), value << by);
  }
  return { kind: 'compare', relation, left: whole, right: constant(value, whole.size) };
}

/** A condition as the number 1 or 0: what setcc writes. */
export function truthOf(c: Condition, size: Width): Expression {
  if (c.kind === 'constant') return constant(c.value ? 1n : 0n, size);
  if (c.kind === 'unknown') return unknown(c.why, size);
  return { kind: 'truth', relation: c.relation, left: c.left, right: c.right, size };
}

/** Truth with the given registers and memory, or null when a part of it is not known. */
export function evaluateCondition(c: Condition, environment: Environment): boolean | null {
  if (c.kind === 'constant') return c.value;
  if (c.kind === 'unknown') return null;
  const left = evaluate(c.left, environment);
  const right = evaluate(c.right, environment);
  return left === null || right === null ? null : holds(c.relation, left, right, c.left.size);
}

export function describeCondition(c: Condition, address: (load: Load) => bigint | null): string {
  if (c.kind === 'constant') return c.value ? 'always' : 'never';
  if (c.kind === 'unknown') return `an unknown condition (${c.why})`;
  const left = describeExpression(c.left, address, 'side');
  return `${left} ${RELATION_TEXT[c.relation]} ${describeExpression(c.right, address, 'side')}`;
}

/** The test of one memory cell against a constant: `(cell & mask) relation value`; null when the condition is no such test. */
export interface CellTest {
  readonly cell: Load;
  readonly mask: bigint;
  readonly relation: Relation;
  readonly value: bigint;
}

export function cellTest(c: Condition): CellTest | null {
  if (c.kind !== 'compare' || c.right.kind !== 'constant') return null;
  const { left, relation } = c;
  if (left.kind === 'load') return { cell: left, mask: bitMask(left.size), relation, value: c.right.value };
  if (left.kind !== 'operation') return null;
  if (left.operator === 'and' && left.left.kind === 'load' && left.right?.kind === 'constant')
    return { cell: left.left, mask: left.right.value, relation, value: c.right.value };
  return null;
}

export function sameCondition(a: Condition, b: Condition): boolean {
  if (a.kind === 'constant') return b.kind === 'constant' && a.value === b.value;
  if (a.kind === 'unknown' || b.kind !== 'compare') return false;
  return a.relation === b.relation && sameExpression(a.left, b.left) && sameExpression(a.right, b.right);
}
