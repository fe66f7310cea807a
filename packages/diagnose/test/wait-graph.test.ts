/** The wait graph's own arithmetic, and its edges in forged dumps. */
import { describe, expect, it } from 'vitest';
import { Diagnosis } from '../src/engine/diagnosis.ts';
import { waitChains } from '../src/waits/chains.ts';
import { keyOf } from '../src/waits/node.ts';
import type { GraphEdge } from '../src/waits/wait-edge.ts';
import { graphOf, waitGraph } from '../src/waits/wait-graph.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

function edge(from: number, to: number): GraphEdge {
  return {
    from: { kind: 'thread', address: BigInt(from) },
    to: { kind: 'thread', address: BigInt(to) },
    relation: 'waits-for',
    certainty: 'recorded',
    combination: 'all',
    access: null,
    escape: null,
    since: null,
    proof: [],
  };
}

describe('wait graph', () => {
  it('finds roots, cycles and what is behind them', () => {
    const graph = graphOf([edge(1, 2), edge(2, 3), edge(4, 3), edge(5, 6), edge(6, 7), edge(7, 6), edge(8, 8)]);
    const named = (n: number): string => (graph.components[n] ?? []).map(({ node }) => keyOf(node)).join();
    expect(graph.roots.map(named).sort()).toEqual(['thread 0x3', 'thread 0x6,thread 0x7', 'thread 0x8']);
    expect(graph.roots.map((n) => graph.isCycle(n)).filter(Boolean)).toHaveLength(2);
    const three = graph.vertex({ kind: 'thread', address: 3n });
    expect(graph.upstream(three?.component ?? -1).map(({ node }) => keyOf(node))).toEqual([
      'thread 0x1',
      'thread 0x2',
      'thread 0x4',
    ]);
  });

  it('follows a chain of a hundred thousand waits', () => {
    const edges = Array.from({ length: 100_000 }, (_, i) => edge(i, i + 1));
    const graph = graphOf(edges);
    expect(graph.roots).toHaveLength(1);
    expect(graph.upstream(graph.roots[0] ?? -1)).toHaveLength(100_000);
  });

  it('joins processors, spin locks and their holders', () => {
    const graph = new Diagnosis(forgedTarget(scenarioNamed('S04'), { symbols: false })).fact(waitGraph);
    const told = graph.edges.map((e) => `${keyOf(e.from)} ${e.relation} ${keyOf(e.to)}`);
    expect(told).toContain('processor 0 spins-on object spin lock 0xffffe000a1683c70');
    expect(graph.roots.some((root) => graph.isCycle(root))).toBe(true);
  });
});

it('a lock whose owner waits for a device is told beside hundreds of devices that nobody holds a lock for', () => {
  const edges: GraphEdge[] = [];
  const thread = (n: number): GraphEdge['from'] => ({ kind: 'thread', address: BigInt(n) });
  const object = (kind: 'IRP' | 'event' | 'pushlock', n: number): GraphEdge['from'] => ({
    kind: 'object',
    object: kind,
    address: BigInt(n),
  });
  const join = (from: GraphEdge['from'], to: GraphEdge['from'], relation: GraphEdge['relation']): void => {
    edges.push({
      from,
      to,
      relation,
      certainty: 'recorded',
      combination: 'all',
      access: null,
      escape: null,
      since: null,
      proof: [],
    });
  };
  // Each device has the same 500 threads behind it: more than are looked at.
  for (let n = 10_000; n < 10_500; n++) join(thread(n), object('event', 1), 'waits-for');
  for (let n = 1; n <= 600; n++) {
    join(object('event', 1), object('IRP', 10_000 + n), 'answered-by');
    join(object('IRP', 10_000 + n), { kind: 'device', address: BigInt(n) }, 'answered-by');
    join(object('IRP', 20_000 + n), { kind: 'device', address: BigInt(n) }, 'answered-by');
  }
  join(thread(1), object('pushlock', 1), 'waits-for');
  join(object('pushlock', 1), thread(2), 'owned-by');
  join(thread(2), object('event', 2), 'waits-for');
  join(object('event', 2), object('IRP', 2), 'answered-by');
  join(object('IRP', 2), { kind: 'device', address: 1000n }, 'answered-by');
  const chain = waitChains(graphOf(edges)).find(({ end }) => end.kind === 'device' && end.address === 1000n);
  expect(chain?.holder).toBe(2n);
  expect(chain?.waiters).toEqual([1n, 2n]);
});
