/** A loop that waits for no lock where nothing records the interrupted IRQL: below DISPATCH_LEVEL it is a spike. */
import type { StackKind } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { type SpinSite, spinSites } from '../../facts/spin-sites.ts';
import { holdsSpinLock } from '../../locks/held-spin-lock.ts';
import { holdingProcessor } from '../../locks/spin-graph.ts';
import type { Judgement } from './judgement.ts';

/** Stacks of DPCs, interrupts and faults: nothing runs there at PASSIVE_LEVEL. */
const raisedStacks: ReadonlySet<StackKind> = new Set(['dpc', 'isr', 'nmi', 'double-fault', 'ist']);

/** Neither recorded (on x86 the freeze leaves only what KPCR.Irql says of the freeze itself) nor shown by anything else. */
export function levelIsUnknown(diagnosis: Diagnosis, site: SpinSite): boolean {
  const { processor, stack } = site.waiter;
  const { irql } = processor;
  if (irql !== null && (irql.kind === 'exact' || irql.level >= 2)) return false;
  if (processor.dpcRoutineActive === true) return false;
  if (stack !== null && raisedStacks.has(stack.kind)) return false;
  if (holdsSpinLock(diagnosis.target, site.waiter.frames)) return false;
  // Who holds a spin lock that another processor waits for has raised the level to take it.
  return !diagnosis
    .fact(spinSites)
    .some((other) => other.waiter.processor !== processor && holdingProcessor(diagnosis, other) === processor.number);
}

/** That the loop never ends is as sure as before; that nothing takes the processor away is assumed. */
export function perhapsBelow(judgement: Judgement): Judgement {
  return {
    ...judgement,
    confidence: judgement.confidence === 'proven' ? 'strong' : judgement.confidence,
    assumptions: [
      ...judgement.assumptions,
      'the interrupted level, which the dump does not record, is DISPATCH_LEVEL or above',
    ],
    wouldChange: [
      ...judgement.wouldChange,
      'an interrupted level below DISPATCH_LEVEL: a spike (spiking-thread) that the scheduler can end',
    ],
  };
}
