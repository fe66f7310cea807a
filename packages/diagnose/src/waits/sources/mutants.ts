/** KMUTANT: OwnerThread is set while SignalState is 0 or less; a free one keeps 1 and may keep a stale owner. */
import { Structure } from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import type { WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';

export function addMutant(builder: WaitGraphBuilder, node: GraphNode, address: bigint): void {
  const { target } = builder.diagnosis;
  const mutant = new Structure(target, '_KMUTANT', address);
  const owner = mutant.value('OwnerThread');
  const at = mutant.addressOf('OwnerThread');
  const state = new Structure(target, '_DISPATCHER_HEADER', address).signed('SignalState');
  if (owner === undefined || at === undefined || state === undefined) {
    builder.limit(`the owner of mutant ${argument(target, address)}`, 'its _KMUTANT could not be read');
    return;
  }
  if (owner === 0n || state > 0) return;
  builder.add({
    from: node,
    to: { kind: 'thread', address: owner },
    relation: 'owned-by',
    certainty: 'recorded',
    proof: [
      {
        claim: `mutant ${argument(target, address)} is owned by thread ${argument(target, owner)} (SignalState ${state})`,
        address: at,
        length: target.pointerSize,
        command: `dt nt!_KMUTANT ${argument(target, address)}`,
        source: '_KMUTANT.OwnerThread',
      },
    ],
  });
}
