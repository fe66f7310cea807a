/**
 * A process object is signalled when its last thread has gone. That a process lives is normal, and what it waits for is
 * no reason why it does not end; only of one that is ending do the remaining threads keep its waiters.
 */
import type { Process } from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import type { WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';

export function addProcessObject(builder: WaitGraphBuilder, node: GraphNode, address: bigint): void {
  const { target } = builder.diagnosis;
  const process = target.process(address);
  const show = `!process ${argument(target, address)} 2`;
  const whole: GraphNode = { kind: 'process', address };
  builder.add({
    certainty: 'recorded',
    from: node,
    to: whole,
    relation: 'ends-with',
    proof: [
      {
        claim: `the object is process ${argument(target, address)} itself: it is signalled when the last thread of it ends`,
        address: address + 4n,
        length: 4,
        command: show,
        source: '_KPROCESS.Header',
      },
    ],
  });
  if (process === null) return;
  const ending = endingBy(process);
  if (ending === null) return;
  for (const thread of target.threadsOf(process)) {
    builder.add({
      certainty: 'recorded',
      from: whole,
      to: { kind: 'thread', address: thread.address },
      relation: 'ends-with',
      proof: [
        {
          claim: `process ${argument(target, address)} is ending (${ending.field}) and thread ${argument(target, thread.address)} is still in it`,
          address: ending.address,
          length: ending.length,
          command: show,
          source: `_EPROCESS.${ending.field}`,
        },
      ],
    });
  }
}

/** The field that says that the process is ending; ProcessExiting is a bit of EPROCESS.Flags in every version. */
export function endingBy(process: Process): { field: string; address: bigint; length: number } | null {
  for (const [field, length] of [
    ['ProcessExiting', 4],
    ['ExitTime', 8],
  ] as const) {
    const value = process.field(field);
    const address = process.fieldAddress(field);
    if (value !== null && value !== 0n && address !== null) return { field, address, length };
  }
  return null;
}
