import { type Va, va } from '@dumpscope/core';
import type { Processor, Target } from '../target/model.ts';
import { Structure, walkList } from './structure.ts';

/** Timers of a processor's own table, which its clock interrupt and timer DPC expire. */

export interface PendingTimer {
  readonly address: Va;
  /** KTIMER.DueTime, interrupt time in 100 ns. */
  readonly due: bigint;
  /** Threads on its wait list; the first few. */
  readonly waiters: readonly Va[];
}

export interface TimerTable {
  /** Earliest due first. */
  readonly timers: readonly PendingTimer[];
  /** Every bucket was walked to its end. */
  readonly complete: boolean;
}

const BUCKETS = 256;
const MAX_TIMERS = 0x4000;
const MAX_WAITERS = 16;
/** KOBJECTS: ThreadObject, TimerNotificationObject, TimerSynchronizationObject. */
const THREAD_OBJECT = 6;
const TIMERS: ReadonlySet<number> = new Set([8, 9]);

/**
 * Timers of KPRCB.TimerTable that are due before `time`. Null where the layouts have no table per processor: it came with
 * Windows 7; 5.1 has one for all (KiTimerTableListHead). Layouts from 19041 on have two rows of buckets, of which the
 * second one is left out: timers that need not wake an idle processor may be late by design.
 */
export function timersDueBefore(target: Target, processor: Processor, time: bigint): TimerTable | null {
  const prcb = new Structure(target, '_KPRCB', processor.prcb);
  const table = prcb.field('TimerTable.TimerEntries');
  const size = target.layouts.table.struct('_KTIMER_TABLE_ENTRY')?.size;
  const head = new Structure(target, '_KTIMER_TABLE_ENTRY', 0n).field('Entry');
  const link = new Structure(target, '_KTIMER', 0n).field('TimerListEntry');
  if (table === undefined || size === undefined || head === undefined || link === undefined) return null;
  const timers: PendingTimer[] = [];
  let complete = true;
  let seen = 0;
  for (let i = 0; i < BUCKETS; i++) {
    const bucket = processor.prcb + BigInt(table.offset + i * size + head.offset);
    const list = walkList(target, target.memory, bucket, MAX_TIMERS - seen);
    seen += list.entries.length;
    // A bucket that was never used is zero.
    if (list.end !== 'head' && !(list.end === 'unreadable' && list.entries.length <= 1)) complete = false;
    if (list.end === 'unreadable' && target.memory.pointer(bucket) !== 0n) complete = false;
    for (const entry of list.entries) {
      if (entry === 0n) continue;
      const timer = new Structure(target, '_KTIMER', entry - BigInt(link.offset));
      const type = timer.number('Header.Type');
      const due = timer.value('DueTime.QuadPart') ?? timer.value('DueTime');
      if (type === undefined || !TIMERS.has(type & 0x7f) || due === undefined) {
        complete = false;
        continue;
      }
      if (due < time) timers.push({ address: va(timer.address), due, waiters: waitersOf(target, timer) });
    }
  }
  timers.sort((a, b) => (a.due < b.due ? -1 : a.due > b.due ? 1 : 0));
  return { timers, complete };
}

/** The thread whose KTHREAD.Timer this is: from 8 on its wait block need not name the thread. */
function ownerOf(target: Target, timer: bigint): Va | null {
  const place = new Structure(target, '_KTHREAD', 0n).field('Timer');
  if (place === undefined) return null;
  const thread = timer - BigInt(place.offset);
  const type = target.memory.u8(thread);
  return type !== undefined && (type & 0x7f) === THREAD_OBJECT ? va(thread) : null;
}

function waitersOf(target: Target, timer: Structure): readonly Va[] {
  const owner = ownerOf(target, timer.address);
  if (owner !== null) return [owner];
  const head = timer.addressOf('Header.WaitListHead');
  const link = new Structure(target, '_KWAIT_BLOCK', 0n).field('WaitListEntry');
  if (head === undefined || link === undefined) return [];
  return walkList(target, target.memory, head, MAX_WAITERS).entries.flatMap((entry) => {
    const thread = new Structure(target, '_KWAIT_BLOCK', entry - BigInt(link.offset)).value('Thread');
    return thread === undefined || thread === 0n ? [] : [va(thread)];
  });
}
