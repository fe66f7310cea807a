/** Suspended threads by process, with what makes that normal. */
import {
  type Process,
  type ProcessFreeze,
  readProcessFreeze,
  readSuspension,
  type Suspension,
} from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { type WaitingThread, waitingThreads } from './waiting-threads.ts';

export interface SuspendedThread extends WaitingThread {
  readonly suspension: Suspension;
  /** It has never run: it was made suspended, and nobody has started it. */
  readonly neverStarted: boolean;
}

export interface SuspendedGroup {
  readonly process: Process;
  readonly freeze: ProcessFreeze;
  readonly threads: readonly SuspendedThread[];
  /** Every thread of the process is among them; null where its list could not be followed. */
  readonly all: boolean | null;
  /** Why this is nothing to worry about; null where no such reason is known. */
  readonly normal: string | null;
}

const TERMINATED = 4;
/** Switches of a thread that was made, ran to its first suspension and no further. */
const FIRST_SWITCHES = 2;

export const suspendedThreads: FactKey<readonly SuspendedGroup[]> = defineFact('suspended threads', (diagnosis) => {
  const { target } = diagnosis;
  const byProcess = new Map<bigint, SuspendedThread[]>();
  for (const waiting of diagnosis.fact(waitingThreads)) {
    const { thread, wait } = waiting;
    const suspension = readSuspension(thread, wait);
    const process = thread.owningProcess;
    if (suspension === null || process === null) continue;
    // Suspended while it waits in the kernel: it will stop on its way out, and what it waits for now is what keeps it.
    if (!suspension.stopped && wait.userMode !== true) continue;
    const neverStarted = thread.contextSwitches !== null && thread.contextSwitches <= FIRST_SWITCHES;
    const entry = { ...waiting, suspension, neverStarted };
    const before = byProcess.get(process);
    if (before === undefined) byProcess.set(process, [entry]);
    else before.push(entry);
  }
  return [...byProcess].flatMap(([address, threads]) => {
    const process = target.process(address);
    return process === null ? [] : [groupOf(diagnosis, process, threads)];
  });
});

function groupOf({ target }: Diagnosis, process: Process, threads: readonly SuspendedThread[]): SuspendedGroup {
  const freeze = readProcessFreeze(process);
  const alive = target.threadsOf(process).filter((thread) => thread.state !== TERMINATED).length;
  const all = target.listsWhole(process) ? alive === threads.length : null;
  return { process, freeze, threads, all, normal: normalReason(freeze, threads) };
}

function normalReason(freeze: ProcessFreeze, threads: readonly SuspendedThread[]): string | null {
  if (freeze.debugged === true) return 'a debugger is attached to it';
  if (freeze.deep === true) return 'Windows put the app to sleep (DeepFreeze)';
  return threads.every(({ neverStarted }) => neverStarted) ? 'its suspended threads were never started' : null;
}
