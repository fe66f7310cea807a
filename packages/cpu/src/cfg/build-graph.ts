import { type Va, va } from '@dumpscope/core';
import type { CodeReader, Disassembler, Instruction } from '../instruction.ts';
import type { Block, Edge, EdgeKind, FlowGraph, Leave, LeaveKind } from './flow-graph.ts';
import { jumpTableTargets } from './jump-table.ts';
import { decodeAt, nextAddress } from './read-code.ts';

/** Half-open range of addresses. */
export interface CodeRange {
  readonly start: Va;
  readonly end: Va;
}

export interface GraphOptions {
  /** Where to begin; more than one when a part is not reachable from the first (an unresolved switch). */
  readonly roots: readonly Va[];
  /** The roots are function starts. */
  readonly fromEntry: boolean;
  /** The function's chunks, cold ones included; jumps out of them leave. Without ranges every direct jump is followed. */
  readonly ranges?: readonly CodeRange[];
  /** Default 10,000 with ranges, 2,000 without. */
  readonly maxInstructions?: number;
  /** Direct call targets that do not return (`KeBugCheckEx`). */
  readonly noReturn?: (target: Va) => boolean;
}

interface Exploration {
  readonly instructions: Map<bigint, Instruction>;
  /** Addresses that start a block. */
  readonly leaders: Set<bigint>;
  /** Why there is no instruction at an address that something goes to. */
  readonly missing: Map<bigint, LeaveKind>;
  /** Resolved targets of indirect jumps. */
  readonly tables: Map<bigint, readonly Va[]>;
}

interface Exit {
  readonly edge: EdgeKind;
  readonly to: Va | null;
  readonly kind: LeaveKind | null;
}

const FAST_FAIL = 0x29n;
const CONTEXT = 16;

function stops(instruction: Instruction): boolean {
  if (instruction.flow === 'exception') return true;
  // __fastfail does not return; int 2Dh (debug service) and system calls do.
  const first = instruction.operands[0];
  return instruction.flow === 'interrupt' && first?.kind === 'immediate' && first.value === FAST_FAIL;
}

function exitsOf(
  instruction: Instruction,
  next: Va,
  tables: ReadonlyMap<bigint, readonly Va[]>,
  noReturn: ((target: Va) => boolean) | undefined,
): Exit[] {
  const goesTo = (edge: EdgeKind, to: Va): Exit => ({ edge, to, kind: null });
  switch (instruction.flow) {
    case 'return':
      return [{ edge: 'jump', to: null, kind: 'return' }];
    case 'jump':
      return [
        instruction.target === null ? { edge: 'jump', to: null, kind: 'indirect' } : goesTo('jump', instruction.target),
      ];
    case 'conditional': {
      const fall = goesTo('next', next);
      return instruction.target === null ? [fall] : [fall, goesTo('taken', instruction.target)];
    }
    case 'indirect-jump': {
      const targets = tables.get(instruction.address);
      return targets ? targets.map((t) => goesTo('jump', t)) : [{ edge: 'jump', to: null, kind: 'indirect' }];
    }
    case 'call':
      if (instruction.target !== null && noReturn?.(instruction.target))
        return [{ edge: 'next', to: null, kind: 'stop' }];
      return [goesTo('next', next)];
    default:
      return stops(instruction) ? [{ edge: 'next', to: null, kind: 'stop' }] : [goesTo('next', next)];
  }
}

function endsBlock(instruction: Instruction): boolean {
  return (
    instruction.flow === 'jump' ||
    instruction.flow === 'conditional' ||
    instruction.flow === 'indirect-jump' ||
    instruction.flow === 'return' ||
    stops(instruction)
  );
}

function explore(code: CodeReader, disassembler: Disassembler, options: GraphOptions): Exploration {
  const { ranges, noReturn } = options;
  const limit = options.maxInstructions ?? (ranges ? 10_000 : 2_000);
  const inside = (a: bigint): boolean => ranges === undefined || ranges.some((r) => a >= r.start && a < r.end);
  const result: Exploration = { instructions: new Map(), leaders: new Set(), missing: new Map(), tables: new Map() };
  // Breadth first: when the limit cuts, what is near the roots is complete.
  // Each start carries the instructions that fall into it: the bounds check before a jump table.
  const queue: { start: Va; before: readonly Instruction[] }[] = options.roots.map((start) => ({ start, before: [] }));
  for (const { start } of queue) result.leaders.add(start);
  for (let head = 0; head < queue.length; head++) {
    const item = queue[head];
    if (!item) break;
    let address = item.start;
    const run: Instruction[] = [...item.before];
    for (;;) {
      if (result.instructions.has(address) || result.missing.has(address)) break;
      if (!inside(address)) {
        result.missing.set(address, 'outside');
        break;
      }
      if (result.instructions.size >= limit) {
        result.missing.set(address, 'limit');
        break;
      }
      const instruction = decodeAt(code, disassembler, address);
      if (!instruction?.valid) {
        result.missing.set(address, instruction === null ? 'unreadable' : 'invalid');
        break;
      }
      result.instructions.set(address, instruction);
      run.push(instruction);
      if (instruction.flow === 'indirect-jump') {
        const targets = jumpTableTargets(code, disassembler, run, inside);
        if (targets) result.tables.set(address, targets);
      }
      const next = nextAddress(disassembler, instruction);
      if (endsBlock(instruction)) {
        for (const { to, edge } of exitsOf(instruction, next, result.tables, noReturn)) {
          if (to === null || result.leaders.has(to)) continue;
          result.leaders.add(to);
          queue.push({ start: to, before: edge === 'next' ? run.slice(-CONTEXT) : [] });
        }
        break;
      }
      const [only] = exitsOf(instruction, next, result.tables, noReturn);
      if (!only || only.to === null) break;
      address = only.to;
    }
  }
  return result;
}

/** Explores forward from the roots and cuts what was found into basic blocks. */
export function buildGraph(code: CodeReader, disassembler: Disassembler, options: GraphOptions): FlowGraph {
  const { instructions, leaders, missing, tables } = explore(code, disassembler, options);
  const starts = [...leaders].filter((a) => instructions.has(a)).sort((a, b) => (a < b ? -1 : 1));
  const indexOf = new Map(starts.map((address, index) => [address, index]));
  const gaps: Leave[] = [];
  const raw = starts.map((start) => {
    const list: Instruction[] = [];
    const leaves: Leave[] = [];
    const successors: Edge[] = [];
    let address = va(start);
    for (;;) {
      const instruction = instructions.get(address);
      if (!instruction) break;
      list.push(instruction);
      const next = nextAddress(disassembler, instruction);
      const exits = exitsOf(instruction, next, tables, options.noReturn);
      const [only] = exits;
      const continues =
        exits.length === 1 &&
        only?.edge === 'next' &&
        only.to !== null &&
        !endsBlock(instruction) &&
        !leaders.has(only.to);
      if (continues && only.to !== null && instructions.has(only.to)) {
        address = only.to;
        continue;
      }
      for (const exit of exits) {
        const block = exit.to === null ? undefined : indexOf.get(exit.to);
        if (block !== undefined) successors.push({ kind: exit.edge, block });
        else {
          const kind = exit.kind ?? (exit.to === null ? 'indirect' : (missing.get(exit.to) ?? 'limit'));
          leaves.push({ kind, from: instruction.address, to: exit.to, edge: exit.edge });
        }
      }
      break;
    }
    for (const leave of leaves) if (leave.kind !== 'return' && leave.kind !== 'stop') gaps.push(leave);
    const last = list.at(-1);
    return { start: va(start), end: last ? nextAddress(disassembler, last) : va(start), list, successors, leaves };
  });
  const predecessors: number[][] = raw.map(() => []);
  raw.forEach((block, index) => {
    for (const { block: to } of block.successors) predecessors[to]?.push(index);
  });
  const blocks: Block[] = raw.map((b, index) => ({
    index,
    start: b.start,
    end: b.end,
    instructions: b.list,
    successors: b.successors,
    predecessors: predecessors[index] ?? [],
    leaves: b.leaves,
  }));
  const overlaps: Va[] = [];
  const sorted = [...instructions.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
  sorted.forEach((instruction, i) => {
    const following = sorted[i + 1];
    if (following && instruction.address + BigInt(instruction.length) > following.address)
      overlaps.push(following.address);
  });
  return { arch: disassembler.arch, roots: options.roots, fromEntry: options.fromEntry, blocks, gaps, overlaps };
}
