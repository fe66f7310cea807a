/** Who cannot go on before a thread does something: edges of the wait graph that lead to it, and everybody behind them. */
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import type { GraphEdge } from '../waits/wait-edge.ts';
import { waitGraph } from '../waits/wait-graph.ts';

export interface Dependents {
  /** From locks, objects and requests to the thread. */
  readonly edges: readonly GraphEdge[];
  /** Waits for those, nearest first. */
  readonly waits: readonly GraphEdge[];
  /** Threads that wait for it, directly or over others. */
  readonly threads: readonly bigint[];
}

export const NOBODY: Dependents = { edges: [], waits: [], threads: [] };

const known: FactKey<Map<bigint, Dependents>> = defineFact('dependents', () => new Map());

export function dependentsOf(diagnosis: Diagnosis, thread: bigint): Dependents {
  const found = diagnosis.fact(known);
  const before = found.get(thread);
  if (before !== undefined) return before;
  const dependents = search(diagnosis, thread);
  found.set(thread, dependents);
  return dependents;
}

function search(diagnosis: Diagnosis, thread: bigint): Dependents {
  const graph = diagnosis.fact(waitGraph);
  const vertex = graph.vertex({ kind: 'thread', address: thread });
  // A wait for the thread object itself enters it as an object first.
  if (vertex === undefined || vertex.in.length === 0) return NOBODY;
  const threads = graph
    .upstream(vertex.component)
    .flatMap(({ node }) => (node.kind === 'thread' && node.address !== thread ? [node.address] : []));
  const waits = vertex.in.flatMap(({ from }) => graph.vertex(from)?.in ?? []);
  return { edges: vertex.in, waits, threads };
}
