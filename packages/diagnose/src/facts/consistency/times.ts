/** Clocks of the dump that disagree: header, KUSER_SHARED_DATA, tick count, the times that threads were stamped with. */
import { sharedInterruptTime, sharedSleepTime, sharedSystemTime, type Target, type Thread } from '@dumpscope/debugger';
import { argument, clock, count } from '../../engine/words.ts';
import type { Contradiction } from './contradiction.ts';

/**
 * Windows copies the header's times from KUSER_SHARED_DATA when it stops the machine: equal to the unit on 19041 and 22000.
 * Older kernels count ticks, which a long stretch with interrupts off loses.
 */
const TOLERANCE = 10;
/** Part of the up-time by which ticks and interrupt time may differ: lost ticks, clock adjustments. */
const DRIFT = 0.01;
/** A thread may be stamped by a processor that has seen the newer tick. */
const TICK_TOLERANCE = 2;
const MAX_TOLD = 3;
/** WIN7 RTM, from which the shared page tells how much of InterruptTime was sleep. */
const WINDOWS_7 = 7600;

export function timeContradictions(target: Target): Contradiction[] {
  return [...headerTimes(target), ...ticks(target), ...stamps(target)];
}

function headerTimes(target: Target): Contradiction[] {
  const out: Contradiction[] = [];
  const { header } = target.dump;
  const pairs = [
    ['SystemUpTime', header.systemUpTime, 'InterruptTime', sharedInterruptTime(target.memory, target.arch)],
    ['SystemTime', header.systemTime, 'SystemTime', sharedSystemTime(target.memory, target.arch)],
  ] as const;
  for (const [field, stored, name, shared] of pairs) {
    if (shared === null) continue;
    const place = {
      address: shared.address,
      length: 12,
      command: `dt nt!_KUSER_SHARED_DATA ${argument(target, shared.address & ~0xfffn)} ${name}`,
    };
    if (shared.torn) {
      out.push({
        kind: 'time',
        claim: `KUSER_SHARED_DATA.${name} is half written: High1Time and High2Time differ`,
        certain: false,
        byLayout: false,
        places: [{ ...place, claim: `High1Time and High2Time of ${name} differ` }],
        about: 'everything',
      });
      continue;
    }
    if (stored === null || stored <= 0n || shared.value <= 0n) continue;
    const seconds = Math.abs(Number(stored - shared.value)) / 1e7;
    if (seconds <= TOLERANCE) continue;
    out.push({
      kind: 'time',
      claim: `the header's ${field} and KUSER_SHARED_DATA.${name} are ${clock(seconds)} apart`,
      certain: true,
      byLayout: false,
      places: [
        {
          ...place,
          claim: `${name} is ${count(shared.value)} (100 ns); the header's ${field} is ${count(stored)}: ${clock(seconds)} apart`,
        },
      ],
      about: 'everything',
    });
  }
  return out;
}

/** Only where the length of a tick was read: one that was derived from these same counts agrees with them by nature. */
function ticks(target: Target): Contradiction[] {
  const { tickCount, tickIncrement, tickSource } = target.time;
  const interrupt = sharedInterruptTime(target.memory, target.arch);
  if (tickCount === null || tickIncrement === null || interrupt === null || interrupt.torn) return [];
  if (!tickSource.includes('KeMaximumIncrement')) return [];
  // Sleep is in one count and not in the other on some builds.
  if (target.dump.header.minorVersion >= WINDOWS_7 && sharedSleepTime(target.memory, target.arch) !== 0n) return [];
  const counted = (Number(tickCount) * tickIncrement) / 1e7;
  const elapsed = Number(interrupt.value) / 1e7;
  const apart = Math.abs(counted - elapsed);
  if (elapsed <= 0 || apart <= Math.max(TOLERANCE, elapsed * DRIFT)) return [];
  return [
    {
      kind: 'time',
      claim: `${count(tickCount)} ticks are ${clock(counted)}, and InterruptTime is ${clock(elapsed)}`,
      certain: true,
      byLayout: false,
      places: [
        {
          claim: `InterruptTime is ${clock(elapsed)}; the tick count ${count(tickCount)} (${tickSource}) makes ${clock(counted)}`,
          address: interrupt.address,
          length: 12,
          command: `dt nt!_KUSER_SHARED_DATA ${argument(target, interrupt.address & ~0xfffn)} InterruptTime`,
        },
      ],
      about: 'everything',
    },
  ];
}

/** Threads whose last wait began after the dump's own tick count: their page is younger than the clock's. */
function stamps(target: Target): Contradiction[] {
  const { tickCount } = target.time;
  if (tickCount === null) return [];
  const now = Number(tickCount & 0xffffffffn);
  const late: { thread: Thread; ticks: number }[] = [];
  for (const thread of target.threads()) {
    const { waitTime } = thread;
    if (waitTime === null || waitTime === 0) continue;
    const ticks = (waitTime - now) | 0;
    if (ticks > TICK_TOLERANCE) late.push({ thread, ticks });
  }
  const [first] = late;
  if (first === undefined) return [];
  return [
    {
      kind: 'time',
      claim: `${late.length === 1 ? 'a thread was' : `${count(late.length)} threads were`} stamped after the dump's tick count, the first by ${count(first.ticks)} ticks`,
      certain: true,
      byLayout: true,
      places: late.slice(0, MAX_TOLD).flatMap(({ thread, ticks }) => {
        const at = thread.fieldAddress('WaitTime');
        return at === null
          ? []
          : [
              {
                claim: `WaitTime ${count(thread.waitTime ?? 0)} of thread ${thread.address.toString(16)} lies ${count(ticks)} ticks after the tick count ${count(now)}`,
                address: at,
                length: 4,
                command: `!thread ${argument(target, thread.address)}`,
              },
            ];
      }),
      about: { threads: late.map(({ thread }) => thread.address) },
    },
  ];
}
