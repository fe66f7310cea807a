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
  /** Frame that holds the lock. */
  readonly holderFrame: Frame | null;
  /** The walk that `holderFrame` is part of, where that is not the spinning stack's own. */
  readonly holderWalk?: readonly Frame[];
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

/** Each processor of the cycle holds what the one before it waits for. */
export function lockOrder(
  base: Pick<Judgement, 'lock' | 'holderFrame' | 'holderWalk' | 'downstream'>,
  cycle: readonly number[],
  confidence: Confidence,
  wouldChange: string,
): Judgement {
  const chain = [...cycle, cycle[0] ?? 0].map((number) => `processor ${number}`).join(' waits for ');
  return {
    ...base,
    verdict: 'lock-order-deadlock',
    confidence,
    why: `A cycle of spinning processors: ${chain}. Each holds the lock that the one before it asks for, so none can go on.`,
    assumptions:
      confidence === 'strong'
        ? ['the holding frames are where their locks were taken']
        : ['the holding frames could be told only in part'],
    wouldChange: [wouldChange, 'any processor of the cycle not spinning'],
  };
}
