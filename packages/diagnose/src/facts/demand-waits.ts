/**
 * Waits that somebody else has to end and that a healthy system ends soon: for locks, replies, pages, requests. Waits for
 * work, for messages, for time and whatever user mode waits for by its own choice are none.
 */
import { OBJECT_TYPE } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { passiveThreads } from './passive-threads.ts';
import { type WaitingThread, waitingThreads } from './waiting-threads.ts';

/**
 * KWAIT_REASON: pages and pool, replies (LPC, ALPC), resources, push locks, mutexes, rundown. Not WrKeyedEvent and
 * WrAlertByThreadId: threads without work wait so for condition variables.
 */
const DIRECTED: ReadonlySet<number> = new Set([2, 3, 9, 10, 17, 27, 28, 29, 34, 35, 36, 39]);
/** Suspended, WrSuspended: the suspended-thread pattern. */
const SUSPENDED: ReadonlySet<number> = new Set([5, 12]);
const USER_REQUEST = 6;

export const demandWaits: FactKey<readonly WaitingThread[]> = defineFact('waits on demand', (diagnosis: Diagnosis) => {
  const passive = diagnosis.fact(passiveThreads);
  return diagnosis.fact(waitingThreads).filter(({ thread, wait }) => {
    const reason = thread.waitReason;
    if (reason === null || SUSPENDED.has(reason) || passive.has(thread.address) || wait.timeout !== false) return false;
    if (DIRECTED.has(reason)) return true;
    // A mutant has an owner, whoever waits for it.
    if (wait.mode === 'single' && wait.blocks[0]?.type === OBJECT_TYPE.mutant) return true;
    return wait.userMode === false && wait.alertable === false && reason !== USER_REQUEST;
  });
});
