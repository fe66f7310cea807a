/**
 * FAST_MUTEX and KGUARDED_MUTEX: a count, the owner, and an event or gate inside, which is what waiters wait for. The
 * address in the wait block is therefore that of the inner object, and the mutex lies before it.
 */
import type { Va } from '@dumpscope/core';
import type { Target } from '../target/model.ts';
import { Structure } from './structure.ts';
import { OBJECT_TYPE } from './thread-wait.ts';

export interface FastMutex {
  readonly kind: 'fast mutex' | 'guarded mutex';
  /** `_FAST_MUTEX` or `_KGUARDED_MUTEX`. */
  readonly type: string;
  readonly address: Va;
  readonly size: number;
  /** Signed. */
  readonly count: number;
  /** Threads that the count says wait; null where it is not the count of a held mutex with waiters. */
  readonly waiters: number | null;
  readonly owner: bigint;
  readonly contention: number;
  readonly oldIrql: number | null;
  readonly signalState: number | null;
}

/** The mutex that would lie around a dispatcher object; null where it cannot be read or the object is of another shape. */
export function fastMutexAround(target: Target, object: bigint): FastMutex | null {
  const header = new Structure(target, '_DISPATCHER_HEADER', object);
  const number = header.number('Type');
  if (number === undefined) return null;
  const objectType = number & 0x7f;
  const gate = objectType === OBJECT_TYPE.gate;
  if (!gate && objectType !== OBJECT_TYPE.synchronizationEvent) return null;
  const type = gate ? '_KGUARDED_MUTEX' : '_FAST_MUTEX';
  const inner = new Structure(target, type, 0n).field(gate ? 'Gate' : 'Event');
  const size = target.layouts.table.struct(type)?.size;
  if (inner === undefined || size === undefined) return null;
  const mutex = new Structure(target, type, object - BigInt(inner.offset));
  const count = mutex.signed('Count');
  const owner = mutex.value('Owner');
  const contention = mutex.number('Contention');
  if (count === undefined || owner === undefined || contention === undefined) return null;
  return {
    kind: gate ? 'guarded mutex' : 'fast mutex',
    type,
    address: mutex.address,
    size,
    count,
    waiters: waitersBy(count),
    owner: ownerThread(owner),
    contention,
    oldIrql: mutex.number('OldIrql') ?? null,
    signalState: header.signed('SignalState') ?? null,
  };
}

/**
 * The old fast mutex counts down from 1: 0 is held, -n held with n waiters. Guarded mutexes, and fast mutexes where they
 * are the same thing (8 and later), keep the free state in bit 0, a woken waiter in bit 1 and waiters in units of 4.
 */
function waitersBy(count: number): number | null {
  if (count < 0) return -count;
  if ((count & 1) !== 0 || count >> 2 === 0) return null;
  return count >> 2;
}

/** Low bits of a pointer to a thread are no part of it. */
function ownerThread(owner: bigint): bigint {
  return owner & ~7n;
}
