import type { Dump, Memory } from '@dumpscope/core';
import { SHARED_USER_DATA, sharedInterruptTime, sharedSystemTime } from '../nt/shared-user-data.ts';
import type { Kdbg, TimeInfo } from './model.ts';

/**
 * Clock increments seen: 15.625 ms, 15.6001 ms (HPET), 10.0144 ms and 10.0 ms (PIT, uniprocessor), 1 ms and 0.5 ms
 * (raised resolution).
 */
const INCREMENTS = [156250, 156001, 100144, 100000, 10000, 10001, 5000] as const;

export interface TimeInput {
  readonly dump: Dump;
  readonly memory: Memory;
  readonly kdbg: Kdbg | null;
  /** Address of a kernel variable, where names are known. */
  symbol(name: string): bigint | null;
}

/** Tick count, length of a tick and up-time, each with where it came from. */
export function readTime(input: TimeInput): TimeInfo {
  const { dump, memory } = input;
  const shared = SHARED_USER_DATA[dump.arch];
  // TickCount at +320 since XP SP... 5.2; older kernels only have TickCountLowDeprecated at 0 and KeTickCount.
  let tickCount: bigint | undefined;
  let tickSource = '';
  const minor = dump.header.minorVersion;
  const low = memory.u32(shared);
  if (minor >= 3790) {
    tickCount = memory.u64(shared + 0x320n);
    tickSource = 'KUSER_SHARED_DATA.TickCount';
  }
  if (tickCount === undefined || tickCount === 0n) {
    const variable = input.symbol('KeTickCount');
    const value = variable === null ? undefined : memory.u64(variable);
    if (value !== undefined && value !== 0n) {
      tickCount = value;
      tickSource = 'KeTickCount';
    } else if (low !== undefined && low !== 0) {
      tickCount = BigInt(low);
      tickSource = 'KUSER_SHARED_DATA.TickCountLowDeprecated';
    } else if (tickCount === undefined) {
      tickSource = `KUSER_SHARED_DATA at ${shared.toString(16)} cannot be read and KeTickCount is not known`;
    }
  }
  const interruptTime = sharedInterruptTime(memory, dump.arch)?.value;
  const increment = findIncrement(input, tickCount, interruptTime);
  const stored = sharedSystemTime(memory, dump.arch)?.value;
  const fromTicks = tickCount === undefined || increment.value === null ? null : tickCount * BigInt(increment.value);
  return {
    tickCount: tickCount ?? null,
    tickIncrement: increment.value,
    tickSource: increment.value === null ? tickSource : `${tickSource}; ${increment.how}`,
    systemTime: dump.header.systemTime ?? (stored !== undefined && stored > 0n ? stored : null),
    uptime:
      dump.header.systemUpTime ??
      fromTicks ??
      (interruptTime !== undefined && interruptTime > 0n ? interruptTime : null),
    interruptTime: interruptTime !== undefined && interruptTime > 0n ? interruptTime : null,
  };
}

function findIncrement(
  input: TimeInput,
  ticks: bigint | undefined,
  interruptTime: bigint | undefined,
): { value: number | null; how: string } {
  const variable = input.symbol('KeMaximumIncrement');
  const read = variable === null ? undefined : input.memory.u32(variable);
  if (read !== undefined && plausible(read)) return { value: read, how: `KeMaximumIncrement ${read}` };
  // KeTimeIncrement is the current increment: the maximum one unless somebody raised the timer resolution (then it is
  // smaller, and the tick count advances once per maximum increment all the same).
  const spent = interruptTime !== undefined && interruptTime > 0n ? interruptTime : input.dump.header.systemUpTime;
  if (ticks !== undefined && ticks > 1000n && spent !== null && spent !== undefined) {
    const ratio = Number(spent) / Number(ticks);
    let best: number | null = null;
    for (const value of INCREMENTS) {
      const error = Math.abs(ratio - value) / value;
      // Time that interrupts were off or the machine slept is in one count only.
      if (error < 0.002 && (best === null || error < Math.abs(ratio - best) / best)) best = value;
    }
    if (best !== null)
      return { value: best, how: `increment ${best} from ${Math.round(ratio)} of elapsed time a tick` };
  }
  const pointer = input.kdbg?.pointer('KeTimeIncrement') ?? null;
  const current = pointer === null ? undefined : input.memory.u32(pointer);
  if (current !== undefined && INCREMENTS.includes(current as (typeof INCREMENTS)[number]) && current >= 100000)
    return { value: current, how: `KeTimeIncrement ${current}` };
  return { value: null, how: '' };
}

function plausible(increment: number): boolean {
  return increment >= 4000 && increment <= 200000;
}
