/** Rules about findings: what their stacks lack, and from where on they cannot be believed. */
import { expect, it } from 'vitest';
import { diagnose, type Finding, type Report } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

function report(name: string, symbols: boolean): Report {
  return diagnose(forgedTarget(scenarioNamed(name), { symbols }), 'test');
}

function found(of: Report, pattern: string): Finding | undefined {
  return of.findings.find((finding) => finding.pattern === pattern);
}

it('no-component-symbols: the driver that is blamed comes first, with the PDB that would name it', () => {
  const finding = found(report('S03', false), 'no-component-symbols');
  expect(finding?.evidence[0]?.claim).toMatch(
    /^ebpfcore: no names \(.*\); wanted: ebpfcore\.pdb [0-9A-F-]{36} age \d+$/i,
  );
  expect(finding?.summary).toContain('functions in blame');
});

it('no-component-symbols: nothing to say with symbols, or without a finding that would gain', () => {
  expect(found(report('S03', true), 'no-component-symbols')).toBeUndefined();
  expect(found(report('x64-idle', false), 'no-component-symbols')).toBeUndefined();
});

it('no-component-symbols: without an RSDS record the image is wanted, whose debug directory names the PDB', () => {
  const finding = found(report('S03-no-symbols', true), 'no-component-symbols');
  expect(finding?.evidence.map(({ claim }) => claim).join('\n')).toMatch(
    /wanted: ebpfcore\.sys [0-9a-f]+ size [0-9a-f]+/,
  );
});

it('no-component-symbols and incorrect-stack-trace describe: they come after what explains', () => {
  const { findings } = report('I-stack-return', false);
  const patterns = findings.map(({ pattern }) => pattern);
  expect(patterns[0]).toBe('dispatch-level-spin');
  expect(patterns.slice(-3)).toEqual(expect.arrayContaining(['incorrect-stack-trace', 'no-component-symbols']));
});

for (const name of ['S01a', 'S01-7601', 'S03', 'S04', 'S08', 'S133-varying', 'X-queued-self'])
  it(`incorrect-stack-trace: ${name}, whose stacks are whole, has none that the bytes deny`, () => {
    const finding = found(report(name, false), 'incorrect-stack-trace');
    expect(finding?.verdict ?? 'none').toMatch(name === 'S133-varying' ? /^scanned$/ : /^none$/);
  });
