/** What a processor runs goes on only as the processor does: a lock's owner that spins is behind the spin lock. */
import { Structure } from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';

export const processors: EdgeSource = defineEdgeSource({
  id: 'processor',
  run(builder: WaitGraphBuilder): void {
    const { target } = builder.diagnosis;
    for (const processor of target.processors) {
      const { currentThread, idleThread, number, prcb } = processor;
      if (currentThread === null || idleThread !== false) continue;
      builder.add({
        from: { kind: 'thread', address: currentThread },
        to: { kind: 'processor', number },
        relation: 'runs-on',
        certainty: 'recorded',
        proof: [
          {
            claim: `thread ${argument(target, currentThread)} runs on processor ${number}`,
            address: new Structure(target, '_KPRCB', prcb).addressOf('CurrentThread') ?? null,
            length: target.pointerSize,
            command: `!prcb ${number}`,
            source: '_KPRCB.CurrentThread',
          },
        ],
      });
    }
  },
});
