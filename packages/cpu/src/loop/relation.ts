import type { Width } from './expression.ts';

/** Unsigned comparisons carry a u, signed ones an s. */
export type Relation = 'eq' | 'ne' | 'ult' | 'uge' | 'ule' | 'ugt' | 'slt' | 'sge' | 'sle' | 'sgt';

export const OPPOSITE: Readonly<Record<Relation, Relation>> = {
  eq: 'ne',
  ne: 'eq',
  ult: 'uge',
  uge: 'ult',
  ule: 'ugt',
  ugt: 'ule',
  slt: 'sge',
  sge: 'slt',
  sle: 'sgt',
  sgt: 'sle',
};

export function holds(relation: Relation, a: bigint, b: bigint, size: Width): boolean {
  const x = BigInt.asIntN(size * 8, a);
  const y = BigInt.asIntN(size * 8, b);
  switch (relation) {
    case 'eq':
      return a === b;
    case 'ne':
      return a !== b;
    case 'ult':
      return a < b;
    case 'uge':
      return a >= b;
    case 'ule':
      return a <= b;
    case 'ugt':
      return a > b;
    case 'slt':
      return x < y;
    case 'sge':
      return x >= y;
    case 'sle':
      return x <= y;
    case 'sgt':
      return x > y;
  }
}

export const RELATION_TEXT: Readonly<Record<Relation, string>> = {
  eq: '==',
  ne: '!=',
  ult: '<',
  uge: '>=',
  ule: '<=',
  ugt: '>',
  slt: '< (signed)',
  sge: '>= (signed)',
  sle: '<= (signed)',
  sgt: '> (signed)',
};
