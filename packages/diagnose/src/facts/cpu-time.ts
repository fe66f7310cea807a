/**
 * How much a thread has run, by ticks and by cycles, and against which uptime.
 *
 * Ticks charge a whole tick to whoever the clock interrupts: nothing while interrupts are off, and sleepers between two
 * ticks get away. CycleTime (7 on) counts what really ran, in time stamp counts at KPRCB.MHz (a real 19041 dump: 253.6e9
 * cycles at 2112 MHz beside 7684 ticks, 120.07 and 120.06 s). CurrentRunTime (8.1 on) counts since the last wait and stays
 * at FFFFFFFF once it is there (the same dump).
 */
import type { Thread } from '@dumpscope/debugger';
import { member } from '../bugchecks/kernel-struct.ts';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { clock } from '../engine/words.ts';
import { threadTimes } from './times.ts';

const SATURATED = 0xffff_ffffn;

export interface CpuTime {
  readonly kernelSeconds: number;
  readonly userSeconds: number;
  /** By CycleTime; null where the build has none, it is 0, or the clock rate is not known. */
  readonly cycleSeconds: number | null;
  /** Since its last wait, by CurrentRunTime; null as above. */
  readonly recentSeconds: number | null;
  /** `recentSeconds` is as large as its field goes: at least that. */
  readonly recentAtLeast: boolean;
}

/** Cycles in a second: MHz of the first processor that tells; null without one. */
const cycleRate: FactKey<number | null> = defineFact('cycle rate', ({ target }: Diagnosis) => {
  for (const processor of target.processors) {
    const mhz = member(target, '_KPRCB', processor.prcb, 'MHz')?.value ?? null;
    if (mhz !== null && mhz >= 100n && mhz <= 20_000n) return Number(mhz) * 1e6;
  }
  return null;
});

/** Null where ticks or their length cannot be read. */
export function cpuTime(diagnosis: Diagnosis, thread: Thread): CpuTime | null {
  const { kernelTicks, userTicks, tickSeconds } = threadTimes(diagnosis, thread);
  if (kernelTicks === null || userTicks === null || tickSeconds === null) return null;
  const rate = diagnosis.fact(cycleRate);
  const cycles = thread.field('CycleTime');
  const recent = (): bigint | null => thread.field('CurrentRunTime');
  return {
    kernelSeconds: kernelTicks * tickSeconds,
    userSeconds: userTicks * tickSeconds,
    cycleSeconds: rate === null || cycles === null || cycles === 0n ? null : Number(cycles) / rate,
    // Read when asked for: most threads of a system only wait.
    get recentSeconds() {
      const value = recent();
      return rate === null || value === null || value === 0n ? null : Number(value) / rate;
    },
    get recentAtLeast() {
      return recent() === SATURATED;
    },
  };
}

/** The larger of ticks and cycles: interrupts that were off hide time from the ticks, never from the cycles. */
export function cpuSeconds(time: CpuTime): number {
  return Math.max(time.kernelSeconds + time.userSeconds, time.cycleSeconds ?? 0);
}

export interface Uptime {
  readonly seconds: number;
  readonly source: string;
}

/** Clocks that differ by more than this lost or gained time: sleep, a stopped machine, an adjusted clock. */
const APART = 0.002;

/** Uptime by every clock of the dump, the header's or the interrupt time first; one where they agree. */
export const uptimes: FactKey<readonly Uptime[]> = defineFact('uptimes', ({ target }: Diagnosis) => {
  const { time, dump } = target;
  const all: Uptime[] = [];
  const add = (units: bigint | null, source: string): void => {
    if (units === null || units <= 0n) return;
    const seconds = Number(units) / 1e7;
    if (all.every((known) => Math.abs(known.seconds - seconds) > known.seconds * APART)) all.push({ seconds, source });
  };
  add(dump.header.systemUpTime, 'the header');
  add(time.interruptTime, 'the interrupt time');
  if (time.tickCount !== null && time.tickIncrement !== null)
    add(time.tickCount * BigInt(time.tickIncrement), `ticks of ${time.tickIncrement / 1e4} ms`);
  add(time.uptime, 'the uptime');
  return all;
});

/** `6:40:41.143 by the header, 6:48:47.140 by ticks of 15.625 ms`. */
export function uptimeText(known: readonly Uptime[]): string {
  return known.length === 1
    ? clock(known[0]?.seconds ?? 0)
    : known.map(({ seconds, source }) => `${clock(seconds)} by ${source}`).join(', ');
}

/** `24.7 %`, or `24.7 % or 24.2 %` where the clocks differ. */
export function shareText(seconds: number, known: readonly Uptime[]): string {
  const shares = known.map((uptime) => `${((seconds / uptime.seconds) * 100).toFixed(1)} %`);
  return [...new Set(shares)].join(' or ');
}
