import { callerStory } from '../../bugchecks/caller.ts';
import { faultFinding } from '../../bugchecks/fault-finding.ts';
import { siteOf } from '../../bugchecks/fault-text.ts';
import { faultView } from '../../bugchecks/fault-view.ts';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { address, argument } from '../../engine/words.ts';
import type { Finding } from '../../report/report.ts';
import { unloadedFrames } from './frames.ts';

/** Code or data of a driver that is gone: its range is in the list of unloaded modules and nothing is loaded there now. */
export const unloadedModule: Pattern = definePattern({
  id: 'unloaded-module',
  title: 'Unloaded Module',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const { target } = diagnosis;
    const view = diagnosis.fact(faultView);
    if (view === null || view.category !== 'unloaded-module') return unloadedFrames(diagnosis);
    const gone = view.subject?.place?.unloaded ?? null;
    if (gone === null) return [];
    const caller = view.execute ? callerStory(diagnosis, view) : null;
    const at = view.subject === null ? '' : address(target, view.subject.address);
    return [
      faultFinding(diagnosis, view, {
        pattern: 'unloaded-module',
        title: view.execute
          ? `${at} was executed, in the range of the unloaded ${gone.name}${caller?.by == null ? '' : `, called from ${caller.by}`}`
          : `${siteOf(target, view.fault)} referenced ${at}, where ${gone.name} was loaded`,
        story: (evidence) => {
          evidence.fact(
            `${gone.name} was unloaded from ${argument(target, gone.start)}..${argument(target, gone.end)}; no module is loaded there now`,
            'true',
            'lm',
            'list of unloaded modules',
          );
          return [
            `${at} lies in the range of ${gone.name}, which has been unloaded: something kept a pointer into it (a DPC, timer, work item, callback or thread).`,
            ...(caller?.tell(evidence) ?? []),
          ];
        },
        confidence: view.agree === false ? 'likely' : 'strong',
        assumptions: ['nothing else used the range after the unloading'],
        blame: () => [
          {
            module: gone.name,
            function: null,
            role: 'designer',
            reason: 'it was unloaded while something still pointed into its image',
          },
          ...(caller?.blame ?? []),
        ],
        wouldChange: [`another owner of ${at} since the unloading`],
      }),
    ];
  },
});
