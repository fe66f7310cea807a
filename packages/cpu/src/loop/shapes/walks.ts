import { bitMask, type Expression, loadsOf, registersOf, splitOffset, type Width } from '../expression.ts';
import { cellTests, type Shape, type ShapeInput } from './shape.ts';

/** Two cells in memory that must become equal, one of which the loop moves. */
export const ring: Shape = (input) => {
  for (const exit of input.exits)
    for (const conditions of exit.alternatives)
      for (const { condition } of conditions) {
        if (condition.kind !== 'compare' || condition.relation !== 'eq') continue;
        const left = loadsOf(condition.left);
        const right = loadsOf(condition.right);
        const [a] = left;
        const [b] = right;
        if (left.length !== 1 || right.length !== 1 || !a || !b) continue;
        const cells = [input.context.cellOf(a), input.context.cellOf(b)] as const;
        const moves = cells.map((cell) =>
          input.stores.some((s) => !s.atomic && s.address !== null && s.address === cell.address),
        );
        if (moves[0] === moves[1]) continue;
        return { kind: 'ring', moved: moves[0] ? cells[0] : cells[1], other: moves[0] ? cells[1] : cells[0] };
      }
  return null;
};

/** A register that becomes what it points to. */
export const listWalk: Shape = (input) => {
  for (const { register, expressions } of input.carried) {
    for (const e of expressions) {
      if (e.kind !== 'load') continue;
      const { base, offset } = splitOffset(e.address);
      if (base?.kind !== 'register' || base.name !== register) continue;
      const about = input.exits.flatMap((x) =>
        x.alternatives.flatMap((conditions) =>
          conditions
            .filter((c) => c.carried.includes(register))
            .map((c) => ({ text: c.text, loads: conditionLoads(c) })),
        ),
      );
      if (about.length === 0) continue;
      const isLink = (load: Expression): boolean => load.kind === 'load' && sameAddress(load.address, e.address);
      const ends = about.filter((c) => c.loads.every(isLink));
      const keyed = about.some((c) => !c.loads.every(isLink));
      return {
        kind: 'list-walk',
        register,
        linkOffset: offset,
        end: (ends[0] ?? about[0])?.text ?? '',
        keyed,
      };
    }
  }
  return null;
};

function sameAddress(a: Expression, b: Expression): boolean {
  const x = splitOffset(a);
  const y = splitOffset(b);
  return (
    x.offset === y.offset && x.base?.kind === 'register' && y.base?.kind === 'register' && x.base.name === y.base.name
  );
}

function conditionLoads(c: {
  condition: ShapeInput['exits'][number]['alternatives'][number][number]['condition'];
}): Expression[] {
  return c.condition.kind === 'compare' ? [...loadsOf(c.condition.left), ...loadsOf(c.condition.right)] : [];
}

/** The smallest n > 0 (or ≥ 0) with start + n * step == goal in `size` bytes; null when there is none. */
function turnsUntil(start: bigint, step: bigint, goal: bigint, size: Width): bigint | null {
  const modulus = bitMask(size) + 1n;
  const distance = BigInt.asUintN(size * 8, goal - start);
  let by = BigInt.asUintN(size * 8, step);
  if (by === 0n) return distance === 0n ? 0n : null;
  // Divide out the power of two that step and modulus share.
  let shared = 0n;
  while (((by >> shared) & 1n) === 0n) shared++;
  if (distance & ((1n << shared) - 1n)) return null;
  by >>= shared;
  const ring = modulus >> shared;
  let inverse = 1n;
  for (let i = 0; i < 7; i++) inverse = (inverse * (2n - by * inverse)) & (ring - 1n);
  return ((distance >> shared) * inverse) & (ring - 1n);
}

/** A register that moves by a constant towards a bound that stays. */
export const counter: Shape = (input) => {
  if (cellTests(input).length > 0) return null;
  for (const { register, expressions, captured } of input.carried) {
    const [e] = expressions;
    if (expressions.length !== 1 || !e || e.kind === 'load') continue;
    const plain = e.kind === 'operation' && e.operator === 'zext' ? e.left : e;
    const { base, offset } = splitOffset(plain);
    if (base === null || registersOf(base).join() !== register || loadsOf(base).length) continue;
    if (offset === 0n) continue;
    for (const exit of input.exits)
      for (const conditions of exit.alternatives)
        for (const c of conditions) {
          if (!c.carried.includes(register) || c.condition.kind !== 'compare') continue;
          const { left, right, relation } = c.condition;
          if (registersOf(right).some((r) => !input.context.isInvariant(r))) continue;
          let remaining: bigint | null = null;
          const goal = right.kind === 'constant' ? right.value : null;
          const side = splitOffset(left);
          if (relation === 'eq' && goal !== null && captured !== null && side.base !== null) {
            const from = BigInt.asUintN(left.size * 8, captured + side.offset);
            remaining = turnsUntil(from, offset, goal, left.size);
          }
          return { kind: 'counter', register, step: offset, until: c.text, remaining };
        }
  }
  return null;
};

/** Reads the time-stamp counter and waits for nothing in memory. */
export const timeWait: Shape = (input) => {
  if (input.waits.length > 0) return null;
  const read = input.context.loop.instructions.find((i) => i.mnemonic === 'rdtsc' || i.mnemonic === 'rdtscp');
  return read ? { kind: 'time-wait', at: read.address } : null;
};

/** Waits for a cell that it does not take itself; a cell that is not in the dump may be a device's. */
export const memoryWait: Shape = (input) => {
  const tests = cellTests(input).filter((t) => t.test.cell.kind === 'invariant' || t.test.cell.kind === 'indirect');
  const best = tests.find((t) => t.condition.holds !== true) ?? tests[0];
  if (!best) return null;
  const { cell } = best.test;
  const until = best.condition.text;
  return cell.value === null ? { kind: 'poll', cell, until } : { kind: 'memory-wait', cell, until };
};
