import type { Va } from '@dumpscope/core';
import { type Load, sameExpression } from '../expression.ts';
import type { SymbolicState, SymbolicStore } from '../symbolic-state.ts';
import { stepSymbolic } from '../symbolic-step.ts';
import { cellTests, type Shape, type ShapeInput } from './shape.ts';

const FOLLOW = 24;
/** Blocks that are looked at behind one exit. */
const MAX_WAYS = 16;

/**
 * The atomic instruction that takes the cell: on the way through the loop, or in the code that an exit leads to (the
 * test loop of a test-and-test-and-set lock leaves to the atomic instruction of the loop around it).
 */
function atomicOn(input: ShapeInput, load: Load): SymbolicStore | null {
  const matches = (s: SymbolicStore): boolean =>
    s.atomic && s.size === load.size && sameExpression(s.address, load.address);
  for (const path of input.exitPaths) {
    const inside = path.state.stores.find(matches);
    if (inside) return inside;
  }
  for (const path of input.exitPaths) {
    if (path.exit?.to == null) continue;
    const found = atomicBehind(input, path.exit.to, path.state, matches);
    if (found) return found;
  }
  return null;
}

/**
 * Looks behind an exit: straight on, and at branches every way that stays in the loop around this one (the retry of a
 * failed exchange).
 */
function atomicBehind(
  input: ShapeInput,
  start: Va,
  from: SymbolicState,
  matches: (store: SymbolicStore) => boolean,
): SymbolicStore | null {
  const { graph, loop } = input.context;
  const around = new Set(loop.parent?.blocks ?? []);
  const first = graph.blocks.find((b) => b.start === start);
  const work = first ? [{ block: first, state: from.clone(), left: FOLLOW }] : [];
  for (let ways = 0; ways < MAX_WAYS; ways++) {
    const way = work.pop();
    if (!way) return null;
    const { block, state } = way;
    const before = state.stores.length;
    for (const instruction of block.instructions.slice(0, way.left)) stepSymbolic(state, instruction);
    const found = state.stores.slice(before).find(matches);
    if (found) return found;
    const left = way.left - block.instructions.length;
    if (left <= 0) continue;
    const ahead = block.successors.filter((edge) => block.successors.length === 1 || around.has(edge.block));
    for (const edge of ahead) {
      const next = graph.blocks[edge.block];
      if (next) work.push({ block: next, state: state.clone(), left });
    }
  }
  return null;
}

const WRITER = 0x80000000n;
const WAITING = 0x40000000n;
const READERS = 0x3fffffffn;

/** EX_SPIN_LOCK: bit 31 exclusive, bit 30 a waiting writer, the rest readers, taken by an atomic instruction. */
export const exSpinLock: Shape = (input) => {
  const tests = cellTests(input).filter((t) => t.test.cell.size === 4 && t.test.relation === 'eq');
  for (const { test, load } of tests) {
    const same = tests.filter((t) => sameExpression(t.load.address, load.address));
    // One bit alone is a plain bit lock: the high bits must be told from the count.
    const masks = same.reduce((m, t) => m | t.test.mask, 0n);
    const highTest = same.some((t) => (t.test.mask & (WRITER | WAITING)) !== 0n && t.test.mask !== 0xffffffffn);
    if (!highTest) continue;
    const draining = (test.mask & READERS) !== 0n && test.value === WRITER;
    const atomic = atomicOn(input, load);
    if (!atomic && !draining) continue;
    const setsWriter =
      atomic?.value.kind === 'operation' &&
      atomic.value.operator === 'or' &&
      atomic.value.right?.kind === 'constant' &&
      (atomic.value.right.value & WRITER) !== 0n;
    const exclusive = draining || setsWriter || (masks & READERS) !== 0n;
    const { value } = test.cell;
    let waitsFor: 'writer' | 'readers' | 'writer-or-waiting-writer' | null = null;
    if (value !== null) {
      if (exclusive && !draining && value & WRITER) waitsFor = 'writer';
      else if (exclusive && value & READERS) waitsFor = 'readers';
      else if (!exclusive && value & WRITER) waitsFor = 'writer';
      else if (!exclusive && value & WAITING && masks & WAITING) waitsFor = 'writer-or-waiting-writer';
    }
    return {
      kind: 'ex-spin-lock',
      lock: test.cell.address,
      cell: test.cell,
      mode: exclusive ? 'exclusive' : 'shared',
      waitsFor,
      value,
    };
  }
  return null;
};

/** Waits for a word (or its bit 0) to be zero and takes it atomically. */
export const plainLock: Shape = (input) => {
  const tests = cellTests(input).filter((t) => t.test.relation === 'eq' && t.test.value === 0n);
  // The read that covers the whole word describes the wait best; bts's own test of bit 0 comes second.
  tests.sort((a, b) => (a.test.mask < b.test.mask ? 1 : a.test.mask > b.test.mask ? -1 : 0));
  for (const { test, load } of tests) {
    const atomic = atomicOn(input, load);
    if (!atomic) continue;
    const plainRead = cellTests(input).some(
      (t) => sameExpression(t.load.address, load.address) && t.load.at !== atomic.at,
    );
    return {
      kind: 'plain-lock',
      lock: test.cell.address,
      cell: test.cell,
      form: plainRead ? 'test-and-test-and-set' : 'test-and-set',
      atomicAt: atomic.at,
      value: test.cell.value,
    };
  }
  return null;
};
