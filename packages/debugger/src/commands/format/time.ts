const TICKS_PER_MS = 10_000n;
const MS_PER_DAY = 86_400_000n;
/** 1601-01-01 to 1970-01-01 in 100 ns. */
const UNIX_EPOCH = 116_444_736_000_000_000n;

const two = (n: bigint | number): string => String(n).padStart(2, '0');
const three = (n: bigint | number): string => String(n).padStart(3, '0');

/** `00:10:37.406` out of ticks: truncated to milliseconds, no days. */
export function tickTime(ticks: number | bigint, increment: number): string {
  return clock((BigInt(ticks) * BigInt(increment)) / TICKS_PER_MS);
}

function clock(ms: bigint): string {
  return `${two(ms / 3_600_000n)}:${two((ms / 60_000n) % 60n)}:${two((ms / 1000n) % 60n)}.${three(ms % 1000n)}`;
}

/** `0:00:10:37.437`: days unpadded, then the clock. */
export function elapsedTicks(ticks: number | bigint, increment: number): string {
  const ms = (BigInt(ticks) * BigInt(increment)) / TICKS_PER_MS;
  return `${ms / MS_PER_DAY}:${clock(ms % MS_PER_DAY)}`;
}

/** `00:00:00.048` of a 100-ns duration, days in front when there are any. */
export function durationText(duration: bigint): string {
  const ms = duration / TICKS_PER_MS;
  const days = ms / MS_PER_DAY;
  return `${days > 0n ? `${days} Day${days === 1n ? '' : 's'} ` : ''}${clock(ms % MS_PER_DAY)}`;
}

/** `0 days 3:17:48.015`. */
export function uptimeText(uptime: bigint): string {
  const ms = uptime / TICKS_PER_MS;
  const rest = ms % MS_PER_DAY;
  return `${ms / MS_PER_DAY} days ${rest / 3_600_000n}:${clock(rest % 3_600_000n).slice(3)}`;
}

const DAYS = ['Thu', 'Fri', 'Sat', 'Sun', 'Mon', 'Tue', 'Wed'] as const;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

export interface Calendar {
  readonly year: bigint;
  readonly month: number; // 0..11
  readonly day: number;
  readonly weekday: string;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly ms: number;
}

/** Proleptic Gregorian date of milliseconds since 1970 UTC; no host time zone is involved. */
export function calendar(unixMs: bigint): Calendar {
  let days = unixMs / MS_PER_DAY;
  let rest = unixMs % MS_PER_DAY;
  if (rest < 0n) {
    rest += MS_PER_DAY;
    days -= 1n;
  }
  const weekday = DAYS[Number(((days % 7n) + 7n) % 7n)] as string;
  // Days since 0000-03-01, in 400-year eras.
  const z = days + 719_468n;
  const era = (z >= 0n ? z : z - 146_096n) / 146_097n;
  const dayOfEra = z - era * 146_097n;
  const yearOfEra = (dayOfEra - dayOfEra / 1460n + dayOfEra / 36_524n - dayOfEra / 146_096n) / 365n;
  const dayOfYear = dayOfEra - (365n * yearOfEra + yearOfEra / 4n - yearOfEra / 100n);
  const shifted = (5n * dayOfYear + 2n) / 153n;
  const month = Number(shifted < 10n ? shifted + 2n : shifted - 10n);
  return {
    year: yearOfEra + era * 400n + (month < 2 ? 1n : 0n),
    month,
    day: Number(dayOfYear - (153n * shifted + 2n) / 5n + 1n),
    weekday,
    hour: Number(rest / 3_600_000n),
    minute: Number((rest / 60_000n) % 60n),
    second: Number((rest / 1000n) % 60n),
    ms: Number(rest % 1000n),
  };
}

function monthName(c: Calendar): string {
  return MONTHS[c.month] as string;
}

/** `Thu Nov 24 01:43:05.332 2022 (UTC + 1:00)` of a FILETIME; `biasMinutes` is UTC minus local time. */
export function sessionTime(filetime: bigint, biasMinutes: number): string {
  const c = calendar((filetime - UNIX_EPOCH) / TICKS_PER_MS - BigInt(biasMinutes) * 60_000n);
  const offset = -biasMinutes;
  const zone = `(UTC ${offset < 0 ? '-' : '+'} ${Math.floor(Math.abs(offset) / 60)}:${two(Math.abs(offset) % 60)})`;
  return `${c.weekday} ${monthName(c)} ${String(c.day).padStart(2)} ${two(c.hour)}:${two(c.minute)}:${two(c.second)}.${three(c.ms)} ${c.year} ${zone}`;
}

/** `Mon Jan 07 23:31:46 1985` of seconds since 1970, in UTC: the result must not depend on the host's zone. */
export function stampTime(seconds: number | bigint): string {
  const c = calendar(BigInt(seconds) * 1000n);
  return `${c.weekday} ${monthName(c)} ${two(c.day)} ${two(c.hour)}:${two(c.minute)}:${two(c.second)} ${c.year}`;
}

/** The same with milliseconds, of a FILETIME. */
export function fileTime(filetime: bigint): string {
  const c = calendar((filetime - UNIX_EPOCH) / TICKS_PER_MS);
  return `${c.weekday} ${monthName(c)} ${two(c.day)} ${two(c.hour)}:${two(c.minute)}:${two(c.second)}.${three(c.ms)} ${c.year}`;
}
