/** Who holds a pushlock: by the lock entries of threads where the kernel keeps them, else whose live frames keep its address. */
import type { LockEntry, PushLock, PushLockWaitBlock } from '@dumpscope/debugger';
import { argument, plural } from '../../engine/words.ts';
import { type LockEntryIndex, lockEntryIndex } from '../../facts/lock-entry-index.ts';
import { addressesOnStacks } from '../../facts/stack-pointers.ts';
import type { WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';

export interface FoundPushLock {
  readonly lock: PushLock;
  readonly node: GraphNode;
  /** Wait blocks by address, from the last that came to the first. */
  readonly waiters: ReadonlyMap<bigint, PushLockWaitBlock>;
  readonly whole: boolean;
  /** That of the first waiter, where the chain leads to it. */
  readonly shareCount: number | null;
}

export function addPushLockOwners(builder: WaitGraphBuilder, locks: readonly FoundPushLock[]): void {
  const index = builder.diagnosis.fact(lockEntryIndex);
  const open: FoundPushLock[] = [];
  for (const found of locks) {
    // A word without the lock bit is free: whoever releases it is about to wake a waiter.
    if (!found.lock.locked) continue;
    const holders = (index?.ofLock(found.lock.address) ?? []).filter(({ entry }) => entry.acquired && !entry.waiting);
    if (holders.length === 0) open.push(found);
    for (const { thread, entry } of holders) addRecorded(builder, found, thread, entry);
  }
  if (open.length > 0) addInferred(builder, open, index);
}

/** Held together: some builds count the holders in the first waiter's block. */
function accessOf(found: FoundPushLock): string {
  return found.whole && (found.shareCount ?? 0) > 0 ? 'shared' : 'exclusive';
}

function addRecorded(builder: WaitGraphBuilder, found: FoundPushLock, thread: bigint, entry: LockEntry): void {
  const { target } = builder.diagnosis;
  builder.add({
    from: found.node,
    to: { kind: 'thread', address: thread },
    relation: 'owned-by',
    // A releaser that has set Waking may have let go already.
    certainty: found.lock.waking ? 'inferred' : 'recorded',
    access: accessOf(found),
    proof: [
      {
        claim: `lock entry ${argument(target, entry.address)} of thread ${argument(target, thread)} has acquired ${argument(target, found.lock.address)} and does not wait for it`,
        address: entry.proof.address,
        length: entry.proof.length,
        command: `dt nt!_KLOCK_ENTRY ${argument(target, entry.address)}`,
        source: '_KLOCK_ENTRY.LockUnsafe, AcquiredByte',
      },
    ],
  });
}

/** Locks without an owner that are told one by one. */
const MAX_TOLD = 8;

/** One thread alone beside the waiters keeps the lock's address in a live frame: it, most likely, holds the lock. */
function addInferred(builder: WaitGraphBuilder, locks: readonly FoundPushLock[], entries: LockEntryIndex | null): void {
  const { diagnosis } = builder;
  const { target } = diagnosis;
  const { hits, partly } = addressesOnStacks(
    diagnosis,
    locks.map(({ lock }) => lock.address),
  );
  const unread =
    entries !== null && entries.unread > 0 ? ` (those of ${plural(entries.unread, 'thread')} could not be read)` : '';
  const unseen = partly > 0 ? `; ${plural(partly, 'stack')} could not be searched whole` : '';
  let hidden = 0;
  for (const found of locks) {
    const { address } = found.lock;
    const waiters = new Set<bigint>(
      [...found.waiters.keys()].flatMap((link) => builder.waitsOn(link).map(({ wait }) => wait.thread.address)),
    );
    const others = (hits.get(address) ?? []).filter((hit) => !waiters.has(hit.thread));
    const threads = new Set(others.map(({ thread }) => thread));
    const [hit] = others;
    if (threads.size !== 1 || hit === undefined) {
      if (hidden++ >= MAX_TOLD) continue;
      builder.limit(
        `the owner of pushlock ${argument(target, address)}`,
        `${entries !== null ? `no lock entry of a thread names it${unread}` : 'this kernel keeps no lock entries: a pushlock does not record its holder'}, and ${threads.size === 0 ? 'no live frame of another thread keeps its address' : `live frames of ${threads.size} other threads keep its address`}${unseen}`,
      );
      continue;
    }
    builder.add({
      from: found.node,
      to: { kind: 'thread', address: hit.thread },
      relation: 'owned-by',
      certainty: 'inferred',
      access: accessOf(found),
      proof: [
        {
          claim: `${argument(target, hit.at)}, in a live frame of thread ${argument(target, hit.thread)}, keeps the address of pushlock ${argument(target, address)}; no other thread does but those that wait for it${unseen}`,
          address: hit.at,
          length: target.pointerSize,
          command: null,
          source: 'stack of the thread',
        },
      ],
    });
  }
  if (hidden > MAX_TOLD) builder.limit(`the owners of ${hidden - MAX_TOLD} more pushlocks`, 'for the same reasons');
}
