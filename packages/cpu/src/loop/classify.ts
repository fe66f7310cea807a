import type { Protocol } from './protocol.ts';
import { exSpinLock, plainLock } from './shapes/locks.ts';
import { chainValid, queuedHandoff } from './shapes/queued.ts';
import type { Shape, ShapeInput } from './shapes/shape.ts';
import { counter, listWalk, memoryWait, ring, timeWait } from './shapes/walks.ts';

/** From the most specific to the most general; the first that fits names the loop. */
const SHAPES: readonly Shape[] = [
  queuedHandoff,
  chainValid,
  exSpinLock,
  plainLock,
  ring,
  listWalk,
  counter,
  timeWait,
  memoryWait,
];

export function classify(input: ShapeInput): Protocol {
  for (const shape of SHAPES) {
    const found = shape(input);
    if (found) return found;
  }
  const why = input.exits.length === 0 ? 'it has no exit' : 'its exits depend on nothing that is recognised';
  return { kind: 'unclassified', why };
}
