/**
 * The wait graph over everything: built once, from every source, whatever the rule that asks. Cycles are its strongly
 * connected components, roots the components from which nothing leads on.
 */
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { GraphBuilder, type GraphLimit } from './graph-builder.ts';
import { type GraphNode, keyOf } from './node.ts';
import { edgeSources } from './sources.ts';
import { stronglyConnected } from './strongly-connected.ts';
import type { GraphEdge } from './wait-edge.ts';

export interface GraphVertex {
  readonly node: GraphNode;
  readonly index: number;
  /** Edges that leave it: what it waits for, who owns it. */
  readonly out: readonly GraphEdge[];
  readonly in: readonly GraphEdge[];
  /** Number of its strongly connected component. */
  readonly component: number;
}

export interface WaitGraph {
  readonly vertices: readonly GraphVertex[];
  readonly edges: readonly GraphEdge[];
  readonly limits: readonly GraphLimit[];
  /** Threads that have been given what they wait for and have not run since. */
  readonly woken: ReadonlySet<bigint>;
  vertex(node: GraphNode): GraphVertex | undefined;
  /** Vertices of each component, in the order in which they were added. */
  readonly components: readonly (readonly GraphVertex[])[];
  /** More than one vertex, or an edge from a vertex to itself. */
  isCycle(component: number): boolean;
  /** Components with edges into them and none out of them: where every chain ends. */
  readonly roots: readonly number[];
  /** Every vertex from which `component` can be reached, its own left out. */
  upstream(component: number): readonly GraphVertex[];
}

interface MutableVertex {
  node: GraphNode;
  index: number;
  out: GraphEdge[];
  in: GraphEdge[];
  component: number;
}

export const waitGraph: FactKey<WaitGraph> = defineFact('wait graph', (diagnosis: Diagnosis) => {
  const builder = new GraphBuilder(diagnosis);
  for (const source of edgeSources) source.run(builder);
  builder.waitEdges();
  return graphOf(builder.edges, builder.limits, builder.woken);
});

export function graphOf(
  edges: readonly GraphEdge[],
  limits: readonly GraphLimit[] = [],
  woken: ReadonlySet<bigint> = new Set(),
): WaitGraph {
  const vertices: MutableVertex[] = [];
  const byKey = new Map<string, MutableVertex>();
  const at = (node: GraphNode): MutableVertex => {
    const key = keyOf(node);
    let vertex = byKey.get(key);
    if (vertex === undefined) {
      vertex = { node, index: vertices.length, out: [], in: [], component: -1 };
      byKey.set(key, vertex);
      vertices.push(vertex);
    }
    return vertex;
  };
  const targets: number[][] = [];
  const sources: number[][] = [];
  for (const edge of edges) {
    const from = at(edge.from);
    const to = at(edge.to);
    from.out.push(edge);
    to.in.push(edge);
    (targets[from.index] ??= []).push(to.index);
    (sources[to.index] ??= []).push(from.index);
  }
  const component = stronglyConnected(vertices.length, targets);
  const components: MutableVertex[][] = [];
  const leaves: boolean[] = [];
  const entered: boolean[] = [];
  const loops: boolean[] = [];
  for (const vertex of vertices) {
    vertex.component = component[vertex.index] ?? 0;
    (components[vertex.component] ??= []).push(vertex);
  }
  for (const vertex of vertices) {
    for (const to of targets[vertex.index] ?? []) {
      if (to === vertex.index) loops[vertex.component] = true;
      const other = component[to] ?? 0;
      if (other === vertex.component) continue;
      leaves[vertex.component] = true;
      entered[other] = true;
    }
  }
  const isCycle = (n: number): boolean => (components[n]?.length ?? 0) > 1 || loops[n] === true;
  return {
    vertices,
    edges,
    limits,
    woken,
    vertex: (node) => byKey.get(keyOf(node)),
    components,
    isCycle,
    roots: components.flatMap((_, n) => (leaves[n] !== true && (entered[n] === true || isCycle(n)) ? [n] : [])),
    upstream(n) {
      const own = components[n] ?? [];
      const seen = new Set(own.map(({ index }) => index));
      const queue = [...seen];
      const found: GraphVertex[] = [];
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        for (const from of sources[next] ?? []) {
          if (seen.has(from)) continue;
          seen.add(from);
          queue.push(from);
          const vertex = vertices[from];
          if (vertex !== undefined) found.push(vertex);
        }
      }
      return found.sort((a, b) => a.index - b.index);
    },
  };
}
