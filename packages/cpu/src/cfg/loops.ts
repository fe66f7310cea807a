import type { Va } from '@dumpscope/core';
import type { Instruction } from '../instruction.ts';
import { type Block, blockAt, type FlowGraph, type Leave } from './flow-graph.ts';

export interface LoopExit {
  /** The instruction that control leaves from. */
  readonly from: Va;
  /** Where it goes; null for returns and unresolved jumps. */
  readonly to: Va | null;
  /** `branch`: to a known block outside the loop. Else why the graph ends there. */
  readonly kind: 'branch' | Leave['kind'];
  readonly edge: 'next' | 'taken' | 'jump';
}

export interface Loop {
  /** The instruction that every iteration passes; for an irreducible loop the entry with the lowest address. */
  readonly header: Va;
  /**
   * `natural`: one entry, the header. `irreducible`: several entries. `cyclic`: seen without the function's start, so the
   * header is the target of the backward jump.
   */
  readonly kind: 'natural' | 'irreducible' | 'cyclic';
  /** Indices of blocks, ascending. */
  readonly blocks: readonly number[];
  /** In address order. */
  readonly instructions: readonly Instruction[];
  /** Lowest address, and the address behind the last instruction. */
  readonly start: Va;
  readonly end: Va;
  readonly backEdges: readonly { readonly from: Va; readonly to: Va }[];
  readonly exits: readonly LoopExit[];
  /** The next larger loop around this one. */
  readonly parent: Loop | null;
}

function describeLoop(
  graph: FlowGraph,
  members: ReadonlySet<number>,
  header: Va,
  kind: Loop['kind'],
  parent: Loop | null,
): Loop {
  const blocks = [...members].sort((a, b) => a - b);
  const instructions: Instruction[] = [];
  const exits: LoopExit[] = [];
  const backEdges: { from: Va; to: Va }[] = [];
  let end = header;
  for (const index of blocks) {
    const block = graph.blocks[index];
    if (!block) continue;
    instructions.push(...block.instructions);
    if (block.end > end) end = block.end;
    const from = block.instructions.at(-1)?.address ?? block.start;
    for (const edge of block.successors) {
      const to = graph.blocks[edge.block]?.start ?? null;
      if (!members.has(edge.block)) exits.push({ from, to, kind: 'branch', edge: edge.kind });
      else if (to === header) backEdges.push({ from, to });
    }
    for (const leave of block.leaves)
      exits.push({ from: leave.from, to: leave.to, kind: leave.kind, edge: leave.edge });
  }
  const start = graph.blocks[blocks[0] ?? 0]?.start ?? header;
  return { header, kind, blocks, instructions, start, end, backEdges, exits, parent };
}

/** Strongly connected components with a cycle, of the subgraph `members` without the edges that `cut` names. Iterative Tarjan. */
function cyclicComponents(
  graph: FlowGraph,
  members: ReadonlySet<number>,
  cut: (from: number, to: number) => boolean,
): Set<number>[] {
  const successors = (v: number): number[] =>
    (graph.blocks[v]?.successors ?? []).map((e) => e.block).filter((w) => members.has(w) && !cut(v, w));
  const order = new Map<number, number>();
  const low = new Map<number, number>();
  const onStack = new Set<number>();
  const stack: number[] = [];
  const result: Set<number>[] = [];
  for (const root of members) {
    if (order.has(root)) continue;
    const work: { v: number; next: number; edges: number[] }[] = [];
    const enter = (v: number): void => {
      order.set(v, order.size);
      low.set(v, order.get(v) ?? 0);
      stack.push(v);
      onStack.add(v);
      work.push({ v, next: 0, edges: successors(v) });
    };
    enter(root);
    for (let frame = work.at(-1); frame; frame = work.at(-1)) {
      const w = frame.edges[frame.next++];
      if (w !== undefined) {
        if (!order.has(w)) enter(w);
        else if (onStack.has(w)) low.set(frame.v, Math.min(low.get(frame.v) ?? 0, order.get(w) ?? 0));
        continue;
      }
      work.pop();
      const caller = work.at(-1);
      if (caller) low.set(caller.v, Math.min(low.get(caller.v) ?? 0, low.get(frame.v) ?? 0));
      if (low.get(frame.v) !== order.get(frame.v)) continue;
      const component = new Set<number>();
      for (let v = stack.pop(); v !== undefined; v = stack.pop()) {
        onStack.delete(v);
        component.add(v);
        if (v === frame.v) break;
      }
      if (component.size > 1 || successors(frame.v).includes(frame.v)) result.push(component);
    }
  }
  return result;
}

interface RawLoop {
  readonly members: ReadonlySet<number>;
  readonly header: Va;
  readonly kind: Loop['kind'];
}

/** Enclosing loops that are kept; hostile code can nest thousands. */
const MAX_DEPTH = 8;

function componentOf(components: readonly Set<number>[], block: number): Set<number> | undefined {
  return components.find((c) => c.has(block));
}

function allBlocks(graph: FlowGraph): Set<number> {
  return new Set(graph.blocks.keys());
}

/**
 * Loops around a block when the function's entry is known, outermost first: its component, then the component inside
 * that without the edges to the entries, and so on (so loops with one header are one loop).
 */
function nestAround(graph: FlowGraph, block: number): RawLoop[] {
  const roots = new Set<bigint>(graph.roots);
  const chain: RawLoop[] = [];
  const heads = new Set<number>();
  let members = componentOf(
    cyclicComponents(graph, allBlocks(graph), () => false),
    block,
  );
  while (members) {
    const current = members;
    const entries = [...current].filter((v) => {
      const b = graph.blocks[v];
      return b !== undefined && (roots.has(b.start) || b.predecessors.some((p) => !current.has(p)));
    });
    // Inside a cut component the entries are what the rest of its parent goes to; a part nothing enters has none.
    if (entries.length === 0) entries.push(Math.min(...current));
    const header = graph.blocks[Math.min(...entries)]?.start;
    if (header === undefined) break;
    chain.push({ members: current, header, kind: entries.length === 1 ? 'natural' : 'irreducible' });
    if (chain.length > MAX_DEPTH) chain.shift();
    for (const e of entries) heads.add(e);
    members = componentOf(
      cyclicComponents(graph, current, (_, to) => heads.has(to)),
      block,
    );
  }
  return chain;
}

/**
 * Loops around a block of a graph that begins in the middle of a function, outermost first: for each jump to a lower
 * address inside the component, the blocks that reach it without passing its target. Loops with one target are one loop.
 */
function cyclesAround(graph: FlowGraph, block: number): RawLoop[] {
  const component = componentOf(
    cyclicComponents(graph, allBlocks(graph), () => false),
    block,
  );
  if (!component) return [];
  const byHeader = new Map<number, number[]>();
  for (const v of component)
    for (const { block: h } of graph.blocks[v]?.successors ?? [])
      if (component.has(h) && h <= v) byHeader.set(h, [...(byHeader.get(h) ?? []), v]);
  let chain: RawLoop[] = [];
  for (const [h, sources] of byHeader) {
    const members = new Set([h]);
    const work = [...sources];
    for (let v = work.pop(); v !== undefined; v = work.pop()) {
      if (members.has(v)) continue;
      members.add(v);
      for (const p of graph.blocks[v]?.predecessors ?? []) if (component.has(p)) work.push(p);
    }
    const header = graph.blocks[h]?.start;
    if (header === undefined || !members.has(block)) continue;
    chain.push({ members, header, kind: 'cyclic' });
    chain = chain.sort((a, b) => b.members.size - a.members.size).slice(-MAX_DEPTH);
  }
  return chain;
}

/** The smallest loop that contains the instruction at `pc`, or null when none does; `parent` leads outward. */
export function innermostLoop(graph: FlowGraph, pc: bigint): Loop | null {
  const block: Block | undefined = blockAt(graph, pc);
  if (!block) return null;
  const chain = graph.fromEntry ? nestAround(graph, block.index) : cyclesAround(graph, block.index);
  let loop: Loop | null = null;
  let outer: ReadonlySet<number> | null = null;
  for (const raw of chain) {
    const around: ReadonlySet<number> | null = outer;
    const nested = around === null || [...raw.members].every((v) => around.has(v));
    loop = describeLoop(graph, raw.members, raw.header, raw.kind, nested ? loop : null);
    outer = raw.members;
  }
  return loop;
}

/**
 * Blocks of the loop that lie in a smaller loop inside it, which need not contain pc, each with the number of that loop;
 * `nested` are the blocks of those that have loops inside themselves.
 */
export function innerLoopBlocks(
  graph: FlowGraph,
  loop: Loop,
): { readonly loopOf: ReadonlyMap<number, number>; readonly nested: ReadonlySet<number> } {
  const header = graph.blocks.find((b) => b.start === loop.header)?.index;
  const loopOf = new Map<number, number>();
  const nested = new Set<number>();
  for (const [number, component] of cyclicComponents(graph, new Set(loop.blocks), (_, to) => to === header).entries()) {
    for (const v of component) loopOf.set(v, number);
    const entries = new Set(
      [...component].filter((v) => graph.blocks[v]?.predecessors.some((p) => !component.has(p)) !== false),
    );
    if (cyclicComponents(graph, component, (_, to) => entries.has(to)).length > 0)
      for (const v of component) nested.add(v);
  }
  return { loopOf, nested };
}
