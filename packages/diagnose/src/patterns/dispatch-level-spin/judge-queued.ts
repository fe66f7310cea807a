/** Verdict on a wait for the hand-off of a queued spin lock: who holds the entry before ours, and where does it lie? */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument } from '../../engine/words.ts';
import type { SpinSite } from '../../facts/spin-sites.ts';
import { type HolderPlace, placeOf } from '../../locks/holder-place.ts';
import { allProcessorsKnown, threadsListed } from '../../locks/holders.ts';
import { lockOf, OWNER, type QueuedWait, type QueueEntry, WAIT } from '../../locks/queue-entry.ts';
import { byPlace } from './judge-place.ts';
import { busyElsewhere, type Judgement } from './judgement.ts';
import { frameHolding } from './mechanism.ts';

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
  const judged = byPlace(diagnosis, site, wait, head, place, base, evidence);
  return wait.tail === 'unreadable' ? withoutWord(diagnosis, wait, judged) : judged;
}

/**
 * Who is to hand over follows from the entries alone; the lock word only confirms that they are those of a lock that was
 * not overwritten. Where it is missing, that it is one of them is assumed, and the other reading is named.
 */
function withoutWord(diagnosis: Diagnosis, wait: QueuedWait, judged: Judgement): Judgement {
  if (judged.verdict === 'undetermined' || judged.verdict === 'transient') return judged;
  const where = address(diagnosis.target, wait.lock);
  return {
    ...judged,
    confidence: judged.confidence === 'proven' ? 'strong' : judged.confidence,
    why: `${judged.why} The lock word at ${where} could not be read: were it no entry of this queue, the lock would have been overwritten (corrupt-lock).`,
    assumptions: [
      ...judged.assumptions,
      `the lock word at ${where}, which is not in the dump, is an entry of this queue`,
    ],
    wouldChange: [`the ${diagnosis.target.pointerSize} bytes at ${where}`, ...judged.wouldChange],
  };
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
  const { target } = diagnosis;
  const listed = allProcessorsKnown(target) && threadsListed(target);
  const all = listed && coverage.whole === coverage.stacks && coverage.stacks > 0;
  const seen = `${coverage.whole} of ${coverage.stacks} known stacks could be read whole${listed ? '' : ', and not all stacks are known'}`;
  const elsewhere = busyElsewhere(diagnosis, site);
  return {
    ...base,
    verdict: all && elsewhere.length === 0 ? 'orphaned-lock' : 'undetermined',
    confidence: all && elsewhere.length === 0 ? 'likely' : 'possible',
    why: `No entry that links to ${address(target, wait.own)} was found in a register, a PRCB or on a stack (${seen}): the holder's entry is not visible.${all && elsewhere.length === 0 ? ' It may have lain in a frame that has returned and was overwritten since (leaked-lock).' : ''}`,
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
