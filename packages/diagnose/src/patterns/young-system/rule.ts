import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { clock, plural } from '../../engine/words.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** Services and drivers still start; the pattern's own page shows 18 s. */
const MAX_SECONDS = 60;

/** Says that the system had hardly started: what is missing may just not be there yet. */
export const youngSystem: Pattern = definePattern({
  id: 'young-system',
  title: 'Young System',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const { target } = diagnosis;
    const { uptime } = target.time;
    if (uptime === null) return [];
    const seconds = Number(uptime) / 1e7;
    if (seconds <= 0 || seconds > MAX_SECONDS) return [];
    const evidence = diagnosis.evidence('young');
    evidence.fact(`the system was up for ${clock(seconds)}`, 'true', '.time', 'SystemUpTime');
    // The idle process is on no list.
    const processes = target.processes().filter(({ pid }) => pid !== 0).length;
    const whole = target.listsWhole();
    if (processes > 0)
      evidence.fact(
        `${plural(processes, 'process', 'processes')}${whole ? '' : ' at least: the lists could not be followed to their end'}`,
        whole ? 'true' : 'undetermined',
        '!process 0 0',
        'PsActiveProcessHead',
      );
    const finding = blankFinding(
      'young-system',
      null,
      'strong',
      `The system had been up for ${clock(seconds)}`,
      'It was still starting: missing services and devices mean nothing yet, and what happened belongs to the start or to the driver that starts then.',
    );
    return [
      {
        ...finding,
        evidence: evidence.items,
        assumptions: ['uptime counts from the boot: fast start and restored virtual machines keep the old one'],
      },
    ];
  },
});
