/**
 * Verdict on a releaser of a queued spin lock that waits for its successor to link itself: somebody has exchanged the tail
 * and has not written our Next yet. That takes two instructions, so whoever keeps it open was stopped between them.
 */
import { threadRegisters } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument } from '../../engine/words.ts';
import type { ChainWait } from '../../facts/loop-view.ts';
import { isStuck, type SpinSite, spinSites, unexaminedProcessors } from '../../facts/spin-sites.ts';
import { knownStacks, RUNNING } from '../../facts/stacks.ts';
import { placeOf } from '../../locks/holder-place.ts';
import { chainBefore } from '../../locks/queue-entry.ts';
import { queuedWaitOf } from '../../locks/spin-graph.ts';
import type { Judgement } from './judgement.ts';
import { frameElsewhere } from './mechanism.ts';

export function judgeChain(diagnosis: Diagnosis, site: SpinSite, wait: ChainWait, evidence: Evidence): Judgement {
  const { target } = diagnosis;
  const a = (value: bigint): string => address(target, value);
  const size = 2 * target.pointerSize;
  evidence.memory(
    `the loop waits for Next of its own queue entry ${a(wait.entry)}, which names the lock ${a(wait.lock)}: it gives the lock back to a successor that has not linked itself`,
    'true',
    wait.entry,
    size,
    `dd ${argument(target, wait.entry)} l${(size / 4).toString(16)}`,
  );
  evidence.memory(
    `the lock word is another entry of this lock, ${a(wait.tail)}: somebody has exchanged the tail`,
    'true',
    wait.lock,
    target.pointerSize,
  );
  // From the tail back to the entry that nobody links: that is who should have linked itself to ours.
  const chain = chainBefore(target, diagnosis.fact(knownStacks), wait.tail, wait.lock);
  const next = chain.at(-1);
  const base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'> = {
    lock: { kind: 'queued spin lock', address: wait.lock, word: wait.tail },
    holderFrame: null,
    downstream: [],
  };
  const wouldChange = [`another value than 0 at ${a(wait.entry)}`];
  const result = (
    verdict: Judgement['verdict'],
    confidence: Judgement['confidence'],
    why: string,
    assumptions: readonly string[] = [],
    holding: Pick<Judgement, 'holderFrame' | 'holderWalk'> | null = null,
  ): Judgement => ({ ...base, ...holding, verdict, confidence, why, assumptions, wouldChange });
  if (next === undefined || next.address === wait.entry)
    return result(
      'undetermined',
      'possible',
      `Whose entry should follow ${a(wait.entry)} in the queue cannot be told from the entries that were found.`,
    );
  const entry = a(next.address);
  evidence.memory(
    `entry ${entry} is linked by none of this lock: its owner is the successor that has not linked itself`,
    'true',
    next.address,
    size,
  );
  const place =
    next.slot === null
      ? placeOf(target, site.waiter, next.address, next.stack)
      : ({ kind: 'prcb', ...next.slot } as const);
  const waitsIn = diagnosis
    .fact(spinSites)
    .find((other) => other !== site && queuedWaitOf(diagnosis, other)?.own === next.address);
  if (waitsIn !== undefined)
    return result(
      'broken-queue',
      'likely',
      `Processor ${waitsIn.waiter.processor.number} already waits in entry ${entry} for the lock to be handed over, so it has linked itself: Next of ${a(wait.entry)} was overwritten since. Neither can go on.`,
      ['its waiting loop comes behind the store that links the entry'],
    );
  switch (place.kind) {
    case 'own-live':
      return place.trapFrame === null
        ? result(
            'broken-queue',
            'possible',
            `Entry ${entry} lies in a live frame of this very stack, which cannot be between the two instructions of an acquire.`,
          )
        : result(
            'self-deadlock-across-levels',
            'strong',
            `Entry ${entry} lies in code that this processor interrupted: it exchanged the tail and was stopped before it linked its entry, and cannot go on before the interrupt that waits for it returns.`,
            ['the interrupted code stands between exchanging the tail and linking its entry'],
          );
    case 'same-processor':
      return result(
        'self-deadlock-across-levels',
        place.live === true ? 'strong' : 'likely',
        `Entry ${entry} lies on the ${place.stack.kind} stack of this same processor, which cannot run again before the waiting code returns: it was interrupted before it linked its entry.`,
        ['the interrupted code stands between exchanging the tail and linking its entry'],
      );
    case 'own-dead':
      return result(
        'broken-queue',
        'likely',
        `Entry ${entry} lies in the dead part of this stack: whoever put it there has returned, and will never link it.`,
        ['nobody kept the address of the dead entry'],
      );
    case 'other-thread':
      return place.thread.state === RUNNING
        ? result(
            'undetermined',
            'possible',
            `Entry ${entry} lies on the stack of thread ${a(place.thread.address)}, which runs on a processor that cannot be read.`,
          )
        : result(
            'holder-descheduled',
            place.live === true ? 'strong' : 'likely',
            `Entry ${entry} lies on the stack of thread ${a(place.thread.address)}, which runs on no processor: it was switched out between exchanging the tail and linking its entry, so it asked for the lock below DISPATCH_LEVEL.`,
            ['the entry belongs to the frame that it lies in'],
            frameElsewhere(target, threadRegisters(target, place.thread.address), next.address),
          );
    case 'other-processor':
    case 'prcb': {
      const number = place.kind === 'prcb' ? place.processor : place.processor.number;
      const other = target.processors.find((processor) => processor.number === number);
      const stuck = diagnosis
        .fact(spinSites)
        .some((sibling) => sibling.waiter.processor.number === number && isStuck(sibling));
      if (stuck)
        return result(
          'holder-stuck',
          'likely',
          `Entry ${entry} belongs to processor ${number}, which cannot leave a loop itself before it has linked it: the root is there.`,
        );
      const hidden = diagnosis.fact(unexaminedProcessors).find(({ processor }) => processor.number === number);
      const open = diagnosis
        .fact(spinSites)
        .some((site_) => site_.waiter.processor.number === number && site_.loop.execution.end === 'unknown');
      if (other?.idle !== true && (hidden !== undefined || open))
        return result(
          'undetermined',
          'possible',
          `Entry ${entry} belongs to processor ${number}; whether that goes on and links it is not known${hidden === undefined ? '' : `: ${hidden.why}`}.`,
        );
      if (other?.idle === true)
        return result(
          'broken-queue',
          'likely',
          `Entry ${entry} belongs to processor ${number}, which is idle: nobody will link it.`,
          ['no other code kept the address of the entry'],
        );
      return result(
        'transient',
        'likely',
        `Processor ${number} has exchanged the tail and links its entry ${entry} next: the moment between the two was captured.`,
        ['that processor goes on'],
      );
    }
    case 'elsewhere':
      return result(
        'undetermined',
        'possible',
        `Entry ${entry} lies on no known stack and in no PRCB; whose it is cannot be told.`,
      );
  }
}
