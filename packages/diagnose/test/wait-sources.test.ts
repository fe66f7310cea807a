/** Edges of the wait graph that each kind of lock and request gives, in forged dumps. */
import { describe, expect, it } from 'vitest';
import { Diagnosis } from '../src/engine/diagnosis.ts';
import { keyOf } from '../src/waits/node.ts';
import { waitGraph } from '../src/waits/wait-graph.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

function edgesOf(name: string): string[] {
  const graph = new Diagnosis(forgedTarget(scenarioNamed(name), { symbols: false })).fact(waitGraph);
  return graph.edges.map(
    (e) => `${keyOf(e.from)} ${e.relation} ${keyOf(e.to)}${e.certainty === 'inferred' ? ' (inferred)' : ''}`,
  );
}

describe('wait sources', () => {
  it('W-pushlocks', () => {
    expect(edgesOf('W-pushlocks')).toEqual([]);
  });
});
