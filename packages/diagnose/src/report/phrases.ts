/** Phrases that the text and the HTML report share. */
import type { Finding, Report } from './report.ts';

/** Cleared parties with the same reason together. */
export function clearedTogether(
  cleared: Finding['cleared'],
): readonly { readonly what: string; readonly reason: string }[] {
  const groups = new Map<string, string[]>();
  for (const { what, reason } of cleared) groups.set(reason, [...(groups.get(reason) ?? []), what]);
  return [...groups].map(([reason, whats]) => ({
    what: whats.join(', ').replace(/, processor (?=\d)/g, ', '),
    reason,
  }));
}

/** Limits with the same reason together: twenty-four processors without an image say it once. */
export function limitsTogether(limits: Report['limits']): readonly { readonly what: string; readonly why: string }[] {
  const groups = new Map<string, string[]>();
  for (const limit of limits) {
    const key = `${limit.why}${limit.wouldNeed === null ? '' : `; would need ${limit.wouldNeed}`}`;
    groups.set(key, [...(groups.get(key) ?? []), limit.what]);
  }
  return [...groups].map(([why, whats]) => ({
    what: whats.length > 4 ? `${whats.slice(0, 3).join(', ')} and ${whats.length - 3} more` : whats.join(', '),
    why,
  }));
}

/** `at most 00:10:37.421, at least 10.000 s`, either bound alone, or `unknown`. */
export function sinceText(since: NonNullable<Finding['since']>): string {
  const { minSeconds, maxSeconds } = since;
  const parts = [
    ...(maxSeconds === null ? [] : [`at most ${seconds(maxSeconds)}`]),
    ...(minSeconds === null || minSeconds <= 0 ? [] : [`at least ${seconds(minSeconds)}`]),
  ];
  return parts.length === 0 ? 'unknown' : parts.join(', ');
}

/** `netkvm.sys 62.76.104.16500, timestamp 5a1f0c22, +8443`: which binary, and where in it; null where nothing is known. */
export function moduleText(blame: Finding['blame'][number]): string | null {
  if (blame.image == null) return null;
  return [
    `${blame.image}${blame.version == null ? '' : ` ${blame.version}`}`,
    ...(blame.timeDateStamp == null ? [] : [`timestamp ${(blame.timeDateStamp >>> 0).toString(16).padStart(8, '0')}`]),
    ...(blame.rva == null ? [] : [`+${blame.rva.slice(2)}`]),
  ].join(', ');
}

function seconds(value: number): string {
  return value >= 60 ? uptime(value) : `${value.toFixed(3)} s`;
}

/** `2 days 03:04:05.006`. */
export function uptime(value: number): string {
  const ms = Math.floor(value * 1000 + 1e-6);
  const pad = (n: number, width = 2): string => String(n).padStart(width, '0');
  const days = Math.floor(ms / 86_400_000);
  const clock = `${pad(Math.floor(ms / 3_600_000) % 24)}:${pad(Math.floor(ms / 60_000) % 60)}:${pad(Math.floor(ms / 1000) % 60)}.${pad(ms % 1000, 3)}`;
  return days > 0 ? `${days} days ${clock}` : clock;
}
