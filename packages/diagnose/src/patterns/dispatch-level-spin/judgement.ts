import type { Frame, Processor } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { isManualCode } from '../../facts/dump-taker.ts';
import { type SpinSite, spinSites, unexaminedProcessors } from '../../facts/spin-sites.ts';
import { ipiWaitOf } from '../../locks/ipi-wait.ts';
import { waitChain } from '../../locks/spin-graph.ts';
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
  /** Why that frame is blamed, where it holds no lock. */
  readonly holderReason?: string;
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

/** `processor 0 waits for processor 1 to take its IPI; processor 1 waits for a lock that processor 0 holds`. */
export function cycleText(diagnosis: Diagnosis, cycle: readonly number[]): string {
  const sites = diagnosis.fact(spinSites);
  return cycle
    .map((number, i) => {
      const next = cycle[(i + 1) % cycle.length] ?? number;
      const site = sites.find((candidate) => candidate.waiter.processor.number === number);
      return site !== undefined && ipiWaitOf(diagnosis, site) !== null
        ? `processor ${number} waits for processor ${next} to take its IPI`
        : `processor ${number} waits for a lock that processor ${next} holds`;
    })
    .join('; ');
}

/** Each processor of the cycle waits for the next; where an IPI is among the waits, the root is named, not the order of locks. */
export function lockOrder(
  diagnosis: Diagnosis,
  base: Pick<Judgement, 'lock' | 'holderFrame' | 'holderWalk' | 'downstream'>,
  cycle: readonly number[],
  confidence: Confidence,
  wouldChange: string,
): Judgement {
  const assumptions = [
    confidence === 'strong'
      ? 'the holding frames are where their locks were taken'
      : 'the holding frames could be told only in part',
  ];
  const mixed = diagnosis
    .fact(spinSites)
    .some((site) => cycle.includes(site.waiter.processor.number) && ipiWaitOf(diagnosis, site) !== null);
  if (mixed)
    return {
      ...base,
      verdict: 'holder-stuck',
      confidence,
      why: `The holder cannot release the lock, for it waits for this processor in turn: ${cycleText(diagnosis, cycle)}. This processor spins with interrupts off or at a level at which IPIs are not taken.`,
      assumptions,
      wouldChange: [wouldChange, 'interrupts on while this processor spins'],
    };
  const chain = [...cycle, cycle[0] ?? 0].map((number) => `processor ${number}`).join(' waits for ');
  return {
    ...base,
    verdict: 'lock-order-deadlock',
    confidence,
    why: `A cycle of spinning processors: ${chain}. Each holds the lock that the one before it asks for, so none can go on.`,
    assumptions,
    wouldChange: [wouldChange, 'any processor of the cycle not spinning'],
  };
}

/**
 * What becomes of a wait whose lock another processor holds, where that processor's own state decides more than that it
 * holds it: a cycle of waits, or a state that could not be read far enough to tell one from the other. Null elsewhere.
 */
export function byHoldersState(
  diagnosis: Diagnosis,
  site: SpinSite,
  holder: Processor,
  base: Pick<Judgement, 'lock' | 'holderFrame' | 'holderWalk' | 'downstream'>,
  cycleConfidence: Confidence,
  wouldChange: string,
): Judgement | null {
  const chain = waitChain(diagnosis, site);
  if (chain.end === 'cycle') return lockOrder(diagnosis, base, chain.cycle, cycleConfidence, wouldChange);
  const open: Pick<Judgement, 'verdict' | 'confidence' | 'assumptions'> = {
    verdict: 'undetermined',
    confidence: 'possible',
    assumptions: [],
  };
  const hidden = diagnosis
    .fact(unexaminedProcessors)
    .find(({ processor }) => processor.number === holder.number && holder.idle !== true);
  if (hidden !== undefined)
    return {
      ...base,
      ...open,
      why: `Processor ${holder.number} holds the lock; whether it can still release it is not known: ${hidden.why}.`,
      wouldChange: [wouldChange, `what processor ${holder.number} executes`],
    };
  if (chain.end === 'unknown')
    return {
      ...base,
      ...open,
      why: `Processor ${holder.number} holds the lock${chain.at === holder.number ? ' and spins itself' : ''}; who holds the lock that processor ${chain.at} waits for could not be read. If it is processor ${site.waiter.processor.number}, they wait for each other.`,
      wouldChange: [wouldChange, `the holder of the lock that processor ${chain.at} waits for`],
    };
  return null;
}

/** Whether a processor that holds a lock can still give it back: not the one that crashed. */
export function canStillRelease(diagnosis: Diagnosis, holder: Processor | null): string {
  const { bugcheck } = diagnosis.target;
  const crashed = holder?.contextTrust === 'bugchecking' && bugcheck !== null && !isManualCode(bugcheck.baseCode);
  return crashed
    ? `the bug check ${bugcheck.code.toString(16)} stopped it there and the lock is never released: that is the root, and this spin a side scene`
    : 'it is executing and can still release it';
}
