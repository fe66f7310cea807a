/** Cycles of the wait graph that nothing inside it ends, each with one way round it. */
import { type Belief, blocks, deadVertices } from './liveness.ts';
import type { GraphEdge } from './wait-edge.ts';
import type { GraphVertex, WaitGraph } from './wait-graph.ts';

export interface WaitCycle {
  readonly component: number;
  /** Edges in order, starting at a thread where there is one; the last leads back to the first. */
  readonly edges: readonly GraphEdge[];
  /** The strictest reading under which it is a deadlock. */
  readonly belief: Belief;
}

const beliefs: readonly Belief[] = ['recorded', 'no-alert', 'believed', 'untimed'];

/** One cycle for each strongly connected component that has one; the shortest through the first thread that is stuck. */
export function waitCycles(graph: WaitGraph): readonly WaitCycle[] {
  const found: WaitCycle[] = [];
  const open = new Set(graph.components.flatMap((_, n) => (graph.isCycle(n) ? [n] : [])));
  if (open.size === 0) return found;
  for (const belief of beliefs) {
    const dead = deadVertices(graph, belief);
    for (const component of [...open]) {
      const members = graph.components[component] ?? [];
      const inside = (vertex: GraphVertex | undefined): vertex is GraphVertex =>
        vertex !== undefined && vertex.component === component && (belief === 'untimed' || dead.has(vertex.index));
      const starts = [
        ...members.filter((vertex) => vertex.node.kind === 'thread'),
        ...members.filter((vertex) => vertex.node.kind === 'processor'),
      ];
      for (const start of starts.slice(0, MAX_STARTS)) {
        const edges = inside(start) ? wayBack(graph, start, inside, belief) : null;
        if (edges === null) continue;
        found.push({ component, edges, belief });
        open.delete(component);
        break;
      }
    }
  }
  return found;
}

/** A component may hold thousands of threads, most of them behind the cycle and not in it. */
const MAX_STARTS = 256;

/** Shortest way from `start` back to itself, breadth first. */
function wayBack(
  graph: WaitGraph,
  start: GraphVertex,
  inside: (vertex: GraphVertex | undefined) => vertex is GraphVertex,
  belief: Belief,
): readonly GraphEdge[] | null {
  const cameBy = new Map<number, { readonly edge: GraphEdge; readonly from: GraphVertex }>();
  let level: GraphVertex[] = [start];
  while (level.length > 0) {
    const next: GraphVertex[] = [];
    for (const vertex of level) {
      for (const edge of vertex.out) {
        const to = graph.vertex(edge.to);
        if (!inside(to) || !blocks(edge, belief)) continue;
        if (to === start) {
          const way = [edge];
          for (let at = vertex; at !== start; ) {
            const step = cameBy.get(at.index);
            if (step === undefined) return null;
            way.unshift(step.edge);
            at = step.from;
          }
          return way;
        }
        if (cameBy.has(to.index)) continue;
        cameBy.set(to.index, { edge, from: vertex });
        next.push(to);
      }
    }
    level = next;
  }
  return null;
}
