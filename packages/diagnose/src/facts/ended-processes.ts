/** Processes that have ended and are still on the list: somebody keeps a handle or a reference. */
import { type Process, Structure, type Target } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';

export interface EndedProcess {
  readonly process: Process;
  readonly secondsAgo: number;
  /** OBJECT_HEADER.HandleCount; null where it could not be read. */
  readonly handles: number | null;
}

/** Ended just now: its parent has not looked yet. */
const MIN_SECONDS = 60;

export const endedProcesses: FactKey<readonly EndedProcess[]> = defineFact(
  'ended processes',
  ({ target }: Diagnosis) => {
    const now = target.time.systemTime;
    const found: EndedProcess[] = [];
    if (now === null) return found;
    for (const process of target.processes()) {
      // Secure System and its like have no threads by design, but no exit time either.
      const exit = process.field('ExitTime');
      if (exit === null || exit === 0n || process.field('ActiveThreads') !== 0n) continue;
      const secondsAgo = Number(now - exit) / 1e7;
      if (secondsAgo >= MIN_SECONDS) found.push({ process, secondsAgo, handles: handlesOf(target, process.address) });
    }
    return found;
  },
);

function handlesOf(target: Target, process: bigint): number | null {
  const body = new Structure(target, '_OBJECT_HEADER', 0n).field('Body');
  if (body === undefined) return null;
  return new Structure(target, '_OBJECT_HEADER', process - BigInt(body.offset)).signed('HandleCount') ?? null;
}
