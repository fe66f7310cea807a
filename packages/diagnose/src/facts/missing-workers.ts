/** Workers that a queue keeps on its list of threads and that are threads no more: it counts on them for ever. */
import { type KernelQueue, readKernelQueue, Structure } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import type { EdgeProof } from '../waits/wait-edge.ts';
import { judgeThread, type MissingHow } from './missing-owners.ts';

export interface MissingWorkers {
  readonly queue: KernelQueue;
  /** Workers on the queue's list, missing ones included. */
  readonly listed: number;
  readonly missing: readonly { readonly thread: bigint; readonly how: MissingHow; readonly proof: EdgeProof }[];
}

const MAX_QUEUES = 4096;
const MAX_ENTRIES = 256;
const MAX_MISSING = 16;

/** A queue is known by the threads that serve it (KTHREAD.Queue); one whose every worker has gone is known to nobody. */
export const missingWorkers: FactKey<readonly MissingWorkers[]> = defineFact(
  'missing workers',
  (diagnosis: Diagnosis) => {
    const { target } = diagnosis;
    const link = new Structure(target, '_KTHREAD', 0n).field('QueueListEntry');
    if (link === undefined) return [];
    const queues = new Set<bigint>();
    for (const thread of target.threads()) {
      const queue = thread.field('Queue');
      if (queue !== null && queue !== 0n && queues.size < MAX_QUEUES) queues.add(queue);
    }
    const found: MissingWorkers[] = [];
    for (const address of queues) {
      const queue = readKernelQueue(target, address, MAX_ENTRIES);
      if (queue?.threads == null) continue;
      const missing: MissingWorkers['missing'][number][] = [];
      for (const entry of queue.threads) {
        const thread = entry - BigInt(link.offset);
        const judged = missing.length < MAX_MISSING ? judgeThread(diagnosis, thread) : null;
        if (judged !== null) missing.push({ thread, ...judged });
      }
      if (missing.length > 0) found.push({ queue, listed: queue.threads.length, missing });
    }
    return found;
  },
);
