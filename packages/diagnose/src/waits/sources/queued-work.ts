/**
 * Worker queues whose threads are all busy. A thread that waits on a queue is an idle worker and no victim; the victims
 * are entries that nobody takes, and whoever waits for them: a work item that lies on the stack of a waiting thread.
 */
import { type KernelQueue, OBJECT_TYPE, readKernelQueue, type Thread, type ThreadWait } from '@dumpscope/debugger';
import { argument, count, plural } from '../../engine/words.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import type { EdgeProof } from '../wait-edge.ts';

const MAX_ENTRIES = 0x4000;
/** Entries of all queues. */
const MAX_ALL = 0x40000;

export const queuedWork: EdgeSource = defineEdgeSource({
  id: 'queued-work',
  run(builder: WaitGraphBuilder): void {
    const { target } = builder.diagnosis;
    const workers = new Map<bigint, Thread[]>();
    for (const thread of target.threads()) {
      const queue = thread.field('Queue');
      if (queue === null || queue === 0n) continue;
      const known = workers.get(queue);
      if (known === undefined) workers.set(queue, [thread]);
      else known.push(thread);
    }
    let left = MAX_ALL;
    let stacks: StackIndex | null = null;
    for (const [address, threads] of workers) {
      const queue = left > 0 ? readKernelQueue(target, address, Math.min(MAX_ENTRIES, left)) : null;
      if (queue === null) continue;
      left -= queue.entries.length;
      const idle = builder.waitsOn(address).length;
      const full = queue.maximum > 0 && queue.running >= queue.maximum;
      if (queue.entries.length === 0 || (idle > 0 && !full)) continue;
      const busy = threads.filter((thread) => !waitsOn(builder, thread, address));
      if (busy.length === 0) continue;
      // A worker that is not in the lists of threads may be idle, or about to be.
      const unseen = queue.threads?.length !== threads.length;
      stacks ??= new StackIndex(builder.waits);
      addQueue(builder, queue, { busy, idle, unseen }, stacks);
    }
  },
});

function waitsOn(builder: WaitGraphBuilder, thread: Thread, queue: bigint): boolean {
  return builder.waitOf(thread.address)?.blocks.some((block) => block.object === queue) ?? false;
}

/** Which waiting thread's stack holds an address: sorted by base, stacks do not overlap. */
class StackIndex {
  readonly #waits: readonly ThreadWait[];

  constructor(waits: readonly ThreadWait[]) {
    this.#waits = waits
      .filter(({ thread }) => thread.stackBase !== null && thread.stackLimit !== null)
      .sort((a, b) => ((a.thread.stackBase ?? 0n) < (b.thread.stackBase ?? 0n) ? -1 : 1));
  }

  holding(address: bigint): ThreadWait | null {
    let low = 0;
    let high = this.#waits.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#waits[middle]?.thread.stackBase ?? 0n) <= address) low = middle + 1;
      else high = middle;
    }
    const found = this.#waits[low];
    return found !== undefined && address >= (found.thread.stackLimit ?? 0n) ? found : null;
  }
}

function addQueue(
  builder: WaitGraphBuilder,
  queue: KernelQueue,
  { busy, idle, unseen }: { readonly busy: readonly Thread[]; readonly idle: number; readonly unseen: boolean },
  stacks: StackIndex,
): void {
  const { target } = builder.diagnosis;
  const node: GraphNode = { kind: 'object', object: 'queued work', address: queue.address };
  let waited = false;
  for (const entry of queue.entries) {
    const wait = stacks.holding(entry);
    const [block] = wait?.blocks ?? [];
    // The item's owner waits for an event, until the routine that nobody calls sets it.
    if (wait === null || block === undefined || wait.blocks.length !== 1) continue;
    if (block.type !== OBJECT_TYPE.notificationEvent && block.type !== OBJECT_TYPE.synchronizationEvent) continue;
    if (builder.claimed(block)) continue;
    waited = true;
    builder.add({
      from: { kind: 'object', object: 'event', address: block.object },
      to: node,
      relation: 'answered-by',
      certainty: 'inferred',
      proof: [
        {
          claim: `work item ${argument(target, entry)} on the stack of thread ${argument(target, wait.thread.address)} lies in queue ${argument(target, queue.address)}: nobody has taken it`,
          address: entry,
          length: 2 * target.pointerSize,
          command: null,
          source: `${queue.type}.EntryListHead`,
        },
      ],
    });
  }
  if (!waited) return;
  const proof = queueProof(builder, queue, busy.length, idle);
  if (unseen)
    builder.add({
      from: node,
      to: {
        kind: 'unknown',
        id: `workers of ${queue.address.toString(16)}`,
        label: 'a worker of the queue that could not be read',
      },
      relation: 'answered-by',
      certainty: 'recorded',
      combination: 'any',
      proof: [proof],
    });
  for (const thread of busy)
    builder.add({
      from: node,
      to: { kind: 'thread', address: thread.address },
      relation: 'answered-by',
      certainty: 'recorded',
      combination: busy.length > 1 || unseen ? 'any' : 'all',
      proof: [
        proof,
        {
          claim: `thread ${argument(target, thread.address)} is a worker of the queue and does not wait for an entry`,
          address: thread.fieldAddress('Queue'),
          length: target.pointerSize,
          command: `!thread ${argument(target, thread.address)}`,
          source: '_KTHREAD.Queue',
        },
      ],
    });
}

function queueProof(builder: WaitGraphBuilder, queue: KernelQueue, busy: number, idle: number): EdgeProof {
  const { target } = builder.diagnosis;
  const entries = `${count(queue.entries.length)}${queue.whole ? '' : ' or more'}`;
  return {
    claim: `queue ${argument(target, queue.address)} holds ${entries} entries that nobody took; ${plural(busy, 'worker')} busy, ${idle} idle; ${queue.running} of ${queue.maximum} run`,
    address: queue.address,
    length: target.layouts.table.struct(queue.type)?.size ?? null,
    command: `dt nt!${queue.type} ${argument(target, queue.address)}`,
    source: queue.type,
  };
}
