/** The report as a page of text: verdict, why, who, cleared, what would change it; then evidence. */
import { clearedTogether, limitsTogether, moduleText, sinceText, uptime } from './phrases.ts';
import type { Finding, Report } from './report.ts';

const WIDTH = 110;

export interface TextOptions {
  /** Bytes and commands of each evidence item. Default true. */
  readonly evidence?: boolean;
}

export function renderText(report: Report, options: TextOptions = {}): string {
  const out: string[] = [];
  const { dump } = report;
  out.push(
    `${dump.path}: ${dump.kind} dump, ${dump.arch}, ${dump.build ?? 'build unknown'}, ${dump.processors} processor${dump.processors === 1 ? '' : 's'}${dump.complete ? '' : ', incomplete'}`,
  );
  if (dump.bugcheck !== null) {
    out.push(
      `Bugcheck ${dump.bugcheck.code}${dump.bugcheck.name === null ? '' : ` ${dump.bugcheck.name}`} (${dump.bugcheck.parameters.join(', ')})`,
    );
    dump.bugcheck.meaning.forEach((meaning, i) => {
      if (meaning !== null) out.push(`    parameter ${i + 1}: ${dump.bugcheck?.parameters[i]} ${meaning}`);
    });
  } else out.push('No bugcheck happened or none is recorded');
  const times = [dump.uptimeSeconds === null ? null : `up ${uptime(dump.uptimeSeconds)}`, dump.systemTime].filter(
    (x) => x !== null,
  );
  if (times.length > 0) out.push(times.join(', at '));
  for (const problem of dump.problems) out.push(`Problem: ${problem.message}`);
  if (report.findings.length === 0) out.push('', 'No finding: nothing in this dump matches a rule.');
  report.findings.forEach((finding, index) => {
    out.push('', ...renderFinding(finding, index + 1, options.evidence ?? true));
  });
  if (report.processors.length > 0) out.push('', 'Processors', ...processorTable(report));
  if (report.limits.length > 0) {
    out.push('', 'What could not be read');
    for (const { what, why } of limitsTogether(report.limits)) out.push(...wrap(`${what}: ${why}`, '  ', '    '));
  }
  return `${out.join('\n')}\n`;
}

function renderFinding(finding: Finding, number: number, evidence: boolean): string[] {
  const out: string[] = [];
  const verdict = finding.verdict === null ? finding.pattern : `${finding.pattern}: ${finding.verdict}`;
  out.push(`${number}. ${finding.title}`, `   [${verdict}, ${finding.confidence}]`);
  out.push(...wrap(finding.summary, '   ', '   '));
  if (finding.since !== null) {
    out.push(...wrap(`Since: ${sinceText(finding.since)} (${finding.since.reason})`, '   ', '          '));
  }
  section(
    'Blame',
    finding.blame.map(
      (b) =>
        `${b.function === null ? b.module : b.function} [${b.role}]: ${b.reason}${moduleText(b) === null ? '' : ` (${moduleText(b)})`}`,
    ),
  );
  if (finding.signature != null) out.push(...wrap(`Key: ${finding.signature.key}`, '   ', '        '));
  section(
    'Cleared',
    clearedTogether(finding.cleared).map(({ what, reason }) => `${what}: ${reason}`),
  );
  section('Downstream', finding.downstream);
  section('Assumed', finding.assumptions);
  section('Would change this', finding.wouldChange);
  if (evidence && finding.evidence.length > 0) {
    out.push('   Evidence');
    for (const item of finding.evidence) {
      const mark = item.outcome === 'true' ? '+' : item.outcome === 'false' ? '-' : '?';
      out.push(...wrap(`${mark} ${item.claim}`, '     ', '       '));
      const bytes = item.bytes === null ? '' : `  ${short(item.bytes)}`;
      const where = item.address === null ? '' : `${item.address}${bytes}`;
      const detail = [
        where,
        item.command === null ? '' : `\`${item.command}\``,
        item.source === 'dump' ? '' : item.source,
      ].filter((x) => x !== '');
      if (detail.length > 0) out.push(`         ${detail.join('   ')}`);
    }
  }
  return out;

  function section(label: string, lines: readonly string[]): void {
    if (lines.length === 0) return;
    out.push(`   ${label}`);
    for (const line of lines) out.push(...wrap(`- ${line}`, '     ', '       '));
  }
}

function processorTable(report: Report): string[] {
  const rows = report.processors.map((p) => [
    String(p.number),
    p.thread ?? '?',
    p.image ?? '?',
    p.idle === true ? 'idle' : p.idle === false ? 'busy' : '?',
    p.irql === null ? '?' : `${p.irql}${p.irqlSource?.startsWith('at least') ? '+' : ''}`,
    p.contextTrust,
    p.symbol ?? p.pc ?? '?',
  ]);
  const header = ['#', 'thread', 'image', 'state', 'IRQL', 'context', 'executing'];
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  return [header, ...rows].map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd());
}

/** Words of `text` in lines of at most WIDTH characters; `rest` indents those after the first. */
export function wrap(text: string, first: string, rest: string): string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(/\s+/)) {
    if (!empty && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = rest;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  lines.push(line);
  return lines;
}

function short(bytes: string): string {
  return bytes.length > 48 ? `${bytes.slice(0, 48)}… (${bytes.length / 2} bytes)` : bytes;
}
