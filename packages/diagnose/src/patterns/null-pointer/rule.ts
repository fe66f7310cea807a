import { callerStory } from '../../bugchecks/caller.ts';
import { faultFinding } from '../../bugchecks/fault-finding.ts';
import { faultView } from '../../bugchecks/fault-view.ts';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import type { Finding } from '../../report/report.ts';

/** A reference to the first 64 KB: data through a null pointer, or a call through one. */
export const nullPointer: Pattern = definePattern({
  id: 'null-pointer',
  title: 'NULL Pointer',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const view = diagnosis.fact(faultView);
    if (view === null || view.category !== 'null-pointer') return [];
    if (view.verdict === 'code') {
      const caller = callerStory(diagnosis, view);
      return [
        faultFinding(diagnosis, view, {
          pattern: 'null-pointer',
          title: `${caller.by === null ? 'A call or jump went' : `${caller.by} called`} ${view.subject?.address === 0n ? 'through a null pointer' : 'into the null page'}`,
          story: caller.tell,
          ...(caller.blame.length === 0 ? {} : { blame: () => caller.blame }),
        }),
      ];
    }
    return [faultFinding(diagnosis, view, { pattern: 'null-pointer' })];
  },
});
