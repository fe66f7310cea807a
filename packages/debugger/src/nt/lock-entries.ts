/**
 * KLOCK_ENTRY, by which the kernel from 8.1 on (AutoBoost) remembers which pushlocks, fast mutexes and resources a thread
 * holds or waits for, so that it can lend a holder the waiter's priority: the one record of a pushlock's owner.
 *
 * Seen in real 19041 dumps: AbEntrySummary has a bit for each free entry; a free entry's lock is 0; AcquiredByte is 1 in
 * those of held locks; LockUnsafe lacks bit 63 of the address while the entry is in no tree of its lock. On x86 that is
 * bit 31.
 */
import type { Va } from '@dumpscope/core';
import type { Target, Thread } from '../target/model.ts';
import { Structure } from './structure.ts';

export interface LockEntry {
  /** Address of the KLOCK_ENTRY. */
  readonly address: Va;
  readonly lock: Va;
  readonly waiting: boolean;
  readonly acquired: boolean;
  /** The bytes that say all this: the lock and the flags beside it. */
  readonly proof: { readonly address: Va; readonly length: number };
}

interface EntryLayout {
  /** From the start of the ETHREAD. */
  readonly offset: number;
  readonly summary: number | null;
  readonly count: number;
  readonly size: number;
  readonly lock: number;
  readonly waiting: number;
  readonly acquired: number;
  /** Range that holds the three. */
  readonly from: number;
  readonly to: number;
}

const layouts = new WeakMap<Target, EntryLayout | null>();

/** An array of six in the KTHREAD (8.1 to 17763) or in the ETHREAD (18362 and later). */
function layoutOf(target: Target): EntryLayout | null {
  const known = layouts.get(target);
  if (known !== undefined) return known;
  const found = findLayout(target);
  layouts.set(target, found);
  return found;
}

function findLayout(target: Target): EntryLayout | null {
  const thread = new Structure(target, '_ETHREAD', 0n);
  const path = ['LockEntries', 'Tcb.LockEntries'].find((name) => thread.field(name)?.type.kind === 'array');
  const place = path === undefined ? undefined : thread.field(path);
  const type = place?.type;
  const entry = new Structure(target, '_KLOCK_ENTRY', 0n);
  const size = target.layouts.table.struct('_KLOCK_ENTRY')?.size;
  const lock = entry.field('LockUnsafe')?.offset;
  const acquired = entry.field('AcquiredByte')?.offset;
  // 8.1 keeps the waiting bit in the lowest bit of the lock, 10 in a byte of its own.
  const waiting = (entry.field('WaitingByte') ?? entry.field('WaitingBit') ?? entry.field('LockUnsafe'))?.offset;
  if (place === undefined || type?.kind !== 'array' || size === undefined) return null;
  const summary = thread.field('Tcb.AbEntrySummary')?.offset ?? null;
  if (lock === undefined || waiting === undefined || acquired === undefined) return null;
  const from = Math.min(lock, waiting, acquired) & ~3;
  const to = Math.max(lock + target.pointerSize, (Math.max(waiting, acquired) & ~3) + 4);
  return { offset: place.offset, summary, count: type.count, size, lock, waiting, acquired, from, to };
}

export function hasLockEntries(target: Target): boolean {
  return layoutOf(target) !== null;
}

const buffer = new Uint8Array(0x1000);
const view = new DataView(buffer.buffer);

/** Entries in use; null where the kernel keeps none or they cannot be read. */
export function readLockEntries(target: Target, thread: Thread): readonly LockEntry[] | null {
  const layout = layoutOf(target);
  if (layout === null) return null;
  const start = thread.address + BigInt(layout.offset);
  const length = layout.count * layout.size;
  if (length > buffer.length) return null;
  if (target.memory.readInto(start as Va, buffer.subarray(0, length)) < length) return null;
  let free: number | undefined;
  const found: LockEntry[] = [];
  for (let i = 0; i < layout.count; i++) {
    const at = i * layout.size;
    const low = view.getUint32(at + layout.lock, true);
    const high = target.pointerSize === 8 ? view.getUint32(at + layout.lock + 4, true) : 0;
    if ((low | high) === 0) continue;
    free ??= layout.summary === null ? 0 : (target.memory.u8(thread.address + BigInt(layout.summary)) ?? 0);
    if (((free >> i) & 1) !== 0) continue;
    const word = (BigInt(high) << 32n) | BigInt(low);
    found.push({
      address: (start + BigInt(at)) as Va,
      lock: ((word & ~7n) | (target.pointerSize === 8 ? 1n << 63n : 1n << 31n)) as Va,
      waiting: (view.getUint8(at + layout.waiting) & 1) !== 0,
      proof: { address: (start + BigInt(at + layout.from)) as Va, length: layout.to - layout.from },
      acquired: (view.getUint8(at + layout.acquired) & 1) !== 0,
    });
  }
  return found;
}
