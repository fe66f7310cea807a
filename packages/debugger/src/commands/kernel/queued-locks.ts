import { Structure } from '../../nt/structure.ts';
import type { Session } from '../command.ts';

export type SlotState =
  | { readonly kind: 'none' }
  | { readonly kind: 'owner' }
  /** Place in the queue behind the owner, 1 first; null where the chain does not lead there. */
  | { readonly kind: 'waiting'; readonly order: number | null }
  | { readonly kind: 'corrupt'; readonly why: string }
  | { readonly kind: 'unknown'; readonly why: string };

export interface QueuedLock {
  readonly index: number;
  readonly name: string;
  /** Address of the lock word; null where no processor names one. */
  readonly lock: bigint | null;
  /** By position in target.processors. */
  readonly slots: readonly SlotState[];
}

const WAIT = 1n;
const OWNER = 2n;
const FLAGS = 7n;
/** The numbered locks end here; what lies behind in 5.2 and 6.0 are timer tables. */
const NUMBERED = 0x11;

interface Names {
  readonly from: number; // build
  readonly name: string;
}

/** Names by number and the build from which each holds (spin.md §2.3). */
const NAMES: readonly (readonly Names[])[] = [
  [
    { from: 0, name: 'KE   - Dispatcher' },
    { from: 7600, name: 'KE   - Unused Spare' },
  ],
  [
    { from: 0, name: 'KE   - Context Swap' },
    { from: 3790, name: 'KE   - Unused Spare' },
    { from: 6000, name: 'MM   - Expansion' },
    { from: 10240, name: 'KE   - Unused Spare' },
  ],
  [
    { from: 0, name: 'MM   - PFN' },
    { from: 7600, name: 'KE   - Unused Spare' },
  ],
  [
    { from: 0, name: 'MM   - System Space' },
    { from: 10240, name: 'KE   - Unused Spare' },
  ],
  [{ from: 0, name: 'CC   - Vacb' }],
  [{ from: 0, name: 'CC   - Master' }],
  [{ from: 0, name: 'EX   - NonPagedPool' }],
  [{ from: 0, name: 'IO   - Cancel' }],
  [{ from: 0, name: 'EX   - WorkQueue' }],
  [{ from: 0, name: 'IO   - Vpb' }],
  [{ from: 0, name: 'IO   - Database' }],
  [{ from: 0, name: 'IO   - Completion' }],
  [{ from: 0, name: 'NTFS - Struct' }],
  [{ from: 0, name: 'AFD  - WorkQueue' }],
  [{ from: 0, name: 'CC   - Bcb' }],
  [
    { from: 0, name: 'MM   - MM NonPagedPool' },
    { from: 10240, name: 'KE   - Unused Spare' },
  ],
  [{ from: 0, name: 'KE   - Unused Spare' }],
];

export function queuedLockName(index: number, build: number): string {
  const names = NAMES[index];
  if (names === undefined) return `     - ${index}`;
  let name = names[0]?.name ?? '';
  for (const n of names) if (build >= n.from) name = n.name;
  return name;
}

interface Entry {
  readonly address: bigint;
  readonly next: bigint;
  readonly lock: bigint;
}

/** How many slots KPRCB.LockQueue has in these layouts; 0 where they lack it. */
export function lockQueueLength(session: Session): number {
  const field = new Structure(session.target, '_KPRCB', 0n).field('LockQueue');
  return field?.type.kind === 'array' ? Math.min(field.type.count, NUMBERED) : 0;
}

/**
 * The numbered queued locks by processor. An entry without WAIT owns the lock if it says so (OWNER, the assembly kernels)
 * or if the lock word leads to it; a pre-set Lock pointer alone is no claim, since the word is 0 while nobody holds it.
 */
export function queuedLocks(session: Session): readonly QueuedLock[] {
  const { target } = session;
  const count = lockQueueLength(session);
  const size = BigInt(target.pointerSize * 2);
  const build = target.dump.header.minorVersion;
  const locks: QueuedLock[] = [];
  const bases = target.processors.map((p) => new Structure(target, '_KPRCB', p.prcb).addressOf('LockQueue'));
  for (let index = 0; index < count; index++) {
    const entries = bases.map((base): Entry | null => {
      if (base === undefined) return null;
      const address = base + BigInt(index) * size;
      const next = target.memory.pointer(address);
      const lock = target.memory.pointer(address + BigInt(target.pointerSize));
      return next === undefined || lock === undefined ? null : { address, next, lock };
    });
    const lock = entries.find((e) => e !== null && (e.lock & ~FLAGS) !== 0n)?.lock ?? null;
    const word = lock === null ? undefined : target.memory.pointer(lock & ~FLAGS);
    const orders = queueOrders(entries, word);
    locks.push({
      index,
      name: queuedLockName(index, build),
      lock: lock === null ? null : lock & ~FLAGS,
      slots: entries.map((entry) => slotState(entry, word, orders)),
    });
  }
  return locks;
}

/** Place of each waiter, counted along Next from the entry that nobody waits behind. */
function queueOrders(entries: readonly (Entry | null)[], word: bigint | undefined): ReadonlyMap<bigint, number> {
  const byAddress = new Map<bigint, Entry>();
  for (const entry of entries) if (entry !== null) byAddress.set(entry.address, entry);
  const followers = new Set([...byAddress.values()].map((e) => e.next));
  const orders = new Map<bigint, number>();
  for (const start of byAddress.values()) {
    const queued = (start.lock & (WAIT | OWNER)) !== 0n || start.next !== 0n || word === start.address;
    if (!queued || followers.has(start.address)) continue;
    let order = (start.lock & WAIT) === 0n ? 0 : 1;
    for (let at: Entry | undefined = start; at !== undefined && !orders.has(at.address); at = byAddress.get(at.next)) {
      orders.set(at.address, order++);
    }
  }
  return orders;
}

function slotState(entry: Entry | null, word: bigint | undefined, orders: ReadonlyMap<bigint, number>): SlotState {
  if (entry === null) return { kind: 'unknown', why: 'the entry cannot be read' };
  if ((entry.lock & ~FLAGS) === 0n) {
    return entry.lock === 0n ? { kind: 'none' } : { kind: 'corrupt', why: 'flags without a lock address' };
  }
  if ((entry.lock & WAIT) !== 0n) {
    if (word === 0n) return { kind: 'corrupt', why: 'it waits for a lock that nobody holds' };
    return { kind: 'waiting', order: orders.get(entry.address) ?? null };
  }
  if ((entry.lock & OWNER) !== 0n) {
    return word === 0n ? { kind: 'corrupt', why: 'it owns a lock whose word is 0' } : { kind: 'owner' };
  }
  if (word === undefined) {
    return entry.next !== 0n ? { kind: 'owner' } : { kind: 'unknown', why: 'the lock word cannot be read' };
  }
  return word !== 0n && (word === entry.address || entry.next !== 0n) ? { kind: 'owner' } : { kind: 'none' };
}
