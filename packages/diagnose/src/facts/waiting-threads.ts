/** Every thread that waits, with what it waits for and since when. */
import { isWaiting, type Thread, type ThreadWait } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { threadWaits } from './thread-waits.ts';
import { threadTimes } from './times.ts';

export interface WaitingThread {
  readonly thread: Thread;
  readonly wait: ThreadWait;
  /** Since KTHREAD.WaitTime; null where that is 0, unreadable, or earlier than the boot. */
  readonly ticks: number | null;
  readonly seconds: number | null;
}

export const waitingThreads: FactKey<readonly WaitingThread[]> = defineFact(
  'waiting threads',
  (diagnosis: Diagnosis) => {
    const { target } = diagnosis;
    const found: WaitingThread[] = [];
    // A processor's current thread may still show the state of its last wait for an instant; it runs.
    const running = new Set(target.processors.flatMap((p) => [p.currentThread, p.idleThreadAddress]));
    const boot = target.time.tickCount;
    for (const wait of diagnosis.fact(threadWaits).values()) {
      const { thread } = wait;
      if (!isWaiting(thread) || running.has(thread.address)) continue;
      const { ticksSinceWait, tickSeconds } = threadTimes(diagnosis, thread);
      // WaitTime is a ULONG of the tick count: a difference beyond the tick count itself is no wait of this boot.
      const ticks = ticksSinceWait === null || boot === null || BigInt(ticksSinceWait) > boot ? null : ticksSinceWait;
      found.push({ thread, wait, ticks, seconds: ticks === null || tickSeconds === null ? null : ticks * tickSeconds });
    }
    return found;
  },
);
