import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { plural } from '../../engine/words.ts';
import { readyThreads } from '../../facts/ready-threads.ts';
import { toolRequest } from '../../facts/tool-request.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** Less of the uptime in the idle threads than this, and a busy snapshot is no luck. */
const RARELY_IDLE = 0.1;

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
    // Whoever took the dump had to run somewhere.
    const tool = diagnosis.fact(toolRequest);
    const idled = idleShare(diagnosis, evidence);
    const rarelyIdle = idled !== null && idled < RARELY_IDLE;
    const finding = blankFinding(
      'busy-system',
      null,
      tool === null && (waiting >= processors.length || (waiting > 0 && rarelyIdle)) ? 'likely' : 'possible',
      `None of ${processors.length} processors is idle`,
      `Every processor runs a thread${waiting === 0 ? ', and none waits for a processor: one snapshot may show that by luck' : `, and ${plural(waiting, 'more thread waits', 'more threads wait')} for one`}. What the running threads do says whether that is work or a spin.`,
    );
    return [
      {
        ...finding,
        evidence: evidence.items,
        assumptions: [
          'the snapshot is typical of the minutes before it',
          ...(tool === null ? [] : [`processor ${tool.processor.number} would run a thread without the dump, too`]),
        ],
        wouldChange: ['a second dump with an idle processor'],
      },
    ];
  },
});

/** Share of the uptime that the idle threads have run (their KernelTime), over all processors; null where one is unread. */
function idleShare(diagnosis: Diagnosis, evidence: Evidence): number | null {
  const { target } = diagnosis;
  const ticks = target.time.tickCount;
  if (ticks === null || ticks <= 0n) return null;
  let sum = 0;
  for (const { idleThreadAddress } of target.processors) {
    const time = idleThreadAddress === null ? null : (target.thread(idleThreadAddress)?.kernelTime ?? null);
    if (time === null) return null;
    sum += time;
  }
  // Idle threads that never ran tell of times that nobody kept, not of a system that was never idle.
  if (sum === 0) return null;
  const share = Math.min(1, sum / (Number(ticks) * target.processors.length));
  evidence.fact(
    `the idle threads have run ${(share * 100).toFixed(1)} % of the time since the system started`,
    share < RARELY_IDLE ? 'true' : 'false',
    '!running -i',
    '_KTHREAD.KernelTime of the idle threads',
  );
  return share;
}
