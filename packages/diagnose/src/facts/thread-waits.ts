/** What each waiting thread waits for, read once for everybody who asks. */
import { readThreadWait, type ThreadWait } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';

/** By thread, in the order of the lists; threads that do not wait, or whose wait blocks cannot be read, have none. */
export const threadWaits: FactKey<ReadonlyMap<bigint, ThreadWait>> = defineFact(
  'thread waits',
  ({ target }: Diagnosis) => {
    const waits = new Map<bigint, ThreadWait>();
    for (const thread of target.threads()) {
      const wait = readThreadWait(target, thread);
      if (wait !== null) waits.set(thread.address, wait);
    }
    return waits;
  },
);
