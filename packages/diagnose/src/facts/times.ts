/**
 * How long a thread can have been doing what it does, as a bound with its reason; never one number.
 *
 * Traps, each seen in published analyses: WaitTime 0 means the thread never waited, so the tick difference is the
 * uptime; KernelTime is a lifetime sum; the idle thread's KernelTime is idling; time in DPCs and ISRs is charged to the
 * PRCB, not to the thread; the tick is 15.625 or 15.600 ms, so it is read and not assumed.
 */
import type { Thread } from '@dumpscope/debugger';
import type { Diagnosis } from '../engine/diagnosis.ts';
import { clock, count, plural } from '../engine/words.ts';

export interface ThreadTimes {
  readonly tickSeconds: number | null;
  readonly kernelTicks: number | null;
  readonly userTicks: number | null;
  /** Ticks since the last wait began; null where WaitTime is 0, unreadable, or the tick count is. */
  readonly ticksSinceWait: number | null;
  readonly neverWaited: boolean | null;
}

export function threadTimes(diagnosis: Diagnosis, thread: Thread): ThreadTimes {
  const { time } = diagnosis.target;
  const tickSeconds = time.tickIncrement === null ? null : time.tickIncrement / 1e7;
  // A thread that has never waited has WaitTime 0: seen on 22621, where a published analysis took the uptime for a spin.
  const neverWaited = thread.waitTime === null ? null : thread.waitTime === 0;
  const elapsed =
    thread.waitTime === null || neverWaited || time.tickCount === null
      ? null
      : (Number(time.tickCount & 0xffff_ffffn) - thread.waitTime) | 0;
  // Stamped after the dump's own tick count: the two are not of one instant, and their difference is no time. Half the
  // range of the counter is 388 days at 15.6 ms: longer waits look the same, and say nothing either.
  const ticksSinceWait = elapsed === null || elapsed < 0 ? null : elapsed;
  return { tickSeconds, kernelTicks: thread.kernelTime, userTicks: thread.userTime, ticksSinceWait, neverWaited };
}

export interface Since {
  readonly minSeconds: number | null;
  readonly maxSeconds: number | null;
  readonly reason: string;
}

/** Bound on an uninterrupted run in kernel mode on the thread's own stack. */
export function spinningSince(
  diagnosis: Diagnosis,
  thread: Thread | null,
  where: { readonly idleThread: boolean; readonly inDpc: boolean | null },
): Since {
  if (thread === null) return { minSeconds: null, maxSeconds: null, reason: 'the thread could not be read' };
  const times = threadTimes(diagnosis, thread);
  if (times.tickSeconds === null)
    return { minSeconds: null, maxSeconds: null, reason: 'the length of a tick is not known' };
  if (where.idleThread) {
    return {
      minSeconds: null,
      maxSeconds: null,
      reason: 'the idle thread is current: its KernelTime counts idling, and time in DPCs is charged to the PRCB',
    };
  }
  if (where.inDpc === true) {
    return {
      minSeconds: null,
      maxSeconds: null,
      reason: 'a DPC is active: its time is charged to the PRCB, not to the thread that it interrupted',
    };
  }
  const tick = times.tickSeconds;
  const bounds: { seconds: number; text: string }[] = [];
  if (times.kernelTicks !== null) {
    bounds.push({
      seconds: (times.kernelTicks + 1) * tick,
      text: `${plural(times.kernelTicks, 'tick')} of kernel time charged to the thread = ${clock(times.kernelTicks * tick)}, plus less than one tick (${trim(tick * 1000)} ms); KernelTime is a lifetime sum, so this is a bound`,
    });
  }
  if (times.ticksSinceWait !== null) {
    bounds.push({
      seconds: (times.ticksSinceWait + 1) * tick,
      text: `the last wait began ${count(times.ticksSinceWait)} ticks = ${clock(times.ticksSinceWait * tick)} before the dump`,
    });
  }
  if (bounds.length === 0)
    return { minSeconds: null, maxSeconds: null, reason: 'neither KernelTime nor WaitTime could be read' };
  bounds.sort((a, b) => a.seconds - b.seconds);
  const notes = bounds.map((bound) => bound.text);
  if (times.neverWaited)
    notes.push('WaitTime is 0: the thread never waited, so the tick difference is the uptime and says nothing');
  const userNote =
    times.userTicks !== null && times.userTicks > 0 ? `; ${plural(times.userTicks, 'tick')} of user time besides` : '';
  return { minSeconds: 0, maxSeconds: bounds[0]?.seconds ?? null, reason: notes.join('; ') + userNote };
}

function trim(value: number): string {
  return value.toFixed(4).replace(/\.?0+$/, '');
}
