import type { Contradiction } from '../facts/consistency/contradiction.ts';
import type { Consistency } from '../facts/consistency.ts';
import type { Confidence, Finding } from '../report/report.ts';

/** One assumption more: what followed needs one now, what needed one is the best of several. */
const weaker: Readonly<Record<Confidence, Confidence>> = {
  proven: 'strong',
  strong: 'likely',
  likely: 'likely',
  possible: 'possible',
};

/**
 * A finding about a state that the dump contradicts itself on, or that was copied piece by piece, is no surer than the
 * assumption that it all was of one instant.
 */
export function capByConsistency(finding: Finding, { live, contradictions }: Consistency): Finding {
  const because =
    live === null
      ? contradictions.find((contradiction) => restsOn(finding, contradiction))?.claim
      : 'memory was copied while the system ran';
  if (because === undefined) return finding;
  return {
    ...finding,
    confidence: weaker[finding.confidence],
    assumptions: [
      ...finding.assumptions,
      `the facts above are of one instant, although the dump is inconsistent (${because})`,
    ],
  };
}

function restsOn(finding: Finding, { about, places }: Contradiction): boolean {
  if (about === 'everything') return true;
  const { threads = [], processes = [], processors = [] } = about;
  const names = (objects: readonly bigint[], value: string | null): boolean =>
    value !== null && objects.some((object) => object === BigInt(value));
  if (names(threads, finding.thread) || names(processes, finding.process)) return true;
  if (finding.processor !== null && processors.includes(finding.processor)) return true;
  return finding.evidence.some(
    ({ address, length }) =>
      address !== null &&
      places.some(
        (place) =>
          BigInt(address) < place.address + BigInt(place.length) &&
          BigInt(address) + BigInt(length ?? 1) > place.address,
      ),
  );
}
