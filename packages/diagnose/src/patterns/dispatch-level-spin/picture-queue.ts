/** A lock, its queue, and the stacks that waiter and holder lie on. */
import type { Target } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { address, json } from '../../engine/words.ts';
import type { SpinSite } from '../../facts/spin-sites.ts';
import { type KnownStack, knownStacks, stackHolding } from '../../facts/stacks.ts';
import { findHolders } from '../../locks/holders.ts';
import { lockOf, type QueuedWait, type QueueEntry } from '../../locks/queue-entry.ts';
import { queuedWaitOf } from '../../locks/spin-graph.ts';
import type { QueueEntryPicture, QueuePicture, StackMark, StackPicture } from '../../report/picture.ts';
import type { Judgement } from './judgement.ts';

/** Entries drawn behind the waiter's own; the queue itself may be longer. */
const MAX_BEHIND = 8;
const MAX_CHAIN = 16;

export function queuePicture(diagnosis: Diagnosis, site: SpinSite, judgement: Judgement): QueuePicture | null {
  const { lock } = judgement;
  if (lock === null) return null;
  const { target } = diagnosis;
  const known = diagnosis.fact(knownStacks);
  const stacks = new StackList(target);
  const own = site.waiter.stack ?? stackHolding(known, site.waiter.registers.sp) ?? null;
  if (own !== null) stacks.indexOf(own);
  const wait = queuedWaitOf(diagnosis, site);
  const entries = wait === null ? [] : entriesOf(target, known, wait, stacks);
  return {
    lock: json(lock.address) ?? '',
    word: json(lock.word),
    entries,
    marks: marksOf(diagnosis, site, judgement, known, stacks, wait === null),
    stacks: stacks.list,
  };
}

/** Stacks in the order in which they were met, each once. */
class StackList {
  readonly list: StackPicture[] = [];
  readonly #target: Target;
  readonly #seen = new Map<KnownStack, number>();

  constructor(target: Target) {
    this.#target = target;
  }

  indexOf(stack: KnownStack): number {
    let index = this.#seen.get(stack);
    if (index === undefined) {
      index = this.list.length;
      this.#seen.set(stack, index);
      this.list.push({
        kind: stack.kind,
        limit: json(stack.limit) ?? '',
        base: json(stack.base) ?? '',
        sp: json(stack.liveFrom),
        owner: this.#owner(stack),
      });
    }
    return index;
  }

  #owner(stack: KnownStack): string {
    const parts: string[] = [];
    if (stack.thread !== null) parts.push(`thread ${address(this.#target, stack.thread)}`);
    const runs = stack.runningOn ?? stack.processor;
    if (stack.runningOn !== null) parts.push(`running on processor ${runs}`);
    else if (runs !== null) parts.push(`processor ${runs}`);
    else parts.push('not running');
    return parts.join(', ');
  }
}

function entriesOf(
  target: Target,
  known: readonly KnownStack[],
  wait: QueuedWait,
  stacks: StackList,
): QueueEntryPicture[] {
  const out: QueueEntryPicture[] = [];
  const add = (
    entry: Pick<QueueEntry, 'address' | 'next' | 'lockField' | 'foundBy' | 'stack' | 'slot'>,
    role: QueueEntryPicture['role'],
  ): void => {
    out.push({
      address: json(entry.address) ?? '',
      next: json(entry.next),
      lockField: json(entry.lockField),
      role,
      foundBy: entry.foundBy,
      stack: entry.stack === null ? null : stacks.indexOf(entry.stack),
      slot: entry.slot === null ? null : `LockQueue[${entry.slot.index}] of processor ${entry.slot.processor}`,
    });
  };
  for (const entry of wait.chain.slice(0, MAX_CHAIN).reverse())
    add(entry, entry === wait.holder ? 'holder' : entry === wait.chain[0] ? 'predecessor' : 'waiting');
  const plain = (at: bigint, foundBy: string): Parameters<typeof add>[0] => ({
    address: at,
    next: target.memory.pointer(at) ?? null,
    lockField: target.memory.pointer(at + BigInt(target.pointerSize)) ?? null,
    foundBy: [foundBy],
    stack: stackHolding(known, at) ?? null,
    slot: null,
  });
  add(plain(wait.own, "the loop's own cell"), 'waiter');
  const seen = new Set([wait.own, ...wait.chain.map((entry) => entry.address)]);
  let at = wait.next;
  for (let n = 0; n < MAX_BEHIND && at !== null && at !== 0n && !seen.has(at); n++) {
    seen.add(at);
    const entry = plain(at, 'Next of the entry before it');
    // The first entry that is none of this lock ends what can be drawn.
    if (entry.lockField === null || lockOf(target, entry.lockField) !== wait.lock) break;
    add(entry, 'waiting');
    at = entry.next;
  }
  return out;
}

function marksOf(
  diagnosis: Diagnosis,
  site: SpinSite,
  judgement: Judgement,
  known: readonly KnownStack[],
  stacks: StackList,
  plain: boolean,
): StackMark[] {
  const { target } = diagnosis;
  const marks: StackMark[] = [];
  const add = (at: bigint, role: StackMark['role'], label: string): void => {
    const stack = stackHolding(known, at);
    if (stack !== undefined && !marks.some((mark) => mark.address === json(at)))
      marks.push({ stack: stacks.indexOf(stack), address: json(at) ?? '', role, label });
  };
  const waiting = site.waiter.frames[site.loop.frameIndex];
  if (waiting !== undefined) add(waiting.sp, 'waits', target.nameOf(waiting.pc).text);
  if (judgement.holderFrame !== null)
    add(judgement.holderFrame.sp, 'holds', target.nameOf(judgement.holderFrame.pc).text);
  else if (plain && judgement.lock !== null && judgement.lock.word !== null && judgement.lock.word !== 0n) {
    const { holders } = findHolders(diagnosis, site.waiter, judgement.lock.address, site.loop.frameIndex);
    const holder = holders.find((candidate) => candidate.held === 'on-all-paths') ?? holders[0];
    if (holder !== undefined) add(holder.frame.sp, 'holds', target.nameOf(holder.frame.pc).text);
  }
  for (const frame of site.waiter.frames) {
    if (frame.trapFrame === null || marks.length >= 8) continue;
    add(frame.trapFrame, 'trap-frame', `trap frame in ${target.nameOf(frame.pc).text}`);
  }
  return marks;
}
