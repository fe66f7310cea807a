/** Edges of the wait graph as items of evidence. */
import type { Evidence } from '../engine/evidence.ts';
import type { EdgeProof, GraphEdge, WaitAge } from './wait-edge.ts';

/** Every read that proves the edges, each once, in their order. */
export function citeEdges(evidence: Evidence, edges: readonly GraphEdge[]): void {
  const told = new Set<string>();
  for (const edge of edges)
    for (const proof of edge.proof) {
      if (told.has(proof.claim)) continue;
      told.add(proof.claim);
      citeProof(evidence, proof);
    }
}

export function citeProof(evidence: Evidence, { claim, address, length, command, source }: EdgeProof): void {
  if (address === null || length === null) evidence.fact(claim, 'true', command, source);
  else evidence.memory(claim, 'true', address, length, command ?? undefined);
}

/** Age of a cycle or a chain: it is as old as the youngest of its waits. */
export function youngest(edges: readonly GraphEdge[]): WaitAge | null {
  const ages = edges.flatMap(({ since }) => (since === null ? [] : [since]));
  if (ages.length === 0) return null;
  const upper = ages.flatMap(({ maxSeconds }) => (maxSeconds === null ? [] : [maxSeconds]));
  return {
    minSeconds: Math.min(...ages.map(({ minSeconds }) => minSeconds)),
    maxSeconds: upper.length === 0 ? null : Math.min(...upper),
    reason: [...new Set(ages.map(({ reason }) => reason))].slice(0, 4).join('; '),
  };
}
