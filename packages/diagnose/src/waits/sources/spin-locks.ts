/** Processors that spin on a lock, and the processor or thread that holds it. */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { argument } from '../../engine/words.ts';
import { type SpinSite, spinSites } from '../../facts/spin-sites.ts';
import { placeOf } from '../../locks/holder-place.ts';
import { findHolders } from '../../locks/holders.ts';
import { holdingProcessor, queuedWaitOf } from '../../locks/spin-graph.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import type { Certainty, EdgeProof } from '../wait-edge.ts';

export const spinLocks: EdgeSource = defineEdgeSource({
  id: 'spin-lock',
  run(builder: WaitGraphBuilder): void {
    const { diagnosis } = builder;
    for (const site of diagnosis.fact(spinSites)) {
      const lock = lockOf(diagnosis, site);
      if (lock === null) continue;
      const number = site.waiter.processor.number;
      builder.add({
        from: { kind: 'processor', number },
        to: lock.node,
        relation: 'spins-on',
        certainty: 'recorded',
        proof: [lock.proof],
      });
      for (const holder of holdersOf(diagnosis, site))
        builder.add({
          from: lock.node,
          to: holder.node,
          relation: 'owned-by',
          certainty: holder.certainty,
          proof: [holder.proof],
        });
    }
  },
});

function lockOf(diagnosis: Diagnosis, site: SpinSite): { node: GraphNode; proof: EdgeProof } | null {
  const { target } = diagnosis;
  const wait = queuedWaitOf(diagnosis, site);
  const number = site.waiter.processor.number;
  const command = `~${number}s; k`;
  if (wait !== null) {
    return {
      node: { kind: 'object', object: 'queued spin lock', address: wait.lock },
      proof: {
        claim: `processor ${number} waits in its queue entry ${argument(target, wait.own)} for the queued spin lock ${argument(target, wait.lock)}`,
        address: wait.own,
        length: target.pointerSize * 2,
        command,
        source: '_KSPIN_LOCK_QUEUE',
      },
    };
  }
  const cell = site.loop.lockCell;
  // A word of 0: the lock is free and its waiter about to go on.
  if (cell === null || cell.value === 0n) return null;
  return {
    node: { kind: 'object', object: 'spin lock', address: cell.address },
    proof: {
      claim: `processor ${number} spins until the spin lock ${argument(target, cell.address)} is free`,
      address: cell.address,
      length: cell.size,
      command,
      source: 'loop analysis',
    },
  };
}

interface FoundHolder {
  readonly node: GraphNode;
  readonly certainty: Certainty;
  readonly proof: EdgeProof;
}

/** The entry of a queued lock names its holder by address; of a plain one code says who stands behind the acquire. */
function holdersOf(diagnosis: Diagnosis, site: SpinSite): FoundHolder[] {
  const { target } = diagnosis;
  const wait = queuedWaitOf(diagnosis, site);
  const show = (number: number): string => `~${number}s; k`;
  if (wait !== null) {
    if (wait.holder === null) return [];
    const entry = argument(target, wait.holder.address);
    const proof = { address: wait.holder.address, length: target.pointerSize * 2, source: '_KSPIN_LOCK_QUEUE' };
    if (wait.holder.slot !== null) {
      const number = wait.holder.slot.processor;
      const claim = `the holder's queue entry ${entry} is a slot of processor ${number}`;
      return [
        { node: { kind: 'processor', number }, certainty: 'recorded', proof: { ...proof, claim, command: '!qlocks' } },
      ];
    }
    const place = placeOf(target, site.waiter, wait.holder.address, wait.holder.stack);
    if ('live' in place && place.live === false) return [];
    if (place.kind === 'own-live' || place.kind === 'same-processor') {
      const number = site.waiter.processor.number;
      const claim = `the holder's queue entry ${entry} is on a stack of the same processor ${number}`;
      return [
        {
          node: { kind: 'processor', number },
          certainty: 'recorded',
          proof: { ...proof, claim, command: show(number) },
        },
      ];
    }
    if (place.kind === 'other-processor') {
      const { number } = place.processor;
      const claim = `the holder's queue entry ${entry} is on a stack of processor ${number}`;
      return [
        {
          node: { kind: 'processor', number },
          certainty: 'recorded',
          proof: { ...proof, claim, command: show(number) },
        },
      ];
    }
    if (place.kind === 'other-thread') {
      const claim = `the holder's queue entry ${entry} is on the stack of thread ${argument(target, place.thread.address)}`;
      const command = `!thread ${argument(target, place.thread.address)}`;
      return [
        {
          node: { kind: 'thread', address: place.thread.address },
          certainty: 'recorded',
          proof: { ...proof, claim, command },
        },
      ];
    }
    return [];
  }
  const cell = site.loop.lockCell;
  if (cell === null || cell.value === 0n) return [];
  const search = findHolders(diagnosis, site.waiter, cell.address, site.loop.frameIndex);
  const processor = holdingProcessor(diagnosis, site);
  return search.holders
    .filter(
      (holder) =>
        holder.held === 'on-all-paths' && (holder.by !== 'processor' || holder.processor?.number === processor),
    )
    .map((holder) => {
      const number = holder.by === 'self' ? site.waiter.processor.number : (holder.processor?.number ?? null);
      const node: GraphNode =
        number === null ? { kind: 'thread', address: holder.thread?.address ?? 0n } : { kind: 'processor', number };
      const who = number === null ? `thread ${argument(target, holder.thread?.address ?? 0n)}` : `processor ${number}`;
      return {
        node,
        certainty: 'inferred' as const,
        proof: {
          claim: `${who} stands in ${target.nameOf(holder.frame.pc).text} between an acquire of the lock and its release`,
          address: holder.frame.returnSlot,
          length: holder.frame.returnSlot === null ? null : target.pointerSize,
          command: number === null ? `!thread ${argument(target, holder.thread?.address ?? 0n)}` : show(number),
          source: 'data flow of the code',
        },
      };
    });
}
