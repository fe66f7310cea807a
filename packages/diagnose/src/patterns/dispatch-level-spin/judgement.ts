import type { Frame, Processor } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { SpinSite } from '../../facts/spin-sites.ts';
import type { Confidence } from '../../report/report.ts';

/** Verdict ids of dispatch-level-spin; design contract. */
export type SpinVerdict =
  | 'self-deadlock'
  | 'self-deadlock-across-levels'
  | 'leaked-lock'
  | 'lock-order-deadlock'
  | 'held-elsewhere'
  | 'holder-stuck'
  | 'holder-descheduled'
  | 'orphaned-lock'
  | 'corrupt-lock'
  | 'broken-queue'
  | 'unbounded-loop'
  | 'device-poll'
  | 'ipi-wait'
  | 'reader-writer-convoy'
  | 'transient'
  | 'undetermined';

/** What one judge says of one spinning processor. The rule makes a finding of it. */
export interface Judgement {
  readonly verdict: SpinVerdict;
  readonly confidence: Confidence;
  /** Why, in sentences whose facts are evidence items. */
  readonly why: string;
  readonly lock: { readonly kind: string; readonly address: bigint; readonly word: bigint | null } | null;
  /** Frame that holds the lock, where it is one of the spinning stack's own. */
  readonly holderFrame: Frame | null;
  readonly assumptions: readonly string[];
  readonly wouldChange: readonly string[];
  readonly downstream: readonly string[];
}

/** Other processors that may still change the wait: not known to be idle. */
export function busyElsewhere(diagnosis: Diagnosis, site: SpinSite): readonly Processor[] {
  return diagnosis.target.processors.filter(
    (processor) => processor.number !== site.waiter.processor.number && processor.idle !== true,
  );
}
