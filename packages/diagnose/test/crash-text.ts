/** Crash findings as text for goldens: what a reader sees, without memory bytes and without names of processes. */
import type { Report } from '../src/index.ts';

export const crashPatterns: ReadonlySet<string> = new Set([
  'stack-overflow',
  'null-pointer',
  'unloaded-module',
  'wild-code',
  'invalid-pointer',
  'self-diagnosis',
  'coincidental-symbolic-information',
]);

export function crashText(report: Report): string {
  const out: string[] = [];
  for (const finding of report.findings) {
    if (!crashPatterns.has(finding.pattern)) continue;
    out.push(`${finding.pattern}: ${finding.verdict}, ${finding.confidence}`);
    out.push(`  title: ${finding.title}`);
    out.push(`  summary: ${finding.summary}`);
    out.push(`  processor ${finding.processor}, thread ${finding.thread}`);
    for (const { module, function: name, role, reason } of finding.blame)
      out.push(`  blame: ${name ?? module} [${role}] ${reason}`);
    for (const item of finding.assumptions) out.push(`  assumed: ${item}`);
    for (const item of finding.wouldChange) out.push(`  would change: ${item}`);
    for (const item of finding.evidence) {
      const where = item.address === null ? '' : ` @ ${item.address} +${item.length}`;
      out.push(`  ${item.outcome}: ${item.claim}${where}${item.command === null ? '' : ` \`${item.command}\``}`);
    }
  }
  return `${out.join('\n')}\n`;
}
