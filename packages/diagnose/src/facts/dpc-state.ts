/**
 * What a processor's DPC queues hold and what keeps them from draining.
 *
 * DPCs run when the IRQL falls below DISPATCH_LEVEL, one after the other. DpcTimeCount counts the ticks of the DPC that
 * runs (left as it was once none runs); DpcWatchdogCount the ticks in a row at DISPATCH_LEVEL or above, in DPCs or not, and
 * is 0 again at the first tick below. Limits are read: 282h, 500h and 1e00h ticks were seen, 0 where a debugger turned the
 * watchdog off.
 */
import { type DpcQueue, dpcQueues, type Processor, readDpc, type Target } from '@dumpscope/debugger';
import { type Member, member, memberOf } from '../bugchecks/kernel-struct.ts';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { clock } from '../engine/words.ts';
import { spinSites } from './spin-sites.ts';

export interface RunningDpc {
  readonly routine: bigint;
  /** Where it says so. */
  readonly at: Member;
  readonly how: string;
}

export interface DpcState {
  readonly processor: Processor;
  /** Normal queue first; empty where the layouts lack them. */
  readonly queues: readonly DpcQueue[];
  /** The DPC that runs, where the build records it (8.1 on). */
  readonly running: RunningDpc | null;
  readonly dpcTicks: Member | null;
  readonly dpcLimit: Member | null;
  readonly dispatchTicks: Member | null;
  readonly dispatchLimit: Member | null;
}

export const dpcStates: FactKey<readonly DpcState[]> = defineFact('DPC queues', ({ target }: Diagnosis) =>
  target.processors.map((processor) => {
    const prcb = (...paths: string[]): Member | null => memberOf(target, '_KPRCB', processor.prcb, paths);
    const queues = dpcQueues(target, processor);
    return {
      processor,
      queues,
      running: processor.dpcRoutineActive === true ? runningDpc(target, processor, queues) : null,
      // 5.1 counts in DebugDpcTime and has no limit in the KPRCB; 22621 spells the limits with Ticks.
      dpcTicks: prcb('DpcTimeCount', 'DpcTimeCountTicks', 'DebugDpcTime'),
      dpcLimit: prcb('DpcTimeLimit', 'DpcTimeLimitTicks'),
      dispatchTicks: prcb('DpcWatchdogCount', 'DpcWatchdogCountTicks'),
      dispatchLimit: prcb('DpcWatchdogPeriod', 'DpcWatchdogPeriodTicks'),
    };
  }),
);

/** CurrentDpcRoutine (19041 on), else the routine of ActiveDpc (9600 on). */
function runningDpc(target: Target, processor: Processor, queues: readonly DpcQueue[]): RunningDpc | null {
  const current = member(target, '_KPRCB', processor.prcb, 'CurrentDpcRoutine');
  if (current?.value != null && current.value !== 0n)
    return { routine: current.value, at: current, how: 'KPRCB.CurrentDpcRoutine' };
  for (const queue of queues) {
    if (queue.active === null) continue;
    const { routine } = readDpc(target, queue.active, queue.kind);
    const at = member(target, '_KDPC', queue.active, 'DeferredRoutine');
    if (routine !== null && routine !== 0n && at !== null)
      return { routine, at, how: `DeferredRoutine of the active DPC ${queue.active.toString(16)}` };
  }
  return null;
}

/** A DPC should be done within 100 µs; no watchdog waits for less than this. */
export const HELD_SECONDS = 1;

export interface TickCount {
  readonly ticks: number;
  readonly limit: number | null;
  readonly seconds: number | null;
  readonly over: boolean;
}

export function countedTicks(diagnosis: Diagnosis, ticks: Member | null, limit: Member | null): TickCount | null {
  if (ticks?.value == null) return null;
  const increment = diagnosis.target.time.tickIncrement;
  const value = Number(ticks.value);
  const allowed = limit?.value == null ? null : Number(limit.value);
  return {
    ticks: value,
    limit: allowed,
    seconds: increment === null ? null : (value * increment) / 1e7,
    over: allowed !== null && allowed > 0 && value >= allowed,
  };
}

export function lasts(count: TickCount | null): boolean {
  return count !== null && (count.over || (count.seconds !== null && count.seconds >= HELD_SECONDS));
}

/** `runs one DPC for 20.000 s`: what keeps its DPCs and timers from running; null where nothing is known to, for long. */
export function heldBy(
  diagnosis: Diagnosis,
  state: DpcState,
): { readonly why: string; readonly at: Member | null } | null {
  const { processor } = state;
  const { irql, dpcRoutineActive } = processor;
  if (processor.idle === true) return null;
  const spins = diagnosis
    .fact(spinSites)
    .some(
      ({ waiter, loop }) => waiter.processor === processor && (loop.lockCell !== null || loop.shape === 'queued-wait'),
    );
  if (dpcRoutineActive !== true && irql !== null && irql.kind === 'exact' && irql.level < 2) return null;
  const at = dpcRoutineActive === true ? state.dpcTicks : state.dispatchTicks;
  const ran = countedTicks(diagnosis, at, dpcRoutineActive === true ? state.dpcLimit : state.dispatchLimit);
  const time = ran?.seconds == null || !lasts(ran) ? '' : ` for ${clock(ran.seconds)}`;
  if (!lasts(ran) && !spins) return null;
  return {
    why: `${dpcRoutineActive === true ? 'runs one DPC' : 'stays at DISPATCH_LEVEL or above'}${time}`,
    at: time === '' ? null : at,
  };
}
