/**
 * Chains of waits and where they end: a thread waits for an object that another holds, which waits for another, down to
 * one that does not wait for anything whose owner is known.
 */
import { type GraphNode, keyOf, type ObjectKind } from './node.ts';
import type { GraphEdge } from './wait-edge.ts';
import { type GraphVertex, graphOf, type WaitGraph } from './wait-graph.ts';

/** Objects of which nobody is the owner: a thread that waits for one is the end of its chain. */
const signals: ReadonlySet<ObjectKind> = new Set(['event', 'semaphore', 'timer', 'queue', 'gate', 'unknown object']);

export interface WaitChain {
  /** Where it ends: a thread, a processor, a device, an object whose owner could not be told. */
  readonly end: GraphNode;
  /** The last thread of the chain that holds something; null where the end holds it without a thread. */
  readonly holder: bigint | null;
  /** Edges by which holders keep objects, of the whole part of the graph that leads to the end. */
  readonly holds: readonly GraphEdge[];
  /** The longest way to the end, in order. */
  readonly path: readonly GraphEdge[];
  /** Threads that wait for the end, directly or through others; those that stand at it are not counted. */
  readonly waiters: readonly bigint[];
  /** Every edge of the part of the graph that leads to the end. */
  readonly edges: readonly GraphEdge[];
  /** Waits for what the end or the last holder keeps, and the holder's own: those behind them may have other reasons. */
  readonly last: readonly GraphEdge[];
}

/**
 * Vertices that are looked at over all ends: a resource may have thousands of shared owners, each an end with the same
 * waiters behind it.
 */
const MAX_VISITS = 200_000;

/** Chains by their ends, those with most waiters first. Ends inside cycles are left to whoever looks for cycles. */
export function waitChains(graph: WaitGraph): readonly WaitChain[] {
  const ownerless = (node: GraphNode): boolean =>
    node.kind === 'object' && signals.has(node.object) && (graph.vertex(node)?.out.length ?? 0) === 0;
  const pruned = graphOf(graph.edges.filter((edge) => !ownerless(edge.to)));
  const chains: WaitChain[] = [];
  let visits = 0;
  for (const root of mostAwaited(pruned)) {
    const end = endOf(pruned, root);
    if (end === undefined) continue;
    const vertices = [end, ...pruned.upstream(root)];
    visits += vertices.length;
    if (visits > MAX_VISITS && chains.length > 0) break;
    const edges = vertices.flatMap(({ out }) => out).filter((edge) => inside(pruned, vertices, edge));
    // A lock for which nobody waits is no part of a chain, whoever holds it.
    const holds = edges.filter((edge) => isHold(edge) && (pruned.vertex(edge.from)?.in.length ?? 0) > 0);
    if (holds.length === 0) continue;
    const path = longestWay(pruned, end);
    const holder = holderOf(path, end.node);
    const waiters = vertices.flatMap(({ node }) =>
      node.kind === 'thread' && waitsForHeld(pruned, node) ? [node.address] : [],
    );
    if (waiters.length === 0) continue;
    chains.push({
      end: end.node,
      holder,
      holds,
      path,
      waiters,
      edges,
      last: lastWaits(edges, holds, end.node, holder),
    });
  }
  return chains.sort((a, b) => b.waiters.length - a.waiters.length);
}

/** A processor that spins in a cycle of spin locks is an end; a cycle with threads in it is a deadlock of its own. */
function endOf(graph: WaitGraph, root: number): GraphVertex | undefined {
  const members = graph.components[root] ?? [];
  if (!graph.isCycle(root)) return members[0];
  if (members.some(({ node }) => node.kind === 'thread')) return undefined;
  return members.find(
    ({ node, in: edges }) => node.kind === 'processor' && edges.some(({ from }) => from.kind === 'thread'),
  );
}

/** Processors and owners of locks before threads that others wait for to end, of which every system has hundreds. */
function mostAwaited(graph: WaitGraph): readonly number[] {
  const locked = behindLocks(graph);
  const weight = (root: number): number => {
    let sum = locked.has(root) ? LOCK_WEIGHT : 0;
    for (const { node, in: edges } of graph.components[root] ?? []) {
      if (node.kind === 'processor') sum += LOCK_WEIGHT;
      for (const edge of edges) sum += edge.relation === 'owned-by' ? LOCK_WEIGHT : 1;
    }
    return sum;
  };
  const weights = new Map(graph.roots.map((root) => [root, weight(root)]));
  return [...graph.roots].sort((a, b) => (weights.get(b) ?? 0) - (weights.get(a) ?? 0));
}

const LOCK_WEIGHT = 0x10000;

/** Components to which some lock's owner leads, over however many requests: a device that a lock's owner waits for. */
function behindLocks(graph: WaitGraph): ReadonlySet<number> {
  const seen = new Set<number>();
  const queue = graph.edges.flatMap(({ relation, to }) => (relation === 'owned-by' ? [graph.vertex(to)] : []));
  const components = new Set<number>();
  for (let next = queue.pop(); queue.length > 0 || next !== undefined; next = queue.pop()) {
    if (next === undefined || seen.has(next.index)) continue;
    seen.add(next.index);
    components.add(next.component);
    for (const { to } of next.out) queue.push(graph.vertex(to));
  }
  return components;
}

function lastWaits(
  edges: readonly GraphEdge[],
  holds: readonly GraphEdge[],
  end: GraphNode,
  holder: bigint | null,
): readonly GraphEdge[] {
  const ends = new Set([keyOf(end), ...(holder === null ? [] : [keyOf({ kind: 'thread', address: holder })])]);
  const keeping = holds.filter(({ to }) => ends.has(keyOf(to)));
  // That a thread is waited for says nothing about the time for which it keeps a lock.
  const owned = keeping.filter(({ relation }) => relation === 'owned-by');
  const kept = new Set((owned.length > 0 ? owned : keeping).map(({ from }) => keyOf(from)));
  // What is asked for the sake of something else: the event that an I/O request sets, the message in a port.
  for (let grown = -1; grown !== kept.size; ) {
    grown = kept.size;
    for (const { from, to } of holds) if (from.kind === 'object' && kept.has(keyOf(to))) kept.add(keyOf(from));
  }
  return edges.filter(
    (edge) =>
      edge.relation === 'waits-for' &&
      (kept.has(keyOf(edge.to)) || (ends.has(keyOf(edge.from)) && edge.from.kind === 'thread')),
  );
}

function isHold({ relation }: GraphEdge): boolean {
  return relation === 'owned-by' || relation === 'answered-by' || relation === 'ends-with';
}

function inside(graph: WaitGraph, vertices: readonly GraphVertex[], edge: GraphEdge): boolean {
  let known = members.get(vertices);
  if (known === undefined) members.set(vertices, (known = new Set(vertices.map(({ index }) => index))));
  const to = graph.vertex(edge.to);
  return to !== undefined && known.has(to.index);
}

const members = new WeakMap<readonly GraphVertex[], Set<number>>();

function waitsForHeld(graph: WaitGraph, node: GraphNode): boolean {
  return graph.vertex(node)?.out.some(({ relation }) => relation === 'waits-for') === true;
}

/** The thread that stands at the end, or the one that last held something on the way to it. */
function holderOf(path: readonly GraphEdge[], end: GraphNode): bigint | null {
  if (end.kind === 'thread') return end.address;
  const held = path.findLast((edge) => isHold(edge) && edge.to.kind === 'thread');
  return held?.to.kind === 'thread' ? held.to.address : null;
}

/** Breadth first from the end backwards: the way from the farthest vertex, which is a waiter that nobody waits for. */
function longestWay(graph: WaitGraph, end: GraphVertex): readonly GraphEdge[] {
  const next = new Map<number, GraphEdge>();
  const seen = new Set([end.index]);
  let level: GraphVertex[] = [end];
  let farthest = end;
  while (level.length > 0) {
    farthest = level.find(({ node }) => node.kind === 'thread') ?? farthest;
    const further: GraphVertex[] = [];
    for (const vertex of level) {
      for (const edge of vertex.in) {
        const from = graph.vertex(edge.from);
        if (from === undefined || seen.has(from.index)) continue;
        seen.add(from.index);
        next.set(from.index, edge);
        further.push(from);
      }
    }
    level = further;
  }
  const path: GraphEdge[] = [];
  for (let at: GraphVertex | undefined = farthest; at !== undefined && at !== end; ) {
    const edge = next.get(at.index);
    if (edge === undefined) break;
    path.push(edge);
    at = graph.vertex(edge.to);
  }
  return path;
}
