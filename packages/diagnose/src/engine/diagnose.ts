import type { Target } from '@dumpscope/debugger';
import { consistency } from '../facts/consistency.ts';
import { patterns, reviews } from '../patterns/index.ts';
import { buildReport } from '../report/build.ts';
import type { Confidence, Finding, Report } from '../report/report.ts';
import { waitGraph } from '../waits/wait-graph.ts';
import { capByConsistency } from './confidence-cap.ts';
import { Diagnosis } from './diagnosis.ts';

const rank: Readonly<Record<Confidence, number>> = { proven: 0, strong: 1, likely: 2, possible: 3 };

/** True where `confidence` is at or above `floor`: the rule of `--fail-on`. */
export function atLeast(confidence: Confidence, floor: Confidence): boolean {
  return rank[confidence] <= rank[floor];
}

/** Runs every rule over the target. Same dump, same symbols, same answer: nothing of the host enters. */
export function diagnose(target: Target, toolVersion: string): Report {
  const diagnosis = new Diagnosis(target);
  const found = patterns
    .flatMap((pattern) => pattern.run(diagnosis))
    .map((finding) =>
      contextPatterns.has(finding.pattern) ? finding : capByConsistency(finding, diagnosis.fact(consistency)),
    );
  const explaining = found.filter((finding) => !contextPatterns.has(finding.pattern));
  const findings = [...found, ...reviews.flatMap((review) => review.run(diagnosis, explaining))].map((finding) => ({
    finding,
    weight: weigh(finding),
  }));
  // Sorting is stable: findings of equal weight stay in the order of patterns/index.ts.
  findings.sort((a, b) => a.weight - b.weight);
  return buildReport(
    target,
    findings.map(({ finding }) => finding),
    toolVersion,
    unreadWaits(diagnosis),
  );
}

/** Where waits and owners could not be read; a triage dump keeps next to none of them, and nobody expects them there. */
function unreadWaits(diagnosis: Diagnosis): Report['limits'] {
  if (diagnosis.target.dump.triage !== null || diagnosis.target.processors.length === 0) return [];
  return diagnosis
    .fact(waitGraph)
    .limits.slice(0, MAX_WAIT_LIMITS)
    .map(({ what, why }) => ({ what, why, wouldNeed: null }));
}

const MAX_WAIT_LIMITS = 16;

/** What explains the state comes first; what describes the dump comes after, whatever its confidence. */
function weigh(finding: Finding): number {
  const context = contextPatterns.has(finding.pattern) ? 20 : 0;
  const inert = finding.verdict === 'transient' || finding.verdict === 'undetermined' ? 5 : 0;
  const symptom = isSymptom(finding) ? 10 : 0;
  return context + inert + symptom + rank[finding.confidence];
}

/** A DPC that runs too long is a cause that the finding blames; behind a spin it is a symptom of that, and blames nobody. */
function isSymptom({ pattern, verdict, blame }: Finding): boolean {
  if (!symptomPatterns.has(pattern) || causes.has(verdict ?? '')) return false;
  return verdict !== 'long-dpc' || blame.length === 0;
}

/** What a cause looks like from outside: named beside the cause, behind every finding that explains it. */
const symptomPatterns: ReadonlySet<string> = new Set([
  'spiking-thread',
  'distributed-spike',
  'thread-starvation',
  'affine-thread',
  'dpc-blockage',
  'high-contention',
  'busy-system',
  'waiting-thread-time',
  'suspended-thread',
  'blocked-thread',
  'missing-thread',
]);

/** Verdicts of symptom patterns that explain what others wait for. */
const causes: ReadonlySet<string> = new Set(['blocks-others', 'orphaned-owner']);

const contextPatterns: ReadonlySet<string> = new Set([
  'manual-dump',
  'truncated-dump',
  'inconsistent-dump',
  'idle-system',
  'young-system',
  'no-component-symbols',
  'incorrect-stack-trace',
  'coincidental-symbolic-information',
  'passive-thread',
]);
