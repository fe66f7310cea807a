/** A thread object is signalled when the thread has ended: its waiters wait for whatever keeps the thread. */
import { Structure } from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import type { WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';

export function addThreadObject(builder: WaitGraphBuilder, node: GraphNode, address: bigint): void {
  const { target } = builder.diagnosis;
  builder.add({
    from: node,
    to: { kind: 'thread', address },
    relation: 'ends-with',
    certainty: 'recorded',
    proof: [
      {
        claim: `the object is thread ${argument(target, address)} itself: it is signalled when the thread ends`,
        address: new Structure(target, '_DISPATCHER_HEADER', address).addressOf('SignalState') ?? address,
        length: 4,
        command: `!thread ${argument(target, address)}`,
        source: '_KTHREAD.Header',
      },
    ],
  });
}
