/** The comparison as text: verdict first, then processors, findings, threads. */
import { clock, count, plural } from '../engine/words.ts';
import { uptime } from '../report/phrases.ts';
import { wrap } from '../report/text.ts';
import type { DumpDiff, DumpSide, FindingDiff, Moved, ThreadDiff } from './diff.ts';

/** Threads listed one by one; the rest is counted. */
const MAX_THREADS = 16;

export function renderDiffText(diff: DumpDiff): string {
  const out: string[] = [
    ...wrap(`First:  ${sideText(diff.first)}`, '', '        '),
    ...wrap(`Second: ${sideText(diff.second)}`, '', '        '),
  ];
  if (diff.swapped) out.push('(given in the other order; the earlier one is compared with the later one)');
  out.push('', ...wrap(capital(diff.verdict.text), '', '    '), '');
  if (diff.boot.same === false) {
    out.push('Checks');
    for (const check of diff.boot.checks) {
      const values =
        check.first === check.second || check.what === 'modules' ? [check.first] : [check.first, check.second];
      const sign = check.agrees === null ? '?' : check.agrees ? '+' : '-';
      out.push(`  ${sign} ${check.what}: ${values.map((value) => value ?? 'not read').join(', ')}`);
    }
    return `${out.join('\n')}\n`;
  }
  out.push(...wrap(`One boot: ${diff.boot.same === null ? 'not sure; ' : ''}${diff.boot.why}`, '', '    '));
  out.push(
    diff.elapsed.seconds === null
      ? `Time between them: unknown (${diff.elapsed.source})`
      : `Time between them: ${clock(diff.elapsed.seconds)} (${diff.elapsed.source})`,
  );
  out.push(
    diff.bugcheck.same === true
      ? `Bugcheck: ${diff.bugcheck.first} in both`
      : `Bugcheck: ${diff.bugcheck.first ?? 'none'}, then ${diff.bugcheck.second ?? 'none'}`,
  );
  if (diff.findings.length > 0) out.push('', 'Findings', ...diff.findings.flatMap(findingLines));
  if (diff.processors.length > 0) out.push('', 'Processors', ...processorLines(diff));
  out.push('', ...threadLines(diff));
  const { loaded, unloaded } = diff.modules;
  if (loaded.length > 0) out.push(...wrap(`Modules loaded since: ${some(loaded)}`, '', '    '));
  if (unloaded.length > 0) out.push(...wrap(`Modules gone since: ${some(unloaded)}`, '', '    '));
  return `${out.join('\n')}\n`;
}

function sideText(side: DumpSide): string {
  const up = side.uptimeSeconds === null ? 'uptime unknown' : `up ${uptime(side.uptimeSeconds)}`;
  return `${side.path}, ${side.build ?? 'build unknown'}, ${up}${side.systemTime === null ? '' : `, at ${side.systemTime}`}`;
}

function findingLines(finding: FindingDiff): string[] {
  const words: Readonly<Record<FindingDiff['status'], string>> = {
    same: finding.moved === false ? 'did not move' : finding.moved === true ? 'in both, but moved on' : 'in both',
    changed: finding.moved === false ? 'changed, did not move' : 'changed',
    appeared: 'only in the second',
    gone: 'only in the first',
  };
  const lines = wrap(`${mark(finding.moved)} ${finding.title}: ${words[finding.status]}`, '  ', '      ');
  for (const item of finding.items)
    lines.push(
      ...wrap(
        item.same === true
          ? `same ${item.what}: ${item.second}`
          : `${item.what}: ${item.first ?? 'unknown'} -> ${item.second ?? 'unknown'}`,
        '      ',
        '        ',
      ),
    );
  if (
    finding.verdict.first !== finding.verdict.second &&
    finding.verdict.first !== null &&
    finding.verdict.second !== null
  )
    lines.push(`      verdict: ${finding.verdict.first} -> ${finding.verdict.second}`);
  if (finding.lasts !== null)
    lines.push(
      ...wrap(`lasts at least ${clock(finding.lasts.minSeconds)}: ${finding.lasts.reason}`, '      ', '        '),
    );
  return lines;
}

function processorLines(diff: DumpDiff): string[] {
  const groups = new Map<string, number[]>();
  for (const processor of diff.processors) {
    const place = processor.symbol.second ?? '?';
    const line = `${mark(processor.moved)} ${processor.why}${processor.moved === null && processor.idle.second === true ? '' : `; now at ${place}`}`;
    groups.set(line, [...(groups.get(line) ?? []), processor.number]);
  }
  return [...groups].flatMap(([line, numbers]) =>
    wrap(`${line.slice(0, 2)}${numbers.join(', ')}: ${line.slice(2)}`, '  ', '      '),
  );
}

function threadLines(diff: DumpDiff): string[] {
  const { threads } = diff;
  const number = (change: ThreadDiff['change']): number => threads.filter((thread) => thread.change === change).length;
  const parts = [
    [number('switched'), 'switched'],
    [number('ran'), 'ran without a switch'],
    [number('still'), 'neither ran nor were switched'],
    [number('new'), 'new'],
    [number('gone'), 'gone'],
    [number('unknown'), 'cannot be told'],
  ] as const;
  const told = parts.filter(([n]) => n > 0).map(([n, text]) => `${count(n)} ${text}`);
  const lines = wrap(
    `Threads: ${plural(threads.length, 'thread')}${told.length === 0 ? '' : `; ${told.join(', ')}`}`,
    '',
    '    ',
  );
  const used = (thread: ThreadDiff): number => (thread.kernelSeconds ?? 0) + (thread.userSeconds ?? 0);
  const busy = threads.filter((thread) => used(thread) > 0).sort((a, b) => used(b) - used(a));
  for (const thread of busy.slice(0, MAX_THREADS)) {
    const share = thread.share === null ? '' : ` = ${(thread.share * 100).toFixed(1)} % of the time between`;
    const switches =
      thread.contextSwitches === null
        ? ''
        : `, ${plural(thread.contextSwitches, 'context switch', 'context switches')}`;
    lines.push(
      ...wrap(
        `${thread.thread} ${thread.image ?? '?'} ${thread.cid ?? ''}: ${clock(thread.kernelSeconds ?? 0)} kernel, ${clock(thread.userSeconds ?? 0)} user${share}${switches}`,
        '  ',
        '      ',
      ),
    );
  }
  if (busy.length > MAX_THREADS) lines.push(`  and ${plural(busy.length - MAX_THREADS, 'thread')} with less CPU time`);
  const waits = threads.filter(
    (thread) =>
      thread.state.first !== thread.state.second && thread.state.first !== null && thread.state.second !== null,
  );
  for (const thread of waits.slice(0, MAX_THREADS))
    lines.push(
      `  ${thread.thread} ${thread.image ?? '?'} ${thread.cid ?? ''}: ${thread.state.first} -> ${thread.state.second}`,
    );
  if (waits.length > MAX_THREADS) lines.push(`  and ${plural(waits.length - MAX_THREADS, 'thread')} in another state`);
  return lines;
}

/** `=` did not move, `>` moved, `?` cannot be told. */
function mark(moved: Moved): string {
  return moved === null ? '?' : moved ? '>' : '=';
}

function some(names: readonly string[]): string {
  return names.length <= 12 ? names.join(', ') : `${names.slice(0, 12).join(', ')} and ${names.length - 12} more`;
}

function capital(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}
