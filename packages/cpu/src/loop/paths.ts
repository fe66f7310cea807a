import type { Va } from '@dumpscope/core';
import type { Block, FlowGraph } from '../cfg/flow-graph.ts';
import { innerLoopBlocks, type Loop, type LoopExit } from '../cfg/loops.ts';
import { registerPart } from '../execute/state.ts';
import type { Instruction } from '../instruction.ts';
import { type Condition, compare, negate, sameCondition } from './condition.ts';
import { constant, unknown } from './expression.ts';
import { SymbolicState } from './symbolic-state.ts';
import { stepSymbolic } from './symbolic-step.ts';

export interface PathCondition {
  /** The branch that decides it. */
  readonly at: Va;
  readonly condition: Condition;
}

/** One way through an iteration: from the header to an exit or back to the header. */
export interface Path {
  readonly exit: LoopExit | null;
  readonly conditions: readonly PathCondition[];
  readonly state: SymbolicState;
}

export interface Paths {
  readonly exits: readonly Path[];
  readonly backs: readonly Path[];
  /** False when there were too many ways, so that some are missing. */
  readonly complete: boolean;
}

// Volatile registers of both architectures' calling conventions.
const CALL_WRITES = ['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11', 'eax', 'ecx', 'edx'];
const MAX_PATHS = 128;
const MAX_BLOCKS = 8_000;
/** More conditions than these on one way say nothing that a reader could use. */
const MAX_CONDITIONS = 64;
/** More ways to one exit are listed as they are. */
const MAX_MERGED = 32;

/** The truth of a conditional branch being taken, in the state before it (`loop` has already counted down). */
function branchCondition(state: SymbolicState, instruction: Instruction): Condition {
  const zero = constant(0n, state.width);
  switch (instruction.condition) {
    case 'cxz':
      return compare('eq', state.register(state.full(1)), zero);
    case 'loop':
      return compare('ne', state.register(state.full(1)), zero);
    case 'loope':
    case 'loopne':
    case null:
      return { kind: 'unknown', why: `the outcome of ${instruction.mnemonic}` };
    default:
      return state.test(instruction.condition);
  }
}

/** Follows every way through the loop's body once, and through each inner loop by its last turn. */
export function loopPaths(graph: FlowGraph, loop: Loop): Paths {
  const header = graph.blocks.find((b) => b.start === loop.header);
  const result = { exits: [] as Path[], backs: [] as Path[], complete: true };
  if (!header || graph.arch === 'arm64') return { ...result, complete: false };
  const members = new Set(loop.blocks);
  const { loopOf, nested } = innerLoopBlocks(graph, loop);
  const innerWrites = new Set<string>();
  for (const index of loopOf.keys())
    for (const i of graph.blocks[index]?.instructions ?? []) {
      for (const name of i.writes) innerWrites.add(name);
      if (i.flow === 'call' || i.flow === 'indirect-call') for (const r of CALL_WRITES) innerWrites.add(r);
    }

  interface Work {
    readonly block: Block;
    readonly state: SymbolicState;
    readonly conditions: readonly PathCondition[];
    readonly seen: ReadonlySet<number>;
    /** Number of the inner loop that the way comes from. */
    readonly from: number | undefined;
  }
  const work: Work[] = [
    {
      block: header,
      state: new SymbolicState(graph.arch === 'x64'),
      conditions: [],
      seen: new Set([header.index]),
      from: undefined,
    },
  ];
  let visited = 0;
  for (let item = work.pop(); item; item = work.pop()) {
    if (++visited > MAX_BLOCKS || result.exits.length + result.backs.length >= MAX_PATHS) {
      result.complete = false;
      break;
    }
    const { block, state } = item;
    // One turn of an inner loop, the last: what its turns write is unknown where it begins, and known again behind that.
    const inside = loopOf.get(block.index);
    if (inside !== undefined && (inside !== item.from || nested.has(block.index))) {
      for (const name of innerWrites)
        if (registerPart(name)) state.setRegister(name, unknown('an inner loop', state.width));
      state.forgetFlags('an inner loop');
    }
    for (const instruction of block.instructions) stepSymbolic(state, instruction);
    const last = block.instructions.at(-1);
    if (!last) continue;
    const taken = last.flow === 'conditional' ? branchCondition(state, last) : null;
    const along = (edge: 'next' | 'taken' | 'jump'): readonly PathCondition[] | null => {
      if (taken === null) return item.conditions;
      const condition = edge === 'taken' ? taken : negate(taken);
      if (condition.kind === 'constant') return condition.value ? item.conditions : null;
      // The same test twice on one way decides nothing new; its opposite cannot happen.
      if (item.conditions.some((c) => sameCondition(c.condition, condition) && !readsMemory(condition)))
        return item.conditions;
      if (item.conditions.some((c) => sameCondition(c.condition, negate(condition)) && !readsMemory(condition)))
        return null;
      if (item.conditions.length >= MAX_CONDITIONS) {
        result.complete = false;
        return null;
      }
      return [...item.conditions, { at: last.address, condition }];
    };
    for (const leave of block.leaves) {
      const conditions = along(leave.edge);
      if (conditions === null) continue;
      const exit: LoopExit = { from: leave.from, to: leave.to, kind: leave.kind, edge: leave.edge };
      result.exits.push({ exit, conditions, state });
    }
    for (const edge of block.successors) {
      const conditions = along(edge.kind);
      const to = graph.blocks[edge.block];
      if (conditions === null || !to) continue;
      if (!members.has(edge.block))
        result.exits.push({
          exit: { from: last.address, to: to.start, kind: 'branch', edge: edge.kind },
          conditions,
          state,
        });
      else if (to === header) result.backs.push({ exit: null, conditions, state });
      else if (!item.seen.has(edge.block))
        work.push({
          block: to,
          state: state.clone(),
          conditions,
          seen: new Set([...item.seen, edge.block]),
          from: inside,
        });
    }
  }
  return result;
}

/** Another processor may write between two reads of one cell, so equal tests of memory are two tests. */
function readsMemory(c: Condition): boolean {
  if (c.kind !== 'compare') return false;
  let reads = false;
  const look = (e: typeof c.left): void => {
    if (e.kind === 'load') reads = true;
    else if (e.kind === 'operation' || e.kind === 'truth') {
      look(e.left);
      if (e.right) look(e.right);
    }
  };
  look(c.left);
  look(c.right);
  return reads;
}

/**
 * The ways to one exit as alternatives of conditions that must hold together. Two ways that differ in one branch only,
 * once taken and once not, are one way: that branch does not decide the exit.
 */
export function alternatives(paths: readonly Path[]): PathCondition[][] {
  let sets = paths.map((p) => [...p.conditions]);
  if (sets.length > MAX_MERGED) return sets;
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 0; i < sets.length && !changed; i++)
      for (let j = i + 1; j < sets.length && !changed; j++) {
        const a = sets[i] ?? [];
        const b = sets[j] ?? [];
        const merged = merge(a, b);
        if (!merged) continue;
        sets = [...sets.slice(0, i), merged, ...sets.slice(i + 1, j), ...sets.slice(j + 1)];
        changed = true;
      }
  }
  return sets;
}

function merge(a: readonly PathCondition[], b: readonly PathCondition[]): PathCondition[] | null {
  const onlyA = a.filter((x) => !b.some((y) => y.at === x.at && same(x, y)));
  const onlyB = b.filter((x) => !a.some((y) => y.at === x.at && same(x, y)));
  if (onlyA.length === 0) return [...a];
  if (onlyB.length === 0) return [...b];
  const [x] = onlyA;
  const [y] = onlyB;
  if (onlyA.length !== 1 || onlyB.length !== 1 || !x || !y || x.at !== y.at) return null;
  const opposite =
    sameCondition(x.condition, negate(y.condition)) ||
    (x.condition.kind === 'unknown' && y.condition.kind === 'unknown');
  return opposite ? a.filter((c) => c !== x) : null;
}

function same(x: PathCondition, y: PathCondition): boolean {
  // An unknown condition and its negation look alike, so they never count as the same.
  return sameCondition(x.condition, y.condition);
}
