import { type Va, va } from '@dumpscope/core';
import type { Protocol, QueueLink } from '../protocol.ts';
import { cellTests, pointerSize, type Shape, type ShapeInput } from './shape.ts';

/**
 * KSPIN_LOCK_QUEUE: Next, then Lock with flags in its low bits (WAIT 1, OWNER 2; the newest kernels add HALTED 4 on x64).
 * The lock word is the address of the last entry of the queue.
 */
class Queue {
  readonly #input: ShapeInput;
  readonly pointer: 4 | 8;
  readonly links: QueueLink[] = [];

  constructor(input: ShapeInput) {
    this.#input = input;
    this.pointer = pointerSize(input);
  }

  read(address: bigint): bigint | null {
    return this.#input.context.memory.read(BigInt.asUintN(this.pointer * 8, address), this.pointer);
  }

  /** The lock that an entry's Lock field names. */
  lockOf(field: bigint): bigint {
    return field & ~(this.pointer === 8 ? 7n : 3n);
  }

  /** True when the word behind `entry` names `lock`. */
  isEntry(entry: bigint, lock: bigint): boolean {
    if (entry < 0x1000n || entry % BigInt(this.pointer) !== 0n) return false;
    const field = this.read(entry + BigInt(this.pointer));
    return field !== null && this.lockOf(field) === lock;
  }

  note(claim: string, address: bigint, value: bigint): void {
    this.links.push({ claim, address: va(address), size: this.pointer, value });
  }
}

function plausibleLock(lock: bigint, pointer: 4 | 8): boolean {
  return lock >= 0x10000n && lock % BigInt(pointer) === 0n;
}

/** Spins on bit 0 of its own entry's Lock field, whose other bits lead to the lock, and the entry is linked into its queue. */
export const queuedHandoff: Shape = (input) => {
  for (const { test } of cellTests(input)) {
    if (test.mask !== 1n || test.relation !== 'eq' || test.value !== 0n || test.cell.address === null) continue;
    const queue = new Queue(input);
    const { pointer } = queue;
    const lockField = test.cell.address;
    const value = queue.read(lockField);
    const entry = BigInt.asUintN(pointer * 8, lockField - BigInt(pointer));
    if (value === null || lockField % BigInt(pointer) !== 0n) continue;
    const lock = queue.lockOf(value);
    if (!plausibleLock(lock, pointer)) continue;
    const tail = queue.read(lock);
    if (tail === entry) queue.note('the lock word is our entry: we are the last in the queue', lock, tail);
    else if (tail !== null && queue.isEntry(tail, lock))
      queue.note('the lock word is an entry whose Lock field names the same lock', lock, tail);
    const next = queue.read(entry);
    if (next !== null && next !== 0n && queue.isEntry(next, lock))
      queue.note('our Next is an entry whose Lock field names the same lock', entry, next);
    const predecessors: { register: string; entry: Va }[] = [];
    for (const [register, at] of input.context.state.registers) {
      if (at === entry || at < 0x10000n || at % BigInt(pointer) !== 0n || queue.read(at) !== entry) continue;
      queue.note(`${register} is an entry whose Next is ours: the predecessor`, at, entry);
      predecessors.push({ register, entry: va(at) });
    }
    if (queue.links.length === 0) continue;
    return {
      kind: 'queued-handoff',
      entry: va(entry),
      lockField,
      lockFieldValue: value,
      lock: va(lock),
      links: queue.links,
      predecessors,
    } satisfies Protocol;
  }
  return null;
};

/** A releaser that waits for its own Next: the lock word has another entry, which has not linked itself yet. */
export const chainValid: Shape = (input) => {
  for (const { test } of cellTests(input)) {
    const queue = new Queue(input);
    const { pointer } = queue;
    const { cell } = test;
    if (cell.size !== pointer || test.relation !== 'ne' || test.value !== 0n || cell.address === null) continue;
    if (test.mask !== (1n << BigInt(pointer * 8)) - 1n) continue;
    const entry = cell.address;
    const field = queue.read(entry + BigInt(pointer));
    if (field === null) continue;
    const lock = queue.lockOf(field);
    if (!plausibleLock(lock, pointer)) continue;
    const tail = queue.read(lock);
    if (tail === null || tail === entry || tail === 0n || !queue.isEntry(tail, lock)) continue;
    queue.note('our Lock field names the lock', entry + BigInt(pointer), field);
    queue.note('the lock word is another entry of the same lock, which our Next should lead to', lock, tail);
    return { kind: 'chain-valid', entry, lock: va(lock), tail: va(tail), links: queue.links };
  }
  return null;
};
