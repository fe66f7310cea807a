import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { plural } from '../../engine/words.ts';
import { consistency } from '../../facts/consistency.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Confidence, Finding } from '../../report/report.ts';

const MAX_TOLD = 12;

/** The dump is no picture of one instant: copied while the system ran, or contradicting itself. */
export const inconsistentDump: Pattern = definePattern({
  id: 'inconsistent-dump',
  title: 'Inconsistent Dump',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const { target } = diagnosis;
    const { live, contradictions } = diagnosis.fact(consistency);
    if (live === null && contradictions.length === 0) return [];
    const evidence = diagnosis.evidence('inconsistent');
    if (live !== null) {
      evidence.fact(`nothing stopped the processors: ${live.how}`, 'true', '.bugcheck', live.source);
    }
    for (const { claim, places } of contradictions.slice(0, MAX_TOLD)) {
      if (places.length === 0) evidence.fact(claim, 'true', null, 'layouts of the build');
      for (const place of places) evidence.memory(place.claim, 'true', place.address, place.length, place.command);
    }
    const certain = contradictions.some((contradiction) => contradiction.certain);
    const exact =
      target.layouts.trust === 'exact' ||
      contradictions.some((contradiction) => contradiction.certain && !contradiction.byLayout);
    const n = contradictions.length;
    const confidence: Confidence = live !== null ? 'strong' : !certain ? 'likely' : exact ? 'proven' : 'strong';
    const assumptions: string[] = [];
    if (live !== null) assumptions.push('the processor blocks show the time at which memory was copied');
    else if (!certain)
      assumptions.push('no processor was stopped in the middle of the update that would leave this behind');
    else if (!exact)
      assumptions.push(`the layouts in use are those of this build, which is not certain (${target.layouts.how})`);
    const first = contradictions.find((contradiction) => contradiction.certain) ?? contradictions[0];
    const title =
      n === 0
        ? 'The dump was copied from a running system'
        : live === null
          ? `The dump contradicts itself in ${plural(n, 'place')}`
          : `The dump was copied from a running system and contradicts itself in ${plural(n, 'place')}`;
    const summary = [
      live === null ? '' : 'Its pages are of different moments, so that two facts need not have held together.',
      first === undefined ? '' : `${first.claim.charAt(0).toUpperCase()}${first.claim.slice(1)}.`,
      first === undefined || live !== null
        ? ''
        : certain
          ? 'Either the dump mixes moments, or that memory was overwritten before it was written.'
          : 'That is also what a processor leaves that was stopped in the middle of the change.',
      'Findings that rest on this are one step less sure.',
    ];
    return [
      {
        ...blankFinding(
          'inconsistent-dump',
          live !== null ? 'live-system' : 'contradiction',
          confidence,
          title,
          summary.filter((part) => part !== '').join(' '),
        ),
        evidence: evidence.items,
        assumptions,
        wouldChange:
          live !== null
            ? ['a dump that Windows wrote itself: bug check, or a live dump of the kernel']
            : ['the places above in agreement'],
      },
    ];
  },
});
