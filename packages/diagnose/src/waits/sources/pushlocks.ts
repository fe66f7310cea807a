/**
 * Pushlocks. A waiter waits for the event in a wait block on its own stack; the lock's word leads to the wait blocks. The
 * word's address is found by the thread's lock entry (8.1 and later) and by the pointers on its stack, and counts only when
 * the word there, read as a pushlock, leads to this very wait block.
 */
import {
  isOldPushLock,
  OBJECT_TYPE,
  type PushLock,
  type PushLockWaitBlock,
  pushLockWaiters,
  readPushLock,
  type ThreadWait,
  WAIT_REASON,
  type WaitBlock,
} from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import { lockEntryIndex } from '../../facts/lock-entry-index.ts';
import { stackPointers } from '../../facts/stack-pointers.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import type { EdgeProof } from '../wait-edge.ts';
import { addPushLockOwners, type FoundPushLock } from './pushlock-owners.ts';

/** More waiters than any pushlock has. */
const MAX_WAITERS = 0x10000;
/** Waiters whose stacks are searched: locks that many threads wait for are found by the first. */
const MAX_SEARCHES = 4096;

/** Wait blocks that are read in all. */
const MAX_STEPS = 0x40000;

interface Chain {
  /** By address, from the last waiter to the first. */
  readonly blocks: ReadonlyMap<bigint, PushLockWaitBlock>;
  readonly whole: boolean;
  readonly shareCount: number | null;
}

export const pushLocks: EdgeSource = defineEdgeSource({
  id: 'pushlock',
  run(builder: WaitGraphBuilder): void {
    const unnamed = isOldPushLock(builder.diagnosis.target);
    const waits = builder.waits.flatMap((wait) => {
      const block = pushLockBlock(wait, unnamed);
      return block === null || builder.claimed(block) ? [] : [{ wait, block }];
    });
    if (waits.length === 0) return;
    const finder = new PushLockFinder(builder);
    for (const { wait, block } of waits) {
      const found = finder.find(wait, block);
      if (found === null) claimUnknown(builder, wait, block);
      else claim(builder, wait, block, found);
    }
    if (finder.locks.length > 0) addPushLockOwners(builder, finder.locks);
  },
});

/** The wait block of a thread whose reason, or where it has none (`unnamed`) whose event's place, is that of a pushlock wait. */
function pushLockBlock(wait: ThreadWait, unnamed: boolean): WaitBlock | null {
  const { thread, reason, blocks } = wait;
  const [block] = blocks;
  if (block === undefined || blocks.length !== 1) return null;
  if (reason === WAIT_REASON.pushLock) return block;
  // XP has no reason of its own for pushlocks; the event of a wait block is a synchronization event on the own stack.
  if (!unnamed || reason !== WAIT_REASON.executive || block.type !== OBJECT_TYPE.synchronizationEvent) return null;
  if (thread.stackBase === null || thread.stackLimit === null) return null;
  return block.object >= thread.stackLimit && block.object < thread.stackBase ? block : null;
}

class PushLockFinder {
  readonly locks: FoundPushLock[] = [];
  readonly #byBlock = new Map<bigint, FoundPushLock>();
  readonly #byAddress = new Map<bigint, FoundPushLock>();
  readonly #builder: WaitGraphBuilder;
  readonly #chains = new Map<bigint, Chain>();
  #searches = 0;
  #steps = MAX_STEPS;

  constructor(builder: WaitGraphBuilder) {
    this.#builder = builder;
  }

  find(wait: ThreadWait, block: WaitBlock): FoundPushLock | null {
    const known = this.#byBlock.get(block.object);
    if (known !== undefined) return known;
    const { diagnosis } = this.#builder;
    const entries = diagnosis.fact(lockEntryIndex)?.ofThread(wait.thread.address) ?? [];
    for (const entry of entries) if (entry.waiting) this.#try(entry.lock, block);
    if (!this.#byBlock.has(block.object) && this.#searches++ < MAX_SEARCHES) this.#search(wait, block);
    return this.#byBlock.get(block.object) ?? null;
  }

  /** The stack holds copies of lock words too: places on it are tried last. */
  #search(wait: ThreadWait, block: WaitBlock): void {
    const { thread } = wait;
    const { target } = this.#builder.diagnosis;
    const own: bigint[] = [];
    stackPointers(target, thread, (pointer) => {
      if (pointer < (thread.stackLimit ?? 0n) || pointer >= (thread.stackBase ?? 0n)) return this.#try(pointer, block);
      own.push(pointer);
      return false;
    });
    for (const pointer of own) if (this.#byBlock.has(block.object) || this.#try(pointer, block)) return;
  }

  /** Takes `address` for a pushlock if its word leads to the wait block; true ends a search. */
  #try(address: bigint, block: WaitBlock): boolean {
    if (this.#byAddress.has(address)) return false;
    const { target } = this.#builder.diagnosis;
    const lock = readPushLock(target, address);
    if (lock?.waitBlock == null || lock.waitBlock === 0n) return false;
    const chain = this.#chain(lock.waitBlock);
    if (!chain.blocks.has(block.object)) return false;
    const { blocks: waiters, whole, shareCount } = chain;
    const found: FoundPushLock = { lock, node: nodeOf(lock), waiters, whole, shareCount };
    this.locks.push(found);
    this.#byAddress.set(address, found);
    for (const link of chain.blocks.keys()) if (!this.#byBlock.has(link)) this.#byBlock.set(link, found);
    return true;
  }

  /** Chains are walked once each: a hostile dump may lead every pointer of every stack to a long one. */
  #chain(last: bigint): Chain {
    const known = this.#chains.get(last);
    if (known !== undefined) return known;
    const { blocks, whole } = pushLockWaiters(this.#builder.diagnosis.target, last, Math.min(MAX_WAITERS, this.#steps));
    const chain: Chain = {
      blocks: new Map(blocks.map((link) => [link.address, link])),
      whole,
      shareCount: blocks.at(-1)?.shareCount ?? null,
    };
    this.#steps -= blocks.length;
    this.#chains.set(last, chain);
    return chain;
  }
}

function nodeOf(lock: PushLock): GraphNode {
  return { kind: 'object', object: 'pushlock', address: lock.address };
}

function claim(builder: WaitGraphBuilder, wait: ThreadWait, block: WaitBlock, found: FoundPushLock): void {
  const { target } = builder.diagnosis;
  const { lock, waiters } = found;
  const link = waiters.get(block.object);
  const direct = lock.waitBlock === block.object;
  const way = direct ? 'leads to' : 'leads, over wait blocks of others, to';
  builder.claim(wait, block, {
    to: found.node,
    certainty: 'recorded',
    access: link === undefined ? null : accessOf(link),
    proof: [
      {
        claim: `the word of pushlock ${argument(target, lock.address)} is ${argument(target, lock.word)} (${stateText(lock)}) and ${way} wait block ${argument(target, block.object)} on the stack of thread ${argument(target, wait.thread.address)}`,
        address: lock.address,
        length: target.pointerSize,
        command: null,
        source: '_EX_PUSH_LOCK',
      },
      ...entryProof(builder, wait, lock),
    ],
  });
}

/** The second way to the lock's address, where the thread's lock entry agrees. */
function entryProof(builder: WaitGraphBuilder, wait: ThreadWait, lock: PushLock): EdgeProof[] {
  const { target } = builder.diagnosis;
  const entries = builder.diagnosis.fact(lockEntryIndex)?.ofThread(wait.thread.address) ?? [];
  return entries
    .filter((entry) => entry.waiting && entry.lock === lock.address)
    .map((entry) => ({
      claim: `lock entry ${argument(target, entry.address)} of thread ${argument(target, wait.thread.address)} waits for ${argument(target, lock.address)} too`,
      address: entry.proof.address,
      length: entry.proof.length,
      command: `dt nt!_KLOCK_ENTRY ${argument(target, entry.address)}`,
      source: '_KLOCK_ENTRY',
    }));
}

function claimUnknown(builder: WaitGraphBuilder, wait: ThreadWait, block: WaitBlock): void {
  // On XP the place of the event alone says nothing.
  if (wait.reason !== WAIT_REASON.pushLock) return;
  const { target } = builder.diagnosis;
  builder.claim(wait, block, {
    to: {
      kind: 'unknown',
      id: `pushlock of wait block ${block.object.toString(16)}`,
      label: 'a pushlock whose address was not found',
    },
    certainty: 'recorded',
    proof: [
      {
        claim: `thread ${argument(target, wait.thread.address)} waits for a pushlock (WrPushLock); no pointer on its stack leads to a word with its wait block`,
        address: wait.thread.fieldAddress('WaitReason'),
        length: 1,
        command: `!thread ${argument(target, wait.thread.address)}`,
        source: '_KTHREAD.WaitReason',
      },
    ],
  });
}

function accessOf(link: PushLockWaitBlock): string | null {
  if (link.exclusive === null) return null;
  return link.exclusive ? 'exclusive' : 'shared';
}

function stateText(lock: PushLock): string {
  if (!lock.locked) return 'not held, waiters not yet woken';
  return lock.waking ? 'held, a waiter is being woken' : 'held, with waiters';
}
