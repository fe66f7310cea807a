/** What the drawings of a spin show: the loop, the lock over the stacks, and who waits for whom. */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { address, json } from '../../engine/words.ts';
import type { SpinSite } from '../../facts/spin-sites.ts';
import type { ProfileShape, WatchdogProfile } from '../../facts/watchdog-profile.ts';
import { placeOf } from '../../locks/holder-place.ts';
import { findHolders } from '../../locks/holders.ts';
import { queuedWaitOf } from '../../locks/spin-graph.ts';
import type { FindingPicture, WaitEdge, WaitNode } from '../../report/picture.ts';
import type { LoopExit } from '../../report/report.ts';
import { lockNode, processorNode, threadNode, unknownNode } from '../../report/wait-nodes.ts';
import type { Judgement } from './judgement.ts';
import { linesToBackEdge, loopLines } from './picture-loop.ts';
import { queuePicture } from './picture-queue.ts';

export function spinPicture(diagnosis: Diagnosis, site: SpinSite, judgement: Judgement): FindingPicture {
  return {
    loop: loopLines(diagnosis.target, site),
    loopLength: site.loop.instructionCount,
    queue: queuePicture(diagnosis, site, judgement),
    waits: waitsOf(diagnosis, site, judgement),
    profile: null,
  };
}

/** The captured part of a loop that a watchdog's profile shows, and where its samples fell. */
export function watchdogPicture(
  diagnosis: Diagnosis,
  profile: WatchdogProfile,
  shape: ProfileShape,
  code: { readonly end: bigint; readonly exits: readonly LoopExit[] },
): FindingPicture {
  const { target } = diagnosis;
  const registers = profile.processor.interrupted;
  return {
    loop: registers === null ? [] : linesToBackEdge(target, registers, code.end, code.exits[0] ?? null),
    loopLength: null,
    queue: null,
    waits: [],
    profile: {
      samples: profile.samples.length,
      places: shape.pcs.map(({ pc, times }) => ({
        address: json(pc) ?? '',
        symbol: target.nameOf(pc).text,
        times,
      })),
    },
  };
}

function waitsOf(diagnosis: Diagnosis, site: SpinSite, judgement: Judgement): readonly WaitEdge[] {
  const { target } = diagnosis;
  const from = processorNode(target, site.waiter.processor.number);
  const needs = site.loop.exits.find((exit) => exit.needs !== null)?.needs ?? null;
  if (judgement.lock === null) {
    const cells = site.loop.execution.end === 'cycle' && judgement.verdict === 'unbounded-loop' ? [] : site.loop.exits;
    const seen = new Map(cells.flatMap((exit) => exit.cells).map((cell) => [cell.address, cell]));
    return [...seen.keys()].slice(0, 4).map((cell) => ({
      from,
      to: {
        kind: 'memory',
        id: json(cell) ?? '',
        label: judgement.verdict === 'device-poll' ? 'device register' : 'whoever writes',
        detail: address(target, cell),
      },
      label: needs === null ? 'polls' : `needs ${needs}`,
    }));
  }
  const lock = lockNode(target, judgement.lock.kind, judgement.lock.address);
  const waits: WaitEdge[] = [{ from, to: lock, label: needs === null ? 'spins for it' : `needs ${needs}` }];
  if (judgement.verdict === 'transient') return waits;
  const held = holderNode(diagnosis, site, judgement);
  if (held !== null) waits.push({ from: lock, ...held });
  return waits;
}

/** Who the lock waits for in turn; null where its own bytes are what is wrong. */
function holderNode(
  diagnosis: Diagnosis,
  site: SpinSite,
  judgement: Judgement,
): { to: WaitNode; label: string } | null {
  const { target } = diagnosis;
  const self = processorNode(target, site.waiter.processor.number);
  const lock = json(judgement.lock?.address) ?? '';
  const lost = (label: string): { to: WaitNode; label: string } => ({
    to: unknownNode(`holder of ${lock}`, label),
    label: 'held by',
  });
  if (judgement.verdict === 'corrupt-lock' || judgement.verdict === 'broken-queue') return null;
  if (judgement.verdict === 'orphaned-lock') return lost('nobody: left held');
  const wait = queuedWaitOf(diagnosis, site);
  if (wait !== null) {
    if (wait.holder === null)
      // The entry before ours was overwritten: the stack that it lies in still says whose it was.
      return judgement.verdict === 'leaked-lock' ? { to: self, label: 'left held by' } : lost('holder not found');
    if (wait.holder.slot !== null) return { to: processorNode(target, wait.holder.slot.processor), label: 'held by' };
    const place = placeOf(target, site.waiter, wait.holder.address, wait.holder.stack);
    switch (place.kind) {
      case 'own-live':
      case 'same-processor':
        return { to: self, label: 'held by' };
      case 'own-dead':
        return { to: self, label: 'left held by' };
      case 'prcb':
        return { to: processorNode(target, place.processor), label: 'held by' };
      case 'other-processor':
        return { to: processorNode(target, place.processor.number), label: 'held by' };
      case 'other-thread':
        return { to: threadNode(target, place.thread.address), label: 'held by' };
      case 'elsewhere':
        return lost(`owner of entry ${address(target, wait.holder.address)}`);
    }
  }
  if (judgement.lock === null || judgement.lock.word === null) return lost('holder not known');
  const search = findHolders(diagnosis, site.waiter, judgement.lock.address, site.loop.frameIndex);
  const holder = search.holders.find((candidate) => candidate.held === 'on-all-paths') ?? search.holders[0];
  const label = holder?.held === 'on-some-paths' ? 'perhaps held by' : 'held by';
  if (holder?.by === 'self') return { to: self, label };
  if (holder?.processor != null) return { to: processorNode(target, holder.processor.number), label };
  if (holder?.thread != null) return { to: threadNode(target, holder.thread.address), label };
  return lost('holder not found');
}
