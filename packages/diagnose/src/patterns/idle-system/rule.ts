import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

export const idleSystem: Pattern = definePattern({
  id: 'idle-system',
  title: 'Idle System',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const { target } = diagnosis;
    const { processors } = target;
    // Every processor must be known idle: one that could not be read may be the one that is stuck.
    if (
      processors.length === 0 ||
      processors.length < target.dump.header.numberProcessors ||
      processors.some((p) => p.idle !== true)
    )
      return [];
    const evidence = diagnosis.evidence('idle');
    for (const processor of processors)
      evidence.fact(
        `processor ${processor.number} is idle: ${processor.idleReason}`,
        'true',
        `~${processor.number}s; k`,
        processor.contextReason,
      );
    const finding = blankFinding(
      'idle-system',
      null,
      'strong',
      'Every processor is idle',
      'No processor runs anything but the idle loop, so no spin, spike or starvation is going on in this snapshot. If the system hangs, threads wait for each other or for a device, or the complaint lies in user space; a later dump would show it.',
    );
    return [{ ...finding, evidence: evidence.items, assumptions: ['the snapshot shows the time of the complaint'] }];
  },
});
