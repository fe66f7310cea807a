/**
 * EX_PUSH_LOCK: one word. Free of waiters it counts its holders; with waiters its upper bits lead to the wait block of
 * whoever came last, on that thread's own stack, and through Next to those who came before. It does not record a holder.
 */
import type { Va } from '@dumpscope/core';
import type { Target } from '../target/model.ts';
import { Structure } from './structure.ts';

export interface PushLock {
  readonly address: Va;
  readonly word: bigint;
  /** Somebody holds it, shared or exclusively. */
  readonly locked: boolean;
  readonly waiting: boolean;
  /** A releaser walks the chain to wake somebody; XP has no such bit. */
  readonly waking: boolean;
  /** Shared holders; null with waiters (their count is then in the first waiter's block). 0: held exclusively, or free. */
  readonly shareCount: number | null;
  /** Wait block of the last thread that came, where there are waiters. */
  readonly waitBlock: Va | null;
}

export interface PushLockWaitBlock {
  readonly address: Va;
  /** The waiter that came before; 0 at the first. */
  readonly next: bigint;
  /** Holders that share the lock while this, the first waiter, waits; 0 where the holder is exclusive. */
  readonly shareCount: number | null;
  readonly exclusive: boolean | null;
}

const old = new WeakMap<Target, boolean>();

/** XP and 2003 before SP1, whose waiters have no wait reason of their own. */
export function isOldPushLock(target: Target): boolean {
  let known = old.get(target);
  if (known === undefined) old.set(target, (known = new Structure(target, '_EX_PUSH_LOCK', 0n).has('Exclusive')));
  return known;
}

/**
 * Vista and later: Locked 1, Waiting 2, Waking 4, MultipleShared 8, wait blocks 16-aligned. XP and 2003 before SP1:
 * Waiting 1, Exclusive 2, share count above; wait blocks 4-aligned.
 */
export function readPushLock(target: Target, address: bigint): PushLock | null {
  const word = target.memory.pointer(address);
  if (word === undefined) return null;
  const lock = { address: address as Va, word };
  if (isOldPushLock(target)) {
    const waiting = (word & 1n) !== 0n;
    return {
      ...lock,
      // The lock passes from holder to waiter: with waiters there is always a holder.
      locked: word !== 0n,
      waiting,
      waking: false,
      shareCount: waiting ? null : Number(word >> 2n),
      waitBlock: waiting ? ((word & ~3n) as Va) : null,
    };
  }
  const waiting = (word & 2n) !== 0n;
  return {
    ...lock,
    locked: (word & 1n) !== 0n,
    waiting,
    waking: (word & 4n) !== 0n,
    shareCount: waiting ? null : Number(word >> 4n),
    waitBlock: waiting ? ((word & ~0xfn) as Va) : null,
  };
}

/** Offsets behind WakeEvent in pointers, as in the PDBs of 7601: kernels from 8 on keep the type out of their public PDBs. */
const ASSUMED = { next: 0, shareCount: 3 } as const;

export function readPushLockWaitBlock(target: Target, address: bigint): PushLockWaitBlock | null {
  const block = new Structure(target, '_EX_PUSH_LOCK_WAIT_BLOCK', address);
  const event = target.layouts.table.struct('_KEVENT')?.size;
  if (event === undefined) return null;
  const pointer = BigInt(target.pointerSize);
  const behind = block.address + BigInt(event);
  const known = block.has('Next');
  const next = known ? block.value('Next') : target.memory.pointer(behind + BigInt(ASSUMED.next) * pointer);
  if (next === undefined) return null;
  const counted = behind + BigInt(ASSUMED.shareCount) * pointer;
  const shareCount = known ? block.number('ShareCount') : target.memory.u32(counted);
  const flags = known ? block.number('Flags') : target.memory.u32(counted + 4n);
  const old = block.number('Exclusive');
  return {
    address: block.address,
    next,
    shareCount: shareCount ?? null,
    exclusive: old !== undefined ? old !== 0 : flags === undefined ? null : (flags & 1) !== 0,
  };
}

/** Wait blocks from the last waiter to the first. `whole` is false where the chain breaks off or bites itself. */
export function pushLockWaiters(
  target: Target,
  last: bigint,
  limit: number,
): { readonly blocks: readonly PushLockWaitBlock[]; readonly whole: boolean } {
  const blocks: PushLockWaitBlock[] = [];
  const seen = new Set<bigint>();
  for (let at = last; at !== 0n; ) {
    if (seen.has(at) || blocks.length >= limit) return { blocks, whole: false };
    seen.add(at);
    const block = readPushLockWaitBlock(target, at);
    if (block === null) return { blocks, whole: false };
    blocks.push(block);
    at = block.next;
  }
  return { blocks, whole: true };
}
