/** Verdict on a queued wait whose holder's entry was found: by whose stack it lies in, and in which part. */
import { type Frame, threadRegisters } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument, irqlName, plural } from '../../engine/words.ts';
import { isStuck, type SpinSite, spinSites } from '../../facts/spin-sites.ts';
import { RUNNING } from '../../facts/stacks.ts';
import type { HolderPlace } from '../../locks/holder-place.ts';
import { oldIrqlSaved } from '../../locks/old-irql.ts';
import { type QueuedWait, type QueueEntry, WAIT } from '../../locks/queue-entry.ts';
import { byHoldersState, canStillRelease, type Judgement } from './judgement.ts';
import { frameElsewhere, frameHolding, mechanism } from './mechanism.ts';

export function byPlace(
  diagnosis: Diagnosis,
  site: SpinSite,
  wait: QueuedWait,
  holder: QueueEntry,
  place: HolderPlace,
  base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'>,
  evidence: Evidence,
): Judgement {
  const { target } = diagnosis;
  const a = (value: bigint): string => address(target, value);
  const entry = a(holder.address);
  const waiting = holder.lockField !== null && (holder.lockField & WAIT) !== 0n;
  const clearBit = `bit 0 of ${a(wait.cell)} clear, or the predecessor ${entry} on another processor's stack`;
  if (waiting) {
    return {
      ...base,
      verdict: 'undetermined',
      confidence: 'possible',
      why: `Every entry found before this one waits itself; the head of the queue is not visible.`,
      assumptions: [],
      wouldChange: ['an entry without WAIT at the head of the queue'],
    };
  }
  switch (place.kind) {
    case 'own-live': {
      const frame = frameHolding(site, holder.address);
      stackEvidence(
        site,
        evidence,
        `entry ${entry} lies inside this thread's own stack ${range(diagnosis, site)}, 0x${place.aboveSp.toString(16)} above ${target.pointerSize === 4 ? 'ESP' : 'RSP'}${place.belowBase === null ? ', inside a frame of its walk' : ` and 0x${place.belowBase.toString(16)} below the base`}: in the part that older frames still use`,
      );
      if (place.trapFrame !== null)
        return acrossLevels(
          base,
          site,
          frame,
          `between it and the spinning code lies the trap frame ${a(place.trapFrame)}: interrupted code holds the lock that the interrupt wants`,
          clearBit,
          'proven',
        );
      const lowered = loweredIrql(diagnosis, site, wait, evidence);
      if (lowered !== null && lowered < 2) {
        return {
          ...base,
          holderFrame: frame,
          verdict: 'leaked-lock',
          confidence: 'likely',
          why: `The predecessor ${entry} lies in this thread's own stack, so this thread holds the lock that it waits for. Its own entry saved OldIrql ${irqlName(lowered)}: IRQL was lowered while the lock was held, as after a return without release. Alternative: self-deadlock, a live holder whose IRQL another release lowered.`,
          assumptions: [],
          wouldChange: [`OldIrql 2 in the entry at ${a(wait.own + 2n * BigInt(target.pointerSize))}`, clearBit],
        };
      }
      return {
        ...base,
        holderFrame: frame,
        verdict: 'self-deadlock',
        confidence: lowered === null ? 'strong' : 'proven',
        why: `Only the owner of the predecessor ${entry} can clear the bit, and that entry is in this thread's own stack, 0x${place.aboveSp.toString(16)} above ${target.pointerSize === 4 ? 'ESP' : 'RSP'}, where older frames live: the thread waits for itself, and no other processor can ever hand the lock over. ${mechanism(diagnosis, site.waiter.frames, wait.lock, holder.address, frame)}`,
        assumptions:
          lowered === null
            ? ['IRQL was not lowered since the lock was taken: OldIrql of the own entry does not tell']
            : [],
        wouldChange: [clearBit, `a Lock field of the predecessor other than ${a(wait.lock)} with or without OWNER`],
      };
    }
    case 'own-dead':
      stackEvidence(
        site,
        evidence,
        `entry ${entry} lies inside this thread's own stack, 0x${place.belowSp.toString(16)} below the stack pointer of the spinning code: no frame uses that memory any more`,
      );
      return {
        ...base,
        verdict: 'leaked-lock',
        confidence: 'strong',
        why: `The predecessor ${entry} lies in the dead part of this thread's own stack: whoever took the lock there has returned without releasing it, and the hand-off can never come.`,
        assumptions: ['nobody kept the address of the dead entry to release the lock through it later'],
        wouldChange: [
          `the predecessor above the stack pointer ${a(site.waiter.registers.sp)}`,
          `bit 0 of ${a(wait.cell)} clear`,
        ],
      };
    case 'same-processor': {
      const live = place.live === true;
      const dpc = site.waiter.processor.dpcRoutineActive;
      stackEvidence(
        site,
        evidence,
        `entry ${entry} lies on the ${place.stack.kind} stack ${a(place.stack.limit)}..${a(place.stack.base)} of this same processor (${place.stack.source})`,
      );
      return acrossLevels(
        base,
        site,
        null,
        `it lies on the ${place.stack.kind} stack of this same processor, which cannot run again before the spinning code returns`,
        clearBit,
        live ? 'proven' : dpc === true ? 'strong' : 'likely',
      );
    }
    case 'other-processor': {
      const other = place.processor;
      const holding = place.live === false ? null : frameElsewhere(target, other.interrupted, holder.address);
      const spinsToo = diagnosis
        .fact(spinSites)
        .some((sibling) => sibling.waiter.processor.number === other.number && isStuck(sibling));
      evidence.fact(
        `entry ${entry} lies on the ${place.stack.kind} stack ${a(place.stack.limit)}..${a(place.stack.base)} that belongs to processor ${other.number}`,
        'true',
        `~${other.number}s; k`,
        place.stack.source,
      );
      if (place.live === false && other.idle === true) {
        return {
          ...base,
          verdict: 'orphaned-lock',
          confidence: 'likely',
          why: `The predecessor ${entry} lies in a dead part of a stack of processor ${other.number}, which is idle: what took the lock there has ended without releasing it.`,
          assumptions: ['no other code kept the address of the entry'],
          wouldChange: [clearBit],
        };
      }
      if (place.live !== true && other.idle === null) {
        return {
          ...base,
          verdict: 'undetermined',
          confidence: 'possible',
          why: `The predecessor ${entry} lies on a stack of processor ${other.number}. Whether that processor is idle, and the entry a leftover, is not known: ${other.idleReason}.`,
          assumptions: [],
          wouldChange: [clearBit, `the state of processor ${other.number}`],
        };
      }
      const decided = byHoldersState(
        diagnosis,
        site,
        other,
        { ...base, ...holding },
        place.live === true ? 'strong' : 'likely',
        clearBit,
      );
      if (decided !== null) return decided;
      return {
        ...base,
        ...holding,
        verdict: spinsToo ? 'holder-stuck' : 'held-elsewhere',
        confidence: 'likely',
        why: spinsToo
          ? `The holder is processor ${other.number}, which cannot leave a loop itself: the root is there.`
          : `The holder's entry ${entry} lies on a stack of processor ${other.number}${other.idle === true ? ', although its PC is in the idle loop' : ''}; ${canStillRelease(diagnosis, other)}.`,
        assumptions: [],
        wouldChange: [`the predecessor on this thread's own stack`],
      };
    }
    case 'other-thread': {
      if (place.thread.state === RUNNING) {
        evidence.fact(
          `entry ${entry} lies on the stack of thread ${a(place.thread.address)}, which runs (state 2) on a processor that cannot be read`,
          'true',
          `!thread ${argument(target, place.thread.address)}`,
          place.stack.source,
        );
        return {
          ...base,
          verdict: 'held-elsewhere',
          confidence: 'possible',
          why: `The holder's entry ${entry} lies on the stack of thread ${a(place.thread.address)}, which runs on a processor that is not among those that can be read; what it does there is not known.`,
          assumptions: [],
          wouldChange: [clearBit, 'the state of that processor'],
        };
      }
      evidence.fact(
        `entry ${entry} lies on the stack of thread ${a(place.thread.address)}, which runs on no processor (state ${place.thread.state ?? 'unknown'})`,
        'true',
        `!thread ${argument(target, place.thread.address)}`,
        place.stack.source,
      );
      return {
        ...base,
        ...(place.live === false
          ? null
          : frameElsewhere(target, threadRegisters(target, place.thread.address), holder.address)),
        verdict: place.live === false ? 'orphaned-lock' : 'holder-descheduled',
        confidence: place.live === true ? 'strong' : 'likely',
        why:
          place.live === false
            ? `The predecessor ${entry} lies in a dead part of the stack of thread ${a(place.thread.address)}: the lock was left held there.`
            : `The holder is thread ${a(place.thread.address)}, which is not running: it cannot release the lock before it is scheduled again.`,
        assumptions: place.live === true ? ['the entry belongs to the frame that it lies in'] : [],
        wouldChange: [clearBit],
      };
    }
    case 'prcb': {
      const same = place.processor === site.waiter.processor.number;
      evidence.fact(
        `entry ${entry} is LockQueue[${place.index}] of processor ${place.processor}`,
        'true',
        '!qlocks',
        'KPRCB.LockQueue',
      );
      return {
        ...base,
        verdict: same ? 'self-deadlock' : 'held-elsewhere',
        confidence: same ? 'strong' : 'likely',
        why: same
          ? `The holder's entry is slot ${place.index} of this very processor's PRCB: the processor waits for itself.`
          : `The holder's entry is slot ${place.index} of the PRCB of processor ${place.processor}.`,
        assumptions: same ? ['the slot is not used by a DPC or ISR that this processor still has to return to'] : [],
        wouldChange: [clearBit],
      };
    }
    case 'elsewhere':
      if (place.near) {
        return {
          ...base,
          verdict: 'undetermined',
          confidence: 'possible',
          why: `The predecessor ${entry} lies close to the stack pointer of the spinning code, but the bounds of that stack could not be read: whose it is cannot be told.`,
          assumptions: [],
          wouldChange: ['the bounds of the stack of the spinning thread'],
        };
      }
      return {
        ...base,
        verdict: 'undetermined',
        confidence: 'possible',
        why: `The predecessor ${entry} lies on no known stack and in no PRCB; whose it is cannot be told (${plural(wait.coverage.stacks, 'stack')} known).`,
        assumptions: [],
        wouldChange: [clearBit],
      };
  }
}

function acrossLevels(
  base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'>,
  site: SpinSite,
  frame: Frame | null,
  how: string,
  wouldChange: string,
  confidence: Judgement['confidence'],
): Judgement {
  return {
    ...base,
    holderFrame: frame,
    verdict: 'self-deadlock-across-levels',
    confidence,
    why: `The lock is held by code of this same processor at another level: ${how}. Processor ${site.waiter.processor.number} waits for itself.`,
    assumptions:
      confidence === 'likely'
        ? ['the entry is not the residue of a DPC or ISR that ended without releasing the lock (leaked-lock)']
        : [],
    wouldChange: [wouldChange],
  };
}

/**
 * Level at which the waiter asked, from OldIrql of its own handle, with its evidence. The AtDpcLevel acquire does not write
 * the field and may only be called at DISPATCH_LEVEL. Null where it cannot be told.
 */
function loweredIrql(diagnosis: Diagnosis, site: SpinSite, wait: QueuedWait, evidence: Evidence): number | null {
  const { target } = diagnosis;
  const at = wait.own + 2n * BigInt(target.pointerSize);
  if (oldIrqlSaved(target, site.waiter, site.loop.frameIndex, site.loop.header) === false) {
    evidence.memory(
      `OldIrql of the own entry is what lay there before: this acquire does not write it, so it is the form for callers that are at DISPATCH_LEVEL already`,
      'true',
      at,
      1,
    );
    return 2;
  }
  const level = wait.oldIrql !== null && wait.oldIrql <= (target.arch === 'x86' ? 31 : 15) ? wait.oldIrql : null;
  const text =
    wait.oldIrql === null
      ? 'OldIrql of the own entry'
      : level === null
        ? `OldIrql of the own entry, 0x${wait.oldIrql.toString(16)}, is no level: it was overwritten`
        : level >= 2
          ? `OldIrql of the own entry is ${irqlName(level)}: the thread was already at that level when it asked again`
          : `OldIrql of the own entry is ${irqlName(level)}: the level had been lowered since the lock was taken`;
  evidence.memory(text, 'true', at, 1);
  return level;
}

function stackEvidence(site: SpinSite, evidence: Evidence, claim: string): void {
  evidence.fact(
    claim,
    'true',
    site.waiter.processor.currentThread === null ? null : `!thread ${site.waiter.processor.currentThread.toString(16)}`,
    site.waiter.stack?.source ?? 'stack bounds',
  );
}

function range(diagnosis: Diagnosis, site: SpinSite): string {
  const stack = site.waiter.stack;
  return stack === null ? '' : `(${address(diagnosis.target, stack.limit)}..${address(diagnosis.target, stack.base)})`;
}
