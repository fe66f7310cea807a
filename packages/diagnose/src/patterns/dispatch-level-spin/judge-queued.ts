/** Verdict on a wait for the hand-off of a queued spin lock: who holds the entry before ours, and where does it lie? */
import type { Frame } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument, irqlName, plural } from '../../engine/words.ts';
import type { SpinSite } from '../../facts/spin-sites.ts';
import { type HolderPlace, placeOf } from '../../locks/holder-place.ts';
import { lockOf, OWNER, type QueuedWait, type QueueEntry, WAIT } from '../../locks/queue-entry.ts';
import { busyElsewhere, type Judgement } from './judgement.ts';
import { frameHolding, mechanism } from './mechanism.ts';

export function judgeQueued(diagnosis: Diagnosis, site: SpinSite, wait: QueuedWait, evidence: Evidence): Judgement {
  const { target } = diagnosis;
  const a = (value: bigint): string => address(target, value);
  evidence.memory(
    `the loop waits for bit 0 (WAIT) of its own queue entry ${a(wait.own)}: the Lock field holds ${a(wait.cellValue)}, so the lock is ${a(wait.lock)}`,
    'true',
    wait.cell,
    target.pointerSize,
    `dyd ${argument(target, wait.cell)} l1`,
  );
  describeWord(diagnosis, wait, evidence);
  const lock = { kind: 'queued spin lock', address: wait.lock, word: wait.word };
  const base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'> = { lock, holderFrame: null, downstream: [] };

  if ((wait.cellValue & WAIT) === 0n) {
    return {
      ...base,
      verdict: 'transient',
      confidence: 'likely',
      why: `The hand-off has already happened in memory: bit 0 of ${a(wait.cell)} is clear, and the processor was stopped before it looked again.`,
      assumptions: ['the dump shows the memory as the processor would have seen it next'],
      wouldChange: [`bit 0 of ${a(wait.cell)} set`],
    };
  }
  const previous = wait.predecessors[0];
  if (previous === undefined) return withoutPredecessor(diagnosis, site, wait, base);
  describePredecessor(diagnosis, wait, previous, evidence);
  const waitsItself = wait.chain.length > 1;
  const head = wait.chain.at(-1) ?? previous;
  if (waitsItself) {
    for (const entry of wait.chain.slice(1)) {
      evidence.memory(
        `before it in the queue stands entry ${a(entry.address)}${entry === wait.holder ? ', which does not wait: its owner holds the lock' : ''}`,
        'true',
        entry.address,
        2 * target.pointerSize,
      );
    }
  }
  const fieldIntact = head.lockField !== null && lockOf(target, head.lockField) === wait.lock;
  const place =
    head.slot === null
      ? placeOf(target, site.waiter, head.address, head.stack)
      : ({ kind: 'prcb', ...head.slot } as const);

  // A queue that contradicts itself is a verdict of its own, unless all that is wrong is the predecessor's own field.
  if (wait.tail === 'zero' || wait.tail === 'not-an-entry' || wait.tail === 'other-entry') {
    const zero = wait.tail === 'zero';
    return {
      ...base,
      verdict: wait.tail === 'other-entry' ? 'broken-queue' : 'corrupt-lock',
      confidence: 'likely',
      why: zero
        ? `The lock word is 0, free, while an entry that waits for it is linked behind ${a(previous.address)}: the word was overwritten or initialised again while the lock was held.`
        : wait.tail === 'not-an-entry'
          ? `The lock word ${a(wait.word ?? 0n)} is neither 0 nor the address of a queue entry of this lock.`
          : `The lock word leads to an entry that the chain of Next pointers from ${a(wait.own)} does not reach.`,
      assumptions: [`nobody was between exchanging the tail and linking his entry when the dump was written`],
      wouldChange: [`a lock word of ${a(wait.own)} (the last entry of an intact queue)`],
    };
  }
  if (!fieldIntact) return overwritten(diagnosis, site, wait, head, place, base);
  return byPlace(diagnosis, site, wait, head, place, base, evidence);
}

function describeWord(diagnosis: Diagnosis, wait: QueuedWait, evidence: Evidence): void {
  const { target } = diagnosis;
  const text: Record<QueuedWait['tail'], string> = {
    own: 'the lock word is the address of this very entry: it is the last of the queue, nobody waits behind it',
    'behind-own': 'the lock word is an entry that stands behind this one in the queue',
    'other-entry': 'the lock word is an entry of this lock that no Next pointer from this one leads to',
    zero: 'the lock word is 0: free',
    'not-an-entry': 'the lock word is neither 0 nor an entry of this lock',
    unreadable: 'the lock word',
  };
  evidence.memory(text[wait.tail], 'true', wait.lock, target.pointerSize);
}

function describePredecessor(diagnosis: Diagnosis, wait: QueuedWait, entry: QueueEntry, evidence: Evidence): void {
  const { target } = diagnosis;
  const field = entry.lockField;
  const flags =
    field === null
      ? 'its Lock field could not be read'
      : lockOf(target, field) !== wait.lock
        ? `its Lock field ${address(target, field)} is not this lock's`
        : (field & WAIT) !== 0n
          ? 'its Lock field has WAIT set: it waits itself'
          : (field & OWNER) !== 0n
            ? 'its Lock field has OWNER set and WAIT clear: it holds the lock'
            : 'its Lock field has WAIT clear: it holds the lock';
  evidence.memory(
    `entry ${address(target, entry.address)} links to this one, so it is the predecessor (found by ${entry.foundBy.join(', ')}); ${flags}`,
    'true',
    entry.address,
    2 * target.pointerSize,
    `dd ${argument(target, entry.address)} l${(target.pointerSize / 2).toString(16)}`,
  );
}

function withoutPredecessor(
  diagnosis: Diagnosis,
  site: SpinSite,
  wait: QueuedWait,
  base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'>,
): Judgement {
  const { coverage } = wait;
  const all = coverage.whole === coverage.stacks && coverage.stacks > 0;
  const seen = `${coverage.whole} of ${coverage.stacks} known stacks could be read whole`;
  const elsewhere = busyElsewhere(diagnosis, site);
  return {
    ...base,
    verdict: all && elsewhere.length === 0 ? 'orphaned-lock' : 'undetermined',
    confidence: all && elsewhere.length === 0 ? 'likely' : 'possible',
    why: `No entry that links to ${address(diagnosis.target, wait.own)} was found in a register, a PRCB or on a stack (${seen}): the holder's entry is not visible.`,
    assumptions: [],
    wouldChange: ['an entry whose Next is this one'],
  };
}

function overwritten(
  diagnosis: Diagnosis,
  site: SpinSite,
  wait: QueuedWait,
  entry: QueueEntry,
  place: HolderPlace,
  base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'>,
): Judgement {
  const { target } = diagnosis;
  const own = place.kind === 'own-live' || place.kind === 'own-dead';
  const field =
    entry.lockField === null
      ? 'could not be read'
      : `holds ${address(target, entry.lockField)}, not ${address(target, wait.lock)}`;
  if (entry.lockField === null) {
    return {
      ...base,
      verdict: 'undetermined',
      confidence: 'possible',
      why: `The predecessor's Lock field ${field}, so whether it holds the lock is not known.`,
      assumptions: [],
      wouldChange: [`the bytes at ${address(target, entry.address + BigInt(target.pointerSize))}`],
    };
  }
  return {
    ...base,
    verdict: own ? 'leaked-lock' : 'broken-queue',
    confidence: own ? 'likely' : 'possible',
    why: own
      ? `The predecessor ${address(target, entry.address)} lies in this thread's own stack, but its Lock field ${field}: the stack was used again after whoever put the entry there returned without releasing. Alternative: broken-queue, the live entry was overwritten.`
      : `The predecessor's Lock field ${field}: the entry was overwritten, and the hand-off through it cannot be relied on.`,
    assumptions: [],
    wouldChange: [
      `a Lock field of ${address(target, wait.lock | OWNER)} or ${address(target, wait.lock)} in the predecessor`,
    ],
    holderFrame: own && site.waiter.stack !== null ? frameHolding(site, entry.address) : null,
  };
}

function byPlace(
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
      const lowered = loweredIrql(diagnosis, wait, evidence);
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
        confidence: lowered === null && wait.oldIrql === null && site.loop.frameIndex > 0 ? 'strong' : 'proven',
        why: `Only the owner of the predecessor ${entry} can clear the bit, and that entry is in this thread's own stack, 0x${place.aboveSp.toString(16)} above ${target.pointerSize === 4 ? 'ESP' : 'RSP'}, where older frames live: the thread waits for itself, and no other processor can ever hand the lock over. ${mechanism(diagnosis, site.waiter.frames, wait.lock, holder.address, frame)}`,
        assumptions: [],
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
      const spinsToo = diagnosis
        .fact(site.siblings)
        .some((sibling) => sibling.waiter.processor.number === other.number);
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
      return {
        ...base,
        verdict: spinsToo ? 'holder-stuck' : 'held-elsewhere',
        confidence: 'likely',
        why: spinsToo
          ? `The holder is processor ${other.number}, which cannot leave a loop itself: the root is there.`
          : `The holder's entry ${entry} lies on a stack of processor ${other.number}${other.idle === true ? ', although its PC is in the idle loop' : ''}; that processor can still release the lock.`,
        assumptions: [],
        wouldChange: [`the predecessor on this thread's own stack`],
      };
    }
    case 'other-thread': {
      evidence.fact(
        `entry ${entry} lies on the stack of thread ${a(place.thread.address)}, which runs on no processor (state ${place.thread.state ?? 'unknown'})`,
        'true',
        `!thread ${argument(target, place.thread.address)}`,
        place.stack.source,
      );
      return {
        ...base,
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
        verdict: 'held-elsewhere',
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

/** OldIrql of the waiter's own handle, with its evidence; null where it could not be read. */
function loweredIrql(diagnosis: Diagnosis, wait: QueuedWait, evidence: Evidence): number | null {
  const { target } = diagnosis;
  const at = wait.own + 2n * BigInt(target.pointerSize);
  const text =
    wait.oldIrql === null
      ? 'OldIrql of the own entry'
      : wait.oldIrql >= 2
        ? `OldIrql of the own entry is ${irqlName(wait.oldIrql)}: the thread was already at that level when it asked again`
        : `OldIrql of the own entry is ${irqlName(wait.oldIrql)}: the level had been lowered since the lock was taken`;
  evidence.memory(text, 'true', at, 1);
  return wait.oldIrql;
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
