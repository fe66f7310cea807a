/** Lock entries of all threads (8.1 and later), by thread and by lock. Null where the kernel keeps none. */
import { hasLockEntries, type LockEntry, readLockEntries } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';

export interface LockEntryIndex {
  ofThread(thread: bigint): readonly LockEntry[];
  ofLock(lock: bigint): readonly { readonly thread: bigint; readonly entry: LockEntry }[];
  /** Threads whose entries could not be read. */
  readonly unread: number;
}

export const lockEntryIndex: FactKey<LockEntryIndex | null> = defineFact('lock entries', ({ target }: Diagnosis) => {
  if (!hasLockEntries(target)) return null;
  const byThread = new Map<bigint, readonly LockEntry[]>();
  const byLock = new Map<bigint, { thread: bigint; entry: LockEntry }[]>();
  let unread = 0;
  for (const thread of target.threads()) {
    const entries = readLockEntries(target, thread);
    if (entries === null) unread++;
    if (entries === null || entries.length === 0) continue;
    byThread.set(thread.address, entries);
    for (const entry of entries) {
      const known = byLock.get(entry.lock);
      if (known === undefined) byLock.set(entry.lock, [{ thread: thread.address, entry }]);
      else known.push({ thread: thread.address, entry });
    }
  }
  return { ofThread: (thread) => byThread.get(thread) ?? [], ofLock: (lock) => byLock.get(lock) ?? [], unread };
});
