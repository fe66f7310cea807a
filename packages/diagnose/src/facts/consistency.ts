/**
 * Does the dump show one instant? Windows stops every processor before it writes; a tool that copies memory while the system
 * runs mixes moments, and then any two facts may be of different times. What is missing is unknown and contradicts nothing.
 */
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import type { Contradiction } from './consistency/contradiction.ts';
import { listContradictions } from './consistency/lists.ts';
import { membershipContradictions } from './consistency/membership.ts';
import { runningContradictions } from './consistency/running.ts';
import { timeContradictions } from './consistency/times.ts';

export interface Consistency {
  /** Memory was copied while the processors ran; `how` says what shows it. */
  readonly live: { readonly how: string; readonly source: string } | null;
  readonly contradictions: readonly Contradiction[];
}

export const consistency: FactKey<Consistency> = defineFact('consistency', (diagnosis: Diagnosis) => {
  const { target } = diagnosis;
  const contradictions = [
    ...listContradictions(target),
    ...runningContradictions(target),
    ...membershipContradictions(target),
    ...timeContradictions(target),
  ];
  return { live: live(diagnosis), contradictions };
});

/**
 * No bug check, and no processor that was frozen: nothing stopped the machine. The mark of an acquisition tool alone is not
 * enough, because such tools also convert files that Windows wrote.
 */
function live({ target }: Diagnosis): Consistency['live'] {
  const { processors } = target;
  if (target.bugcheck !== null || processors.length === 0) return null;
  if (!processors.every(({ contextTrust }) => contextTrust === 'stale' || contextTrust === 'missing')) return null;
  const [known] = processors.filter(({ contextTrust }) => contextTrust === 'stale');
  if (known === undefined) return null;
  return {
    how: `${target.bugcheckNote ?? 'no bug check is recorded'}; ${known.contextReason}`,
    source: 'dump header; KPRCB.IpiFrozen',
  };
}
