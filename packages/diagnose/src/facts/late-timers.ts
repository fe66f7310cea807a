/** Timers of a processor's table that are overdue: nobody serves them. Each table is walked once. */
import { type Processor, type TimerTable, timersDueBefore } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';

/** Expiry runs at the next tick and coalesces within some; a timer this late was not served. */
const LATE = 10_000_000n;

export interface LateTimers {
  readonly timers: TimerTable['timers'];
  /** Interrupt time of the dump, 100 ns. */
  readonly now: bigint;
}

const tables: FactKey<Map<Processor, LateTimers | null>> = defineFact('late timers', () => new Map());

/** Null where the interrupt time or the table could not be read. */
export function lateTimers(diagnosis: Diagnosis, processor: Processor): LateTimers | null {
  const known = diagnosis.fact(tables);
  let late = known.get(processor);
  if (late === undefined) {
    const { target } = diagnosis;
    const now = target.time.interruptTime;
    const table = now === null ? null : timersDueBefore(target, processor, now - LATE);
    late = now === null || table === null ? null : { timers: table.timers, now };
    known.set(processor, late);
  }
  return late;
}
