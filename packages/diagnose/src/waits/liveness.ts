/**
 * Which nodes of the wait graph can go on. A node with no edge out of it may (it runs, or whoever acts for it is not in the
 * dump); one that needs all of several things goes on when all of them do; one that needs any of them when one does. What
 * never becomes able is a deadlock: no order of events inside the graph ends it.
 */

import type { GraphEdge } from './wait-edge.ts';
import type { GraphVertex, WaitGraph } from './wait-graph.ts';

/**
 * How much is believed. `recorded`: edges whose other end a field names and whose wait nothing else ends. `no-alert`: also
 * waits that an alert or a user APC would end. `believed`: also inferred edges and waits of which the timer could not be
 * read. `untimed`: every edge, as if no timer ran.
 */
export type Belief = 'recorded' | 'no-alert' | 'believed' | 'untimed';

export function blocks(edge: GraphEdge, belief: Belief): boolean {
  if (belief === 'untimed') return true;
  if (edge.escape === 'timeout') return false;
  if (belief === 'believed') return true;
  if (edge.certainty === 'inferred' || edge.escape === 'unknown') return false;
  return belief === 'no-alert' || edge.escape !== 'alertable';
}

/** Indexes of the vertices that can never go on. */
export function deadVertices(graph: WaitGraph, belief: Belief): ReadonlySet<number> {
  const live = new Uint8Array(graph.vertices.length);
  /** Edges of which each would have to come free, still counted down. */
  const needed = new Int32Array(graph.vertices.length);
  const waitsFor: { readonly from: GraphVertex; readonly any: boolean }[][] = graph.vertices.map(() => []);
  const queue: number[] = [];
  const free = (index: number): void => {
    if (live[index] === 1) return;
    live[index] = 1;
    queue.push(index);
  };
  for (const vertex of graph.vertices) {
    let all = 0;
    let any = 0;
    let escapes = false;
    for (const edge of vertex.out) {
      const to = graph.vertex(edge.to);
      if (to === undefined) continue;
      if (edge.combination === 'any') {
        any++;
        // An alternative that is not believed to block lets the node go on.
        if (!blocks(edge, belief)) escapes = true;
        else waitsFor[to.index]?.push({ from: vertex, any: true });
      } else if (blocks(edge, belief)) {
        all++;
        waitsFor[to.index]?.push({ from: vertex, any: false });
      }
    }
    needed[vertex.index] = all;
    if (any > 0 ? escapes && all === 0 : all === 0) free(vertex.index);
  }
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const { from, any } of waitsFor[next] ?? []) {
      if (any) free(from.index);
      else if ((needed[from.index] = (needed[from.index] ?? 1) - 1) === 0 && !from.out.some(isAlternative))
        free(from.index);
    }
  }
  const dead = new Set<number>();
  for (const { index } of graph.vertices) if (live[index] !== 1) dead.add(index);
  return dead;
}

function isAlternative(edge: GraphEdge): boolean {
  return edge.combination === 'any';
}
