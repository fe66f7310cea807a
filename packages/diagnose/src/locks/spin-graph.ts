/** Who keeps each spinning processor waiting, as edges between processors; cycles are deadlocks. */
import type { Diagnosis } from '../engine/diagnosis.ts';
import { type SpinSite, spinSites } from '../facts/spin-sites.ts';
import { knownStacks } from '../facts/stacks.ts';
import { placeOf } from './holder-place.ts';
import { findHolders } from './holders.ts';
import { blockedTargets, ipiWaitOf } from './ipi-wait.ts';
import { identifyQueuedWait, type QueuedWait, WAIT } from './queue-entry.ts';

const waits = new WeakMap<SpinSite, QueuedWait | null>();

/** The queued wait of a site, read from whichever exit waits for bit 0 of a cell. */
export function queuedWaitOf(diagnosis: Diagnosis, site: SpinSite): QueuedWait | null {
  let wait = waits.get(site);
  if (wait === undefined) {
    wait = readQueuedWait(diagnosis, site);
    waits.set(site, wait);
  }
  return wait;
}

function readQueuedWait(diagnosis: Diagnosis, site: SpinSite): QueuedWait | null {
  const stacks = diagnosis.fact(knownStacks);
  for (const exit of site.loop.exits) {
    for (const cell of exit.cells) {
      // The Lock field of a queue entry is tested at bit 0, with any operand width.
      if (cell.mask !== null && (cell.mask & 1n) === 0n) continue;
      const wait = identifyQueuedWait(diagnosis.target, stacks, cell.address, site.waiter.registers);
      if (wait !== null) return wait;
    }
  }
  return null;
}

/**
 * The other processor that holds the lock which `site` waits for; null where none does, `unknown` where what would tell
 * is not in the dump.
 */
export function holdingProcessor(diagnosis: Diagnosis, site: SpinSite): number | 'unknown' | null {
  const wait = queuedWaitOf(diagnosis, site);
  if (wait !== null) {
    // Handed over already: nobody is waited for.
    if ((wait.cellValue & WAIT) === 0n) return null;
    if (wait.holder === null) return 'unknown';
    if (wait.holder.slot !== null) return wait.holder.slot.processor;
    const place = placeOf(diagnosis.target, site.waiter, wait.holder.address, wait.holder.stack);
    if (place.kind === 'elsewhere') return 'unknown';
    return place.kind === 'other-processor' && place.live !== false ? place.processor.number : null;
  }
  if (site.loop.lockCell === null) return null;
  const { value } = site.loop.lockCell;
  if (value === null) return 'unknown';
  // A word of 0: the lock is free, whatever the frames say, and its waiter is about to go on.
  if (value === 0n) return null;
  const search = findHolders(diagnosis, site.waiter, site.loop.lockCell.address, site.loop.frameIndex);
  const holder = search.holders.find((candidate) => candidate.by === 'processor' && candidate.held === 'on-all-paths');
  if (holder?.processor != null) return holder.processor.number;
  return search.holders.length === 0 && (search.unclear.length > 0 || search.processorsSeen < search.processorsTotal)
    ? 'unknown'
    : null;
}

/** Processors without which `site` cannot go on: the holder of its lock, or the targets of its IPI that cannot take it. */
function waitsForProcessors(diagnosis: Diagnosis, site: SpinSite): readonly (number | 'unknown')[] {
  const ipi = ipiWaitOf(diagnosis, site);
  if (ipi !== null) return blockedTargets(ipi).map(({ processor }) => processor.number);
  const holder = holdingProcessor(diagnosis, site);
  return holder === null ? [] : [holder];
}

/** Where the chain of waits from `site` leads: back to it, to a link that cannot be read, or elsewhere. */
export type WaitChain =
  | { readonly end: 'cycle'; readonly cycle: readonly number[] }
  /** Processor whose own wait is for a lock of which nothing shows the holder. */
  | { readonly end: 'unknown'; readonly at: number }
  | { readonly end: 'open' };

/** Follows waits from processor to processor; a cycle lists its processors, that of `site` first. */
export function waitChain(diagnosis: Diagnosis, site: SpinSite): WaitChain {
  const sites = new Map(diagnosis.fact(spinSites).map((candidate) => [candidate.waiter.processor.number, candidate]));
  const start = site.waiter.processor.number;
  let unknown: number | null = null;
  // Depth first; each processor is entered once, so the way back to the start is found in linear time.
  const seen = new Set([start]);
  const path: { readonly number: number; readonly next: (number | 'unknown')[] }[] = [
    { number: start, next: [...waitsForProcessors(diagnosis, site)] },
  ];
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const number = top.next.shift();
    if (number === undefined) {
      path.pop();
      continue;
    }
    if (number === 'unknown') {
      unknown ??= top.number;
      continue;
    }
    if (number === start && path.length > 1) return { end: 'cycle', cycle: path.map((step) => step.number) };
    const next = sites.get(number);
    if (next === undefined || seen.has(number)) continue;
    seen.add(number);
    path.push({ number, next: [...waitsForProcessors(diagnosis, next)] });
  }
  return unknown === null ? { end: 'open' } : { end: 'unknown', at: unknown };
}

/** Processors of the cycle of waits that `site` is part of, itself first; null where its chain ends elsewhere. */
export function waitCycle(diagnosis: Diagnosis, site: SpinSite): readonly number[] | null {
  const chain = waitChain(diagnosis, site);
  return chain.end === 'cycle' ? chain.cycle : null;
}
