import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { WaitEdge, WaitNode } from '../picture.ts';
import { layoutGraph, NODE } from './graph-layout.ts';

const node = (kind: string, id: number): WaitNode => ({ kind, id: String(id), label: `${kind} ${id}`, detail: null });
const edge = (from: WaitNode, to: WaitNode): WaitEdge => ({ from, to, label: 'waits' });
const p = (id: number): WaitNode => node('processor', id);
const l = (id: number): WaitNode => node('lock', id);

it('puts a cycle in the order of its edges, and who waits for it to the left', () => {
  const layout = layoutGraph([
    edge(p(0), l(1)),
    edge(l(1), p(1)),
    edge(p(1), l(0)),
    edge(l(0), p(0)),
    edge(p(7), l(1)),
  ]);
  expect(layout.cycles.map((cycle) => cycle.map(({ label }) => label))).toEqual([
    ['processor 0', 'lock 1', 'processor 1', 'lock 0'],
  ]);
  const waiter = layout.nodes.find(({ node: { id, kind } }) => id === '7' && kind === 'processor');
  expect(waiter?.inCycle).toBe(false);
  for (const other of layout.nodes) if (other !== waiter) expect(other.x).toBeGreaterThan(waiter?.x ?? 0);
});

it('knows a self-deadlock as a cycle of two', () => {
  const layout = layoutGraph([edge(p(0), l(0)), edge(l(0), p(0)), edge(p(0), l(0))]);
  expect(layout.edges.map(({ opposed, inCycle }) => [opposed, inCycle])).toEqual([
    [true, true],
    [true, true],
  ]);
});

it('places every node once, inside the drawing and over no other, whatever the graph', () => {
  const some = fc.array(fc.tuple(fc.nat(12), fc.nat(12)), { maxLength: 40 });
  fc.assert(
    fc.property(some, (pairs) => {
      const layout = layoutGraph(pairs.map(([a, b]) => edge(p(a), p(b))));
      for (const [i, a] of layout.nodes.entries()) {
        expect(a.x >= 0 && a.x + NODE.width <= layout.width + 1e-9).toBe(true);
        expect(a.y >= -1e-9 && a.y + NODE.height <= layout.height + 1e-9).toBe(true);
        for (const b of layout.nodes.slice(i + 1))
          expect(Math.abs(a.x - b.x) >= NODE.width || Math.abs(a.y - b.y) >= NODE.height).toBe(true);
      }
    }),
  );
});
