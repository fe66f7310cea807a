import { type Va, va } from '@dumpscope/core';
import type { FlowGraph } from '../cfg/flow-graph.ts';
import type { Loop, LoopExit } from '../cfg/loops.ts';
import type { Program } from '../execute/program.ts';
import { type RunOptions, type RunResult, run } from '../execute/run.ts';
import { type CpuState, type MemoryPort, registerPart } from '../execute/state.ts';
import type { MemoryOperand, Register } from '../instruction.ts';
import type {
  CarriedRegister,
  ExitAnalysis,
  ExitCondition,
  LoopAnalysis,
  LoopCell,
  LoopStore,
  WaitCell,
} from './analysis.ts';
import { classify } from './classify.ts';
import { type Condition, cellTest, compare, describeCondition, evaluateCondition } from './condition.ts';
import {
  constant,
  describeExpression,
  type Environment,
  type Expression,
  evaluate,
  isKnown,
  type Load,
  loadsOf,
  operation,
  registersOf,
  sameExpression,
  splitOffset,
} from './expression.ts';
import { alternatives, loopPaths, type Path, type PathCondition } from './paths.ts';
import { relevanceOf } from './relevance.ts';
import type { SymbolicStore } from './symbolic-state.ts';
import { flagWitness } from './witness.ts';

export interface AnalyzeOptions {
  readonly maxSteps?: number;
  /** Calls inside the loop that are assumed to change nothing that decides (see {@link RunOptions.skipCall}). */
  readonly skipCall?: (target: Va | null) => boolean;
}

export interface LoopContext {
  readonly graph: FlowGraph;
  readonly loop: Loop;
  readonly state: CpuState;
  readonly memory: MemoryPort;
  /** Registers that no instruction of the loop writes: the captured value is the value of every turn. */
  readonly isInvariant: (register: Register) => boolean;
  readonly environment: Environment;
  readonly cellOf: (load: Load) => LoopCell;
  readonly describe: (e: Expression) => string;
}

const VOLATILE = new Set(['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11', 'eax', 'ecx', 'edx']);

function contextOf(graph: FlowGraph, loop: Loop, state: CpuState, memory: MemoryPort): LoopContext {
  const written = new Set<Register>();
  let calls = false;
  for (const i of loop.instructions) {
    const isCall = i.flow === 'call' || i.flow === 'indirect-call';
    if (isCall) calls = true;
    // A call brings the stack pointer back.
    for (const name of i.writes) if (!isCall || (name !== 'rsp' && name !== 'esp')) written.add(name);
  }
  if (calls) for (const name of VOLATILE) written.add(name);
  const isInvariant = (register: Register): boolean => !written.has(register);
  const atHeader = state.pc === loop.header;
  const environment: Environment = {
    register(name) {
      if (name === 'fs_base') return state.fsBase ?? null;
      if (name === 'gs_base') return state.gsBase ?? null;
      return atHeader || isInvariant(name) ? (state.registers.get(name) ?? null) : null;
    },
    memory: (address, size) => memory.read(address, size),
  };
  const cells = new Map<Load, LoopCell>();
  const cellOf = (load: Load): LoopCell => {
    const old = cells.get(load);
    if (old) return old;
    const { base, offset } = splitOffset(load.address);
    const names = registersOf(load.address);
    const nested = loadsOf(load.address).length > 0;
    const known = isKnown(load.address);
    const kind = !known
      ? 'unknown'
      : names.some((n) => !isInvariant(n))
        ? 'carried'
        : nested
          ? 'indirect'
          : 'invariant';
    const address = kind === 'carried' || kind === 'unknown' ? null : evaluate(load.address, environment);
    const cell: LoopCell = {
      address: address === null ? null : va(address),
      size: load.size,
      expression: describeExpression(load.address, () => null),
      base:
        base?.kind === 'register'
          ? { register: base.name, value: environment.register(base.name), displacement: offset }
          : null,
      kind,
      value: address === null ? null : memory.read(address, load.size),
    };
    cells.set(load, cell);
    return cell;
  };
  const describe = (e: Expression): string => describeExpression(e, (load) => cellOf(load).address);
  return { graph, loop, state, memory, isInvariant, environment, cellOf, describe };
}

function conditionOf(context: LoopContext, { at, condition }: PathCondition): ExitCondition {
  const { cellOf, isInvariant, environment } = context;
  const sides = condition.kind === 'compare' ? [condition.left, condition.right] : [];
  const names = new Set(sides.flatMap(registersOf));
  const test = cellTest(settled(condition, environment));
  return {
    at,
    condition,
    text: describeCondition(condition, (load) => cellOf(load).address),
    holds: evaluateCondition(condition, environment),
    test: test && { cell: cellOf(test.cell), mask: test.mask, relation: test.relation, value: test.value },
    cells: sides.flatMap(loadsOf).map(cellOf),
    invariant: [...names].filter(isInvariant),
    carried: [...names].filter((n) => !isInvariant(n)),
  };
}

/**
 * The condition with what does not read memory replaced by its value: `[rcx] == rdx` tests a cell too, and so does
 * `([rcx] & eax) == 80000000`.
 */
function settled(condition: Condition, environment: Environment): Condition {
  if (condition.kind !== 'compare') return condition;
  const { relation, right } = condition;
  const left = knownMask(condition.left, environment);
  if (right.kind === 'constant') return left === condition.left ? condition : compare(relation, left, right);
  const [tested, other] = loadsOf(left).length ? [left, right] : [right, left];
  if (loadsOf(other).length || (tested === right && relation !== 'eq' && relation !== 'ne')) return condition;
  const value = evaluate(other, environment);
  return value === null ? condition : compare(relation, tested, constant(value, tested.size));
}

function knownMask(e: Expression, environment: Environment): Expression {
  if (e.kind !== 'operation' || e.operator !== 'and' || e.right === null || e.right.kind === 'constant') return e;
  const [read, mask] = loadsOf(e.left).length > 0 ? [e.left, e.right] : [e.right, e.left];
  const value = loadsOf(mask).length > 0 ? null : evaluate(mask, environment);
  return value === null ? e : operation('and', read, constant(value, e.size), e.size);
}

function conjunction(conditions: readonly ExitCondition[]): boolean | null {
  if (conditions.some((c) => c.holds === false)) return false;
  return conditions.every((c) => c.holds === true) ? true : null;
}

function exitKey(e: LoopExit): string {
  return `${e.from} ${e.to} ${e.edge} ${e.kind}`;
}

function analyzeExits(context: LoopContext, paths: readonly Path[], complete: boolean): ExitAnalysis[] {
  const byExit = new Map<string, Path[]>();
  for (const path of paths)
    if (path.exit) byExit.set(exitKey(path.exit), [...(byExit.get(exitKey(path.exit)) ?? []), path]);
  return context.loop.exits.map((exit) => {
    const ways = byExit.get(exitKey(exit)) ?? [];
    const options = alternatives(ways).map((set) => set.map((c) => conditionOf(context, c)));
    const truths = options.map(conjunction);
    const taken = truths.includes(true) ? true : truths.every((t) => t === false) && complete ? false : null;
    const texts = options.map((o) => (o.length ? o.map((c) => c.text).join(' and ') : 'always'));
    const text = ways.length
      ? `leaves when ${texts.join(', or when ')}`
      : complete
        ? 'no way through the loop leads here'
        : 'the ways here were not followed';
    return { exit, alternatives: options, taken, text };
  });
}

function analyzeStores(context: LoopContext, paths: readonly Path[], cells: readonly Load[]): LoopStore[] {
  const byPlace = new Map<bigint, SymbolicStore>();
  for (const path of paths) for (const store of path.state.stores) byPlace.set(store.at, store);
  return [...byPlace.values()].map((store) => {
    const fixed = isKnown(store.address) && registersOf(store.address).every(context.isInvariant);
    const address = fixed ? evaluate(store.address, context.environment) : null;
    let reaches: LoopStore['reaches'] = 'no';
    for (const load of cells) {
      const verdict = alias(context, store, address, load);
      if (verdict === 'must') reaches = 'must';
      else if (verdict === 'may' && reaches === 'no') reaches = 'may';
    }
    return {
      at: store.at,
      expression: context.describe(store.address),
      address: address === null ? null : va(address),
      size: store.size,
      atomic: store.atomic,
      reaches,
      value: isKnown(store.value) ? context.describe(store.value) : null,
    };
  });
}

function alias(context: LoopContext, store: SymbolicStore, address: bigint | null, load: Load): LoopStore['reaches'] {
  const cell = context.cellOf(load);
  if (address !== null && cell.address !== null) {
    const apart = address + BigInt(store.size) <= cell.address || cell.address + BigInt(cell.size) <= address;
    return apart ? 'no' : 'must';
  }
  const a = splitOffset(store.address);
  const b = splitOffset(load.address);
  const same = a.base === null ? b.base === null : b.base !== null && sameExpression(a.base, b.base);
  if (!same) return 'may';
  return a.offset + BigInt(store.size) <= b.offset || b.offset + BigInt(load.size) <= a.offset ? 'no' : 'must';
}

function analyzeCarried(context: LoopContext, backs: readonly Path[]): CarriedRegister[] {
  const names = new Set<Register>();
  for (const i of context.loop.instructions) for (const name of i.writes) if (registerPart(name)) names.add(name);
  const result: CarriedRegister[] = [];
  for (const register of names) {
    const expressions: Expression[] = [];
    for (const { state } of backs) {
      const e = state.register(register);
      if (e.kind === 'register' && e.name === register) continue;
      if (!expressions.some((x) => sameExpression(x, e))) expressions.push(e);
    }
    if (expressions.length === 0) continue;
    result.push({
      register,
      captured: context.state.registers.get(register) ?? null,
      updates: expressions.map((e) => describeExpression(e, () => null)),
      expressions,
    });
  }
  return result;
}

/** Tests of invariant cells that keep every exit shut now. */
function waitsOf(exits: readonly ExitAnalysis[]): WaitCell[] {
  // Code that cannot be read may lead back: such an exit settles nothing.
  if (exits.some((e) => e.taken === true && e.exit.kind !== 'unreadable')) return [];
  const result: WaitCell[] = [];
  for (const { alternatives: options } of exits)
    for (const conditions of options)
      for (const { test, text, holds } of conditions) {
        if (!test || holds === true || (test.cell.kind !== 'invariant' && test.cell.kind !== 'indirect')) continue;
        if (!result.some((w) => w.text === text)) result.push({ ...test, text });
      }
  return result;
}

/** Proves what can be proven about a loop from the captured state. See {@link LoopAnalysis}. */
export function analyzeLoop(
  program: Program,
  graph: FlowGraph,
  loop: Loop,
  state: CpuState,
  memory: MemoryPort,
  options: AnalyzeOptions = {},
): LoopAnalysis {
  const context = contextOf(graph, loop, state, memory);
  const { exits: exitPaths, backs, complete } = loopPaths(graph, loop);
  const exits = analyzeExits(context, exitPaths, complete);
  const cells = exitPaths.flatMap((p) =>
    p.conditions.flatMap(({ condition: c }) => (c.kind === 'compare' ? [...loadsOf(c.left), ...loadsOf(c.right)] : [])),
  );
  const stores = analyzeStores(context, [...exitPaths, ...backs], cells);
  const carried = analyzeCarried(context, backs);
  const calls = loop.instructions
    .filter((i) => i.flow === 'call' || i.flow === 'indirect-call')
    .map((i) => ({ at: i.address, target: i.target }));
  const execution = execute(program, context, options);
  const open = execution.end === 'unknown' || execution.end === 'limit';
  const assumingCalls = calls.length && open ? execute(program, context, { ...options, skipCall: () => true }) : null;
  const branches = exits.flatMap((e) => e.alternatives.flatMap((conditions) => conditions.map((c) => c.at)));
  const witness = flagWitness(graph, loop, state, memory, branches);
  const waits = waitsOf(exits);
  const protocol = classify({ context, exits, stores, carried, waits, exitPaths });
  return {
    loop,
    exits,
    stores,
    calls,
    carried,
    witness,
    waits,
    protocol,
    execution,
    assumingCalls,
    complete,
    text: summary(exits, execution),
  };
}

function execute(program: Program, context: LoopContext, options: AnalyzeOptions): RunResult {
  const { graph, loop, state, memory, environment, isInvariant } = context;
  const fixedAddress = (op: MemoryOperand): bigint | null => {
    let sum = op.displacement;
    for (const [name, scale] of [
      [op.base, 1],
      [op.index, op.scale],
    ] as const) {
      if (name === null) continue;
      const value = isInvariant(name) ? environment.register(name) : null;
      if (value === null || registerPart(name)?.size !== op.addressSize) return null;
      sum += value * BigInt(scale);
    }
    sum = BigInt.asUintN(op.addressSize * 8, sum);
    if (op.segment !== 'fs' && op.segment !== 'gs') return sum;
    const base = op.segment === 'fs' ? state.fsBase : state.gsBase;
    return base == null ? null : sum + base;
  };
  const relevance = relevanceOf({
    graph,
    loop,
    fixedAddress,
    ...(options.skipCall === undefined ? {} : { skipCall: options.skipCall }),
  });
  const runOptions: RunOptions = {
    inside: new Set(loop.instructions.map((i) => i.address)),
    header: loop.header,
    ...(relevance === null ? {} : { relevance }),
    ...(options.maxSteps === undefined ? {} : { maxSteps: options.maxSteps }),
    ...(options.skipCall === undefined ? {} : { skipCall: options.skipCall }),
  };
  return run(program, state, memory, runOptions);
}

function summary(exits: readonly ExitAnalysis[], execution: RunResult): string {
  if (exits.length === 0) return 'the loop has no exit';
  const [first] = exits;
  const what = exits.length === 1 && first ? `its one exit ${first.text}` : `it has ${exits.length} exits`;
  switch (execution.end) {
    case 'cycle':
      return `${what}; with the captured values it never ends unless another processor or a device writes`;
    case 'exit':
      return `${what}; from the captured state it ends after ${execution.iterations} more turns`;
    case 'limit':
      return `${what}; it did not end within ${execution.steps} steps`;
    case 'fault':
      return `${what}; it faults at ${execution.at.toString(16)} (${execution.why})`;
    case 'unknown':
      return `${what}; what it does is not determinable: ${execution.why}`;
  }
}
