/** What a thread in KTHREAD.State Waiting waits for: its wait blocks, how they combine, and whether a timer ends the wait. */
import type { Va } from '@dumpscope/core';
import type { Target, Thread } from '../target/model.ts';
import { Structure } from './structure.ts';

/** KTHREAD.State values. Gate waits are of Vista and 7 only: later kernels wait for gates as for any object. */
export const THREAD_STATE = {
  ready: 1,
  running: 2,
  standby: 3,
  terminated: 4,
  waiting: 5,
  transition: 6,
  deferredReady: 7,
  gateWait: 8,
} as const;

/** KOBJECTS: DISPATCHER_HEADER.Type without bit 7, which the kernel uses as a lock bit from 7 on. */
export const OBJECT_TYPE = {
  notificationEvent: 0,
  synchronizationEvent: 1,
  mutant: 2,
  process: 3,
  queue: 4,
  semaphore: 5,
  thread: 6,
  gate: 7,
  notificationTimer: 8,
  synchronizationTimer: 9,
  /** KPRIQUEUE and KTIMER2, from 8.1 on. */
  priorityQueue: 21,
  notificationTimer2: 24,
  synchronizationTimer2: 25,
} as const;

export interface WaitBlock {
  /** Address of the KWAIT_BLOCK. */
  readonly address: Va;
  readonly object: Va;
  /** KOBJECTS number of the object; null where its header cannot be read. */
  readonly type: number | null;
}

export interface ThreadWait {
  readonly thread: Thread;
  /** KTHREAD.WaitReason. */
  readonly reason: number | null;
  /** The objects, without the thread's own timer. */
  readonly blocks: readonly WaitBlock[];
  /** `all`: nothing but all objects together ends the wait; `any`: each alone does. Null where WaitType cannot be read. */
  readonly mode: 'single' | 'any' | 'all' | null;
  /** The thread's own timer ends the wait; null where that cannot be read. */
  readonly timeout: boolean | null;
  readonly alertable: boolean | null;
  /** User mode waits end when the thread is terminated or a user APC is delivered. */
  readonly userMode: boolean | null;
  /** Every wait block was read and names the thread; false where the list breaks off. */
  readonly complete: boolean;
}

/** More objects than MAXIMUM_WAIT_OBJECTS (64), and the timer. */
const MAX_BLOCKS = 65;
const WAIT_ALL = 0;

export function isWaiting(thread: Thread): boolean {
  return thread.state === THREAD_STATE.waiting || thread.state === THREAD_STATE.gateWait;
}

/**
 * XP to 7: a ring of wait blocks by NextWaitBlock, into which the timer's block is linked. 8 and later: an array of
 * WaitBlockCount blocks, the timer beside it. The wait of a thread that does not wait is null: its blocks are of the past.
 */
export function readThreadWait(target: Target, thread: Thread): ThreadWait | null {
  if (!isWaiting(thread)) return null;
  const flag = (path: string): boolean | null => {
    const value = thread.field(path);
    return value === null ? null : value !== 0n;
  };
  const timer = thread.fieldAddress('Timer');
  const { blocks, types, timed, complete } = walkBlocks(target, thread, timer);
  const mode =
    blocks.length <= 1 ? 'single' : types.length < blocks.length ? null : types.includes(WAIT_ALL) ? 'all' : 'any';
  return {
    thread,
    reason: thread.waitReason,
    blocks,
    mode,
    timeout: timed || timerArmed(target, thread, timer, complete),
    alertable: flag('Alertable'),
    userMode: flag('WaitMode'),
    complete,
  };
}

function walkBlocks(
  target: Target,
  thread: Thread,
  timer: bigint | null,
): { blocks: WaitBlock[]; types: number[]; timed: boolean; complete: boolean } {
  const blocks: WaitBlock[] = [];
  const types: number[] = [];
  let timed = false;
  // A gate is waited for with the first of the thread's own blocks, whatever WaitBlockList still leads to.
  const gate = thread.state === THREAD_STATE.gateWait;
  const first = gate ? thread.fieldAddress('WaitBlock') : thread.field('WaitBlockList');
  if (first === null || first === 0n) return { blocks, types, timed, complete: false };
  const count = thread.field('WaitBlockCount');
  const limit = gate ? 1 : count === null ? MAX_BLOCKS : Math.min(Math.max(1, Number(count)), MAX_BLOCKS);
  const size = target.layouts.table.struct('_KWAIT_BLOCK')?.size ?? 0;
  const seen = new Set<bigint>();
  let at = first;
  while (seen.size < limit && !seen.has(at)) {
    seen.add(at);
    const block = new Structure(target, '_KWAIT_BLOCK', at);
    const object = block.value('Object');
    if (object === undefined || object === 0n || block.value('Thread') !== thread.address)
      return { blocks, types, timed, complete: false };
    if (object === timer) timed = true;
    else {
      const header = new Structure(target, '_DISPATCHER_HEADER', object);
      const type = header.number('Type');
      blocks.push({ address: block.address, object: header.address, type: type === undefined ? null : type & 0x7f });
      const waitType = block.number('WaitType');
      if (waitType !== undefined) types.push(waitType);
    }
    if (block.has('NextWaitBlock')) {
      const next = block.value('NextWaitBlock');
      if (next === undefined) return { blocks, types, timed, complete: false };
      if (next === 0n) break;
      at = next;
    } else if (size > 0) at += BigInt(size);
    else break;
  }
  return { blocks, types, timed, complete: true };
}

/** KTHREAD.TimerActive from 7 on; before, the timer of every timed wait is a wait block, and an armed one is inserted. */
function timerArmed(target: Target, thread: Thread, timer: bigint | null, complete: boolean): boolean | null {
  const active = thread.field('TimerActive');
  if (active !== null) return active !== 0n;
  if (timer === null) return null;
  const inserted = new Structure(target, '_DISPATCHER_HEADER', timer).number('Inserted');
  if (inserted === undefined) return complete ? false : null;
  return inserted !== 0;
}
