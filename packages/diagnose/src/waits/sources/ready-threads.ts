/** Ready threads that every processor they may run on keeps waiting. */
import { argument, clock, count } from '../../engine/words.ts';
import { readyThreads } from '../../facts/ready-threads.ts';
import { threadTimes } from '../../facts/times.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';

export const readyThreadSource: EdgeSource = defineEdgeSource({
  id: 'ready-thread',
  run(builder: WaitGraphBuilder): void {
    const { diagnosis } = builder;
    const { target } = diagnosis;
    for (const ready of diagnosis.fact(readyThreads)) {
      const { thread, allowed } = ready;
      if (allowed.length === 0 || allowed.some((occupant) => occupant.reason === null)) continue;
      const tick = threadTimes(diagnosis, thread).tickSeconds ?? 0;
      for (const occupant of allowed) {
        builder.add({
          from: { kind: 'thread', address: thread.address },
          to: { kind: 'processor', number: occupant.processor.number },
          relation: 'needs-processor',
          certainty: 'recorded',
          combination: 'any',
          // Any of these processors would do, and a lower priority or IRQL on it is enough.
          escape: occupant.dispatch ? null : 'timeout',
          since: {
            minSeconds: Math.max(0, ready.readySeconds - tick),
            maxSeconds: ready.readySeconds + tick,
            reason: `ready for ${count(ready.readyTicks)} ticks = ${clock(ready.readySeconds)}`,
          },
          proof: [
            {
              claim: `thread ${argument(target, thread.address)} is ${ready.state} (priority ${thread.priority}, affinity ${ready.affinity?.text ?? 'unread'}); ${occupant.reason}`,
              address: thread.fieldAddress('State'),
              length: 1,
              command: `!thread ${argument(target, thread.address)}`,
              source: '_KTHREAD.State, Affinity, WaitTime',
            },
          ],
        });
      }
    }
  },
});
