import type { Va } from '@dumpscope/core';
import { registerPart } from '../execute/state.ts';
import type { Register } from '../instruction.ts';
import { holds, RELATION_TEXT, type Relation } from './relation.ts';

export type Width = 1 | 2 | 4 | 8;
export type Operator = 'add' | 'sub' | 'and' | 'or' | 'xor' | 'mul' | 'shl' | 'shr' | 'sar' | 'zext' | 'sext' | 'trunc';

/** A value inside one iteration, in terms of registers and memory as they are when the iteration begins. */
export type Expression =
  | { readonly kind: 'constant'; readonly value: bigint; readonly size: Width }
  /** A full register (or `fs_base`, `gs_base`) at the loop's header. */
  | { readonly kind: 'register'; readonly name: Register; readonly size: Width }
  | {
      readonly kind: 'load';
      readonly address: Expression;
      readonly size: Width;
      readonly at: Va;
      /** Stores before it on the same way that may go to the same place; none when absent. */
      readonly after?: readonly { readonly address: Expression; readonly size: number }[];
    }
  | {
      readonly kind: 'operation';
      readonly operator: Operator;
      readonly left: Expression;
      /** Null for the one-operand zext, sext and trunc. */
      readonly right: Expression | null;
      readonly size: Width;
    }
  /** 1 where the comparison holds, else 0. */
  | {
      readonly kind: 'truth';
      readonly relation: Relation;
      readonly left: Expression;
      readonly right: Expression;
      readonly size: Width;
    }
  | { readonly kind: 'unknown'; readonly why: string; readonly size: Width };

export type Load = Extract<Expression, { kind: 'load' }>;

/** Deeper trees are cut: hostile code can double an expression with every instruction. */
const MAX_NODES = 64;

export function constant(value: bigint, size: Width): Expression {
  return { kind: 'constant', value: BigInt.asUintN(size * 8, value), size };
}

export function unknown(why: string, size: Width): Expression {
  return { kind: 'unknown', why, size };
}

export function bitMask(size: Width): bigint {
  return (1n << BigInt(size * 8)) - 1n;
}

function countNodes(e: Expression, limit: number): number {
  if (limit <= 0) return 1;
  if (e.kind === 'load') return 1 + countNodes(e.address, limit - 1);
  if (e.kind !== 'operation' && e.kind !== 'truth') return 1;
  const left = countNodes(e.left, limit - 1);
  return 1 + left + (e.right ? countNodes(e.right, limit - 1 - left) : 0);
}

/** Structural equality; unknowns are never equal. */
export function sameExpression(a: Expression, b: Expression): boolean {
  if (a === b) return a.kind !== 'unknown';
  if (a.size !== b.size) return false;
  if (a.kind === 'constant') return b.kind === 'constant' && a.value === b.value;
  if (a.kind === 'register') return b.kind === 'register' && a.name === b.name;
  if (a.kind === 'load') return b.kind === 'load' && a.after === b.after && sameExpression(a.address, b.address);
  if (a.kind === 'operation') {
    if (b.kind !== 'operation' || a.operator !== b.operator || !sameExpression(a.left, b.left)) return false;
    if (a.right === null || b.right === null) return a.right === b.right;
    return sameExpression(a.right, b.right);
  }
  if (a.kind === 'truth')
    return (
      b.kind === 'truth' &&
      a.relation === b.relation &&
      sameExpression(a.left, b.left) &&
      sameExpression(a.right, b.right)
    );
  return false;
}

function fold(operator: Operator, a: bigint, b: bigint, from: Width, size: Width): bigint | null {
  switch (operator) {
    case 'add':
      return a + b;
    case 'sub':
      return a - b;
    case 'and':
      return a & b;
    case 'or':
      return a | b;
    case 'xor':
      return a ^ b;
    case 'mul':
      return a * b;
    case 'shl':
      return b >= 64n ? 0n : a << b;
    case 'shr':
      return a >> b;
    case 'sar':
      return BigInt.asIntN(size * 8, a) >> b;
    case 'zext':
    case 'trunc':
      return a;
    case 'sext':
      return BigInt.asIntN(from * 8, a);
  }
}

/** Builds an operation and simplifies it. */
export function operation(operator: Operator, left: Expression, right: Expression | null, size: Width): Expression {
  if (left.kind === 'unknown') return { ...left, size };
  if (right?.kind === 'unknown') return { ...right, size };
  if (left.kind === 'constant' && (right === null || right.kind === 'constant')) {
    const value = fold(operator, left.value, right?.value ?? 0n, left.size, size);
    if (value !== null) return constant(value, size);
  }
  const simple = simplify(operator, left, right, size);
  if (simple) return simple;
  const made: Expression = { kind: 'operation', operator, left, right, size };
  return countNodes(made, MAX_NODES) >= MAX_NODES ? unknown('too long an expression', size) : made;
}

function simplify(operator: Operator, left: Expression, right: Expression | null, size: Width): Expression | null {
  if (operator === 'zext' || operator === 'sext' || operator === 'trunc') return convert(operator, left, size);
  if (right === null) return null;
  if (left.kind === 'constant' && right.kind !== 'constant') {
    if (operator === 'add' || operator === 'and' || operator === 'or' || operator === 'xor' || operator === 'mul')
      return operation(operator, right, left, size);
  }
  if ((operator === 'xor' || operator === 'sub') && sameExpression(left, right)) return constant(0n, size);
  if ((operator === 'and' || operator === 'or') && sameExpression(left, right)) return left;
  if (right.kind !== 'constant') return null;
  const c = right.value;
  const all = bitMask(size);
  if (operator === 'sub') return operation('add', left, constant(-c, size), size);
  if (c === 0n) return operator === 'and' || operator === 'mul' ? constant(0n, size) : left;
  if (operator === 'and' && c === all) return left;
  if (operator === 'or' && c === all) return constant(all, size);
  if (operator === 'mul' && c === 1n) return left;
  if (left.kind === 'operation' && left.operator === operator && left.right?.kind === 'constant') {
    // (x + 1) + 2, (x & 3) & 1, …
    const inner = left.right.value;
    if (operator === 'add') return operation('add', left.left, constant(inner + c, size), size);
    if (operator === 'and') return operation('and', left.left, constant(inner & c, size), size);
    if (operator === 'or') return operation('or', left.left, constant(inner | c, size), size);
    if (operator === 'xor') return operation('xor', left.left, constant(inner ^ c, size), size);
  }
  if (
    operator === 'and' &&
    left.kind === 'operation' &&
    left.operator === 'zext' &&
    c < 1n << BigInt(left.left.size * 8)
  ) {
    return operation('zext', operation('and', left.left, constant(c, left.left.size), left.left.size), null, size);
  }
  return null;
}

function convert(operator: 'zext' | 'sext' | 'trunc', from: Expression, size: Width): Expression | null {
  if (from.size === size) return from;
  if (from.kind === 'truth' && operator !== 'sext') return { ...from, size };
  if (from.kind !== 'operation') return null;
  const { operator: inner, left, right } = from;
  if (operator === 'trunc') {
    if (inner === 'zext' || inner === 'sext') {
      if (left.size === size) return left;
      return left.size > size ? operation('trunc', left, null, size) : operation(inner, left, null, size);
    }
    if (inner === 'trunc') return operation('trunc', left, null, size);
    // Low bits of these depend on low bits only.
    const low =
      inner === 'add' || inner === 'sub' || inner === 'and' || inner === 'or' || inner === 'xor' || inner === 'mul';
    if (low && right)
      return operation(inner, operation('trunc', left, null, size), operation('trunc', right, null, size), size);
  }
  if (operator === 'zext' && inner === 'zext') return operation('zext', left, null, size);
  return null;
}

/** Splits `x + c` into x and c (signed). */
export function splitOffset(e: Expression): { base: Expression | null; offset: bigint } {
  const bits = e.size * 8;
  if (e.kind === 'constant') return { base: null, offset: e.value };
  if (e.kind === 'operation' && e.operator === 'add' && e.right?.kind === 'constant')
    return { base: e.left, offset: BigInt.asIntN(bits, e.right.value) };
  return { base: e, offset: 0n };
}

/** Calls `visit` for every node, loads inside addresses included. */
export function walk(e: Expression, visit: (node: Expression) => void): void {
  visit(e);
  if (e.kind === 'load') walk(e.address, visit);
  else if (e.kind === 'operation' || e.kind === 'truth') {
    walk(e.left, visit);
    if (e.right) walk(e.right, visit);
  }
}

export function registersOf(e: Expression): Register[] {
  const names = new Set<Register>();
  walk(e, (n) => {
    if (n.kind === 'register') names.add(n.name);
  });
  return [...names];
}

export function loadsOf(e: Expression): Load[] {
  const loads: Load[] = [];
  walk(e, (n) => {
    if (n.kind === 'load') loads.push(n);
  });
  return loads;
}

export function isKnown(e: Expression): boolean {
  let known = true;
  walk(e, (n) => {
    if (n.kind === 'unknown') known = false;
  });
  return known;
}

/** Where values for {@link evaluate} come from; null is unknown. */
export interface Environment {
  register(name: Register): bigint | null;
  memory(address: bigint, size: number): bigint | null;
}

/** The value of an expression, or null when a part of it is not known. */
export function evaluate(e: Expression, environment: Environment): bigint | null {
  // Expressions share their parts, and loads refer to the stores before them: without a memo that is exponential.
  return memoized(e, environment, new Map());
}

function memoized(e: Expression, environment: Environment, memo: Map<Expression, bigint | null>): bigint | null {
  const old = memo.get(e);
  if (old !== undefined) return old;
  const value = compute(e, environment, memo);
  memo.set(e, value);
  return value;
}

function compute(e: Expression, environment: Environment, memo: Map<Expression, bigint | null>): bigint | null {
  switch (e.kind) {
    case 'constant':
      return e.value;
    case 'register': {
      const value = environment.register(e.name);
      return value === null ? null : BigInt.asUintN(e.size * 8, value);
    }
    case 'unknown':
      return null;
    case 'load': {
      const address = memoized(e.address, environment, memo);
      if (address === null) return null;
      for (const store of e.after ?? []) {
        const to = memoized(store.address, environment, memo);
        if (to === null || (to < address + BigInt(e.size) && address < to + BigInt(store.size))) return null;
      }
      return environment.memory(address, e.size);
    }
    case 'truth': {
      const left = memoized(e.left, environment, memo);
      const right = memoized(e.right, environment, memo);
      if (left === null || right === null) return null;
      return holds(e.relation, left, right, e.left.size) ? 1n : 0n;
    }
    case 'operation': {
      const left = memoized(e.left, environment, memo);
      if (left === null) return null;
      const right = e.right ? memoized(e.right, environment, memo) : 0n;
      if (right === null) return null;
      const value = fold(e.operator, left, right, e.left.size, e.size);
      return value === null ? null : BigInt.asUintN(e.size * 8, value);
    }
  }
}

const SYMBOLS: Readonly<Record<Operator, string>> = {
  add: '+',
  sub: '-',
  and: '&',
  or: '|',
  xor: '^',
  mul: '*',
  shl: '<<',
  shr: '>>',
  sar: '>>',
  zext: '',
  sext: '',
  trunc: '',
};

/** `r13d` for the low four bytes of r13. */
function partName(name: Register, size: Width): Register | null {
  const index = registerPart(name)?.index;
  if (index === undefined) return null;
  const legacy = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'][index];
  if (legacy === undefined) return `r${index}${size === 4 ? 'd' : size === 2 ? 'w' : 'b'}`;
  if (size === 1) return index < 4 ? `${legacy[0]}l` : `${legacy}l`;
  return size === 4 ? `e${legacy}` : legacy;
}

/**
 * Readable text; `address` may give the number of a cell's address, else its expression is printed: `[rax+4]`. `place`
 * says what surrounds it: a side of a comparison and an operand get parentheses where they need them.
 */
export function describeExpression(
  e: Expression,
  address: (load: Load) => bigint | null,
  place: 'whole' | 'side' | 'operand' = 'whole',
): string {
  switch (e.kind) {
    case 'constant':
      return e.value.toString(16);
    case 'register':
      return e.name;
    case 'unknown':
      return '?';
    case 'load': {
      const where = address(e);
      return `[${where === null ? describeExpression(e.address, address) : where.toString(16)}]`;
    }
    case 'truth':
      return `(${describeExpression(e.left, address, 'side')} ${RELATION_TEXT[e.relation]} ${describeExpression(e.right, address, 'side')})`;
    case 'operation': {
      if (e.right === null) {
        if (e.operator === 'trunc') {
          const name = e.left.kind === 'register' ? partName(e.left.name, e.size) : null;
          return name ?? `(${describeExpression(e.left, address, 'operand')} & ${bitMask(e.size).toString(16)})`;
        }
        const inner = describeExpression(e.left, address, e.operator === 'sext' ? 'operand' : place);
        return e.operator === 'sext' ? `signed ${inner}` : inner;
      }
      const left = describeExpression(e.left, address, 'operand');
      if (e.operator === 'add' && e.right.kind === 'constant') {
        const offset = BigInt.asIntN(e.size * 8, e.right.value);
        const sum = `${left}${offset < 0n ? '-' : '+'}${(offset < 0n ? -offset : offset).toString(16)}`;
        return place === 'operand' ? `(${sum})` : sum;
      }
      const text = `${left} ${SYMBOLS[e.operator]} ${describeExpression(e.right, address, 'operand')}`;
      return place === 'whole' ? text : `(${text})`;
    }
  }
}
