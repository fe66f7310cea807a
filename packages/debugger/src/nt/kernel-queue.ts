/** KQUEUE and, from 8.1 on, KPRIQUEUE: worker queues and I/O completion ports. */
import type { Va } from '@dumpscope/core';
import type { Target } from '../target/model.ts';
import { Structure, walkList } from './structure.ts';
import { OBJECT_TYPE } from './thread-wait.ts';

export interface KernelQueue {
  readonly address: Va;
  readonly type: '_KQUEUE' | '_KPRIQUEUE';
  /** Threads that took an entry and do not wait. */
  readonly running: number;
  /** So many may run at once; no further thread is let go while they do. */
  readonly maximum: number;
  /** LIST_ENTRYs of entries that nobody took; at most the limit. */
  readonly entries: readonly Va[];
  /** False where the lists could not be followed to their ends. */
  readonly whole: boolean;
  /** KTHREAD.QueueListEntry of the threads that serve it; null where that list could not be followed. */
  readonly threads: readonly Va[] | null;
}

const PRIORITIES = 32;

export function readKernelQueue(target: Target, address: bigint, limit: number): KernelQueue | null {
  const header = new Structure(target, '_DISPATCHER_HEADER', address);
  const number = header.number('Type');
  if (number === undefined) return null;
  const type = number & 0x7f;
  if (type === OBJECT_TYPE.queue) return plainQueue(target, address, limit);
  return type === OBJECT_TYPE.priorityQueue ? priorityQueue(target, address, limit) : null;
}

function plainQueue(target: Target, address: bigint, limit: number): KernelQueue | null {
  const queue = new Structure(target, '_KQUEUE', address);
  const running = queue.number('CurrentCount');
  const maximum = queue.number('MaximumCount');
  const head = queue.addressOf('EntryListHead');
  if (running === undefined || maximum === undefined || head === undefined) return null;
  const { entries, end } = walkList(target, target.memory, head, limit);
  return {
    address: queue.address,
    type: '_KQUEUE',
    running,
    maximum,
    entries,
    whole: end === 'head',
    threads: threadsOf(queue),
  };
}

function priorityQueue(target: Target, address: bigint, limit: number): KernelQueue | null {
  const queue = new Structure(target, '_KPRIQUEUE', address);
  const maximum = queue.number('MaximumCount');
  if (maximum === undefined) return null;
  const all: Va[] = [];
  let whole = true;
  let running = 0;
  for (let priority = 0; priority < PRIORITIES; priority++) {
    const count = queue.signed(`CurrentCount[${priority}]`);
    const head = queue.addressOf(`EntryListHead[${priority}]`);
    if (count === undefined || head === undefined) return null;
    running += Math.max(0, count);
    const { entries, end } = walkList(target, target.memory, head, limit - all.length);
    all.push(...entries);
    if (end !== 'head') whole = false;
  }
  return {
    address: queue.address,
    type: '_KPRIQUEUE',
    running,
    maximum,
    entries: all,
    whole,
    threads: threadsOf(queue),
  };
}

const MAX_THREADS = 0x10000;

function threadsOf(queue: Structure): readonly Va[] | null {
  const head = queue.addressOf('ThreadListHead');
  if (head === undefined) return null;
  const { entries, end } = walkList(queue.target, queue.memory, head, MAX_THREADS);
  return end === 'head' ? entries : null;
}
