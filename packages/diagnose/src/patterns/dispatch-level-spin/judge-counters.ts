/** Verdict on a writer that waits until the reader counters of all processors are zero. */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, list } from '../../engine/words.ts';
import type { CounterArray } from '../../facts/counter-array.ts';
import { isStuck, type SpinSite, spinSites } from '../../facts/spin-sites.ts';
import type { Judgement } from './judgement.ts';

export function judgeCounters(
  diagnosis: Diagnosis,
  site: SpinSite,
  array: CounterArray,
  evidence: Evidence,
): Judgement | null {
  const { target } = diagnosis;
  const self = site.waiter.processor.number;
  const at = (i: number): bigint => array.first + BigInt(i * array.stride);
  const readers = array.counters.flatMap((counter, i) => (counter !== null && counter !== 0n ? [i] : []));
  evidence.fact(
    `the loop reads ${array.counters.length} counters of ${array.size} bytes, 0x${array.stride.toString(16)} apart from ${address(target, array.first)}: one for each processor`,
    'true',
    `u ${site.loop.start.toString(16)}`,
    'execution of the loop with every counter zero',
  );
  for (const i of readers.slice(0, 8))
    evidence.memory(`the counter of processor ${i} is ${array.counters[i]}`, 'true', at(i), array.size);
  if (readers.length === 0) return null;
  const who = list(readers.slice(0, 8).map((i) => `processor ${i}`));
  const base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream' | 'wouldChange'> = {
    lock: {
      kind: 'per-processor reader/writer lock',
      address: array.first,
      word: array.counters[readers[0] ?? 0] ?? null,
    },
    holderFrame: null,
    downstream: [],
    wouldChange: readers.slice(0, 4).map((i) => `a counter of 0 at ${address(target, at(i))}`),
  };
  const owner = 'entry n of the array belongs to processor n';
  const states = readers.map((i) => target.processors.find(({ number }) => number === i));
  const told = `A writer on processor ${self} waits until no processor reads any more; ${who} still counts as a reader.`;
  if (readers.includes(self))
    return {
      ...base,
      verdict: 'self-deadlock',
      confidence: 'likely',
      why: `${told} That is the waiting processor itself: it asked for the lock to write while it reads.`,
      assumptions: [owner, 'the counter was raised by the code that now waits'],
    };
  const idle = states.filter((processor) => processor?.idle === true);
  const stuck = states.find(
    (processor) =>
      processor !== undefined &&
      diagnosis.fact(spinSites).some((other) => other.waiter.processor.number === processor.number && isStuck(other)),
  );
  if (stuck !== undefined)
    return {
      ...base,
      verdict: 'holder-stuck',
      confidence: 'likely',
      why: `${told} Processor ${stuck.number} cannot leave a loop itself: the root is there.`,
      assumptions: [owner],
    };
  if (idle.length > 0)
    return {
      ...base,
      verdict: 'orphaned-lock',
      confidence: 'likely',
      why: `${told} ${list(idle.map((processor) => `Processor ${processor?.number}`))} is idle: a reader has left without taking its count back, or was switched out with it.`,
      assumptions: [owner],
    };
  if (states.some((processor) => processor === undefined || processor.interrupted === null))
    return {
      ...base,
      verdict: 'undetermined',
      confidence: 'possible',
      why: `${told} What it executes could not be read.`,
      assumptions: [],
    };
  return {
    ...base,
    verdict: 'reader-writer-convoy',
    confidence: 'likely',
    why: `${told} It executes and can still leave.`,
    assumptions: [owner],
  };
}
