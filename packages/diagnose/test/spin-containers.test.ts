/** The same spin in other containers: a whole dump says the same, a triage dump the same or less, never something else. */
import { describe, expect, it } from 'vitest';
import { diagnose, type Finding, type Report } from '../src/index.ts';
import { forgedTarget, scenarioNamed, scenarios } from './forged.ts';

const strength = ['possible', 'likely', 'strong', 'proven'];

function spins(report: Report): readonly Finding[] {
  return report.findings.filter((finding) => finding.pattern === 'dispatch-level-spin');
}

const told = (finding: Finding): string => `${finding.processor} ${finding.verdict} ${finding.confidence}`;

describe.each([...scenarios.names()].sort().filter((name) => name.startsWith('K-')))('%s', (name) => {
  const scenario = scenarioNamed(name);
  const own = spins(diagnose(forgedTarget(scenario, { symbols: false }), 'test'));

  it('as a full dump it is the same', () => {
    const full = spins(diagnose(forgedTarget({ ...scenario, dump: 'full' }, { symbols: false }), 'test'));
    expect(full.map(told)).toEqual(own.map(told));
  });

  it.each([true, false])('as a triage dump, symbols %s, it is the same or less', (symbols) => {
    for (const finding of spins(diagnose(forgedTarget({ ...scenario, dump: 'triage' }, { symbols }), 'test'))) {
      if (finding.verdict === 'undetermined') continue;
      const before = own.find((candidate) => candidate.processor === finding.processor);
      expect(`${finding.processor} ${finding.verdict}`).toBe(`${before?.processor} ${before?.verdict}`);
      expect(strength.indexOf(finding.confidence)).toBeLessThanOrEqual(strength.indexOf(before?.confidence ?? ''));
    }
  });
});
