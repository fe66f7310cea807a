import type { EvidenceItem, Finding, Report } from './report.ts';

/**
 * How a finding was derived, fact by fact, or one of its evidence items. `id` is that of an item (`spin1.3`), the part
 * before the dot for the whole finding, or a pattern id. Null where the report has none of them.
 */
export function explain(report: Report, id: string): string | null {
  for (const finding of report.findings) {
    const item = finding.evidence.find((candidate) => candidate.id === id);
    if (item !== undefined) return `${itemLines(item).join('\n')}\n`;
  }
  const finding =
    report.findings.find((candidate) => candidate.evidence.some((item) => item.id.split('.')[0] === id)) ??
    report.findings.find((candidate) => candidate.pattern === id);
  return finding === undefined ? null : `${findingLines(finding).join('\n')}\n`;
}

function findingLines(finding: Finding): string[] {
  const lines = [
    `${finding.title} [${finding.pattern}${finding.verdict === null ? '' : `: ${finding.verdict}`}, ${finding.confidence}]`,
    '',
    'Facts, in the order in which they were used:',
  ];
  for (const item of finding.evidence) lines.push('', ...itemLines(item));
  lines.push('', `Conclusion: ${finding.summary}`);
  for (const assumption of finding.assumptions) lines.push(`Assumed: ${assumption}`);
  for (const change of finding.wouldChange) lines.push(`Would change it: ${change}`);
  return lines;
}

function itemLines(item: EvidenceItem): string[] {
  const lines = [`${item.id}  ${item.claim}`, `    outcome: ${item.outcome}; from: ${item.source}`];
  if (item.address !== null)
    lines.push(`    at ${item.address}, ${item.length} bytes: ${item.bytes ?? 'not readable'}`);
  if (item.command !== null) lines.push(`    shown by: ${item.command}`);
  return lines;
}
