import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { plural } from '../../engine/words.ts';
import { readyThreads } from '../../facts/ready-threads.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** No processor idles. One snapshot may catch that by luck, so threads that wait for a processor decide how sure it is. */
export const busySystem: Pattern = definePattern({
  id: 'busy-system',
  title: 'Busy System',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const { target } = diagnosis;
    const { processors } = target;
    // With one processor, the dump's own trigger is enough to make it busy.
    if (processors.length < 2 || processors.length < target.dump.header.numberProcessors) return [];
    if (processors.some((processor) => processor.idle !== false || processor.idleThread !== false)) return [];
    const waiting = diagnosis.fact(readyThreads).length;
    const evidence = diagnosis.evidence('busy');
    for (const processor of processors)
      evidence.fact(
        `processor ${processor.number} runs thread ${processor.currentThread?.toString(16) ?? '?'}, not its idle thread`,
        'true',
        '!running -t',
        `KPRCB ${processor.prcb.toString(16)} CurrentThread and IdleThread`,
      );
    evidence.fact(
      `${plural(waiting, 'thread')} ready and not running`,
      waiting > 0 ? 'true' : 'false',
      '!ready',
      '_KTHREAD.State',
    );
    const finding = blankFinding(
      'busy-system',
      null,
      waiting >= processors.length ? 'likely' : 'possible',
      `None of ${processors.length} processors is idle`,
      `Every processor runs a thread${waiting === 0 ? ', and none waits for a processor: one snapshot may show that by luck' : `, and ${plural(waiting, 'more thread waits', 'more threads wait')} for one`}. What the running threads do says whether that is work or a spin.`,
    );
    return [
      {
        ...finding,
        evidence: evidence.items,
        assumptions: ['the snapshot is typical of the minutes before it'],
        wouldChange: ['a second dump with an idle processor'],
      },
    ];
  },
});
