/** Processors that wait for others to take an interprocessor request, and who has not. */
import { argument } from '../../engine/words.ts';
import { spinSites } from '../../facts/spin-sites.ts';
import { blockedTargets, ipiWaitOf } from '../../locks/ipi-wait.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';

export const ipis: EdgeSource = defineEdgeSource({
  id: 'ipi',
  run(builder: WaitGraphBuilder): void {
    const { diagnosis } = builder;
    for (const site of diagnosis.fact(spinSites)) {
      const wait = ipiWaitOf(diagnosis, site);
      if (wait === null) continue;
      const { number } = site.waiter.processor;
      const request: GraphNode = { kind: 'object', object: 'IPI', address: wait.cell.address };
      builder.add({
        from: { kind: 'processor', number },
        to: request,
        relation: 'spins-on',
        certainty: 'recorded',
        proof: [
          {
            claim: `processor ${number} spins on ${wait.where.field} of processor ${wait.where.owner.number} at ${argument(diagnosis.target, wait.cell.address)}`,
            address: wait.cell.address,
            length: wait.cell.size,
            command: `~${number}s; k`,
            source: `_KPRCB.${wait.where.field}`,
          },
        ],
      });
      for (const { processor, record, text } of blockedTargets(wait))
        builder.add({
          from: request,
          to: { kind: 'processor', number: processor.number },
          relation: 'answered-by',
          certainty: record === null ? 'inferred' : 'recorded',
          proof: [
            {
              claim: `processor ${processor.number} ${text}`,
              address: record?.address ?? null,
              length: record?.size ?? null,
              command: `~${processor.number}s; r`,
              source: record?.how ?? 'interrupted registers',
            },
          ],
        });
    }
  },
});
