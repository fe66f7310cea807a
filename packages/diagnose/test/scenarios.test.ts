/** Every scenario that says what a diagnosis must find, with and without symbols: `expect` in packages/forge/scenarios. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { diagnose, explain, type Report, renderText } from '../src/index.ts';
import { forgedTarget, scenarioNamed, scenarios } from './forged.ts';

interface Expectation {
  readonly pattern?: string;
  readonly verdict?: string | null;
  readonly confidence?: string;
  /** No finding of the pattern may be surer than this. */
  readonly confidenceAtMost?: string;
  /** Verdicts that must not be given. */
  readonly not?: readonly string[];
  /** The pattern must not be found at all. */
  readonly absent?: boolean;
  /** Text that the report must and must not hold, whatever its line breaks. */
  readonly says?: readonly string[];
  readonly saysNot?: readonly string[];
}

const strength = ['possible', 'likely', 'strong', 'proven'];

const schema = JSON.parse(readFileSync(join(import.meta.dirname, '../../../docs/report-schema.json'), 'utf8'));
const validate = new Ajv2020({ allErrors: true }).compile(schema);

function expectations(value: unknown): Expectation[] {
  return (Array.isArray(value) ? value : [value]).filter(
    (item): item is Expectation => typeof item === 'object' && item !== null,
  );
}

function check(report: Report, expected: Expectation): void {
  const pattern = expected.pattern ?? 'dispatch-level-spin';
  const found = report.findings.filter((finding) => finding.pattern === pattern);
  const told = found.map((finding) => `${finding.verdict ?? finding.pattern}, ${finding.confidence}`);
  if (expected.absent === true) expect(told).toEqual([]);
  for (const verdict of expected.not ?? []) expect(found.map((finding) => finding.verdict)).not.toContain(verdict);
  if (expected.confidenceAtMost !== undefined) {
    const most = strength.indexOf(expected.confidenceAtMost);
    expect(
      found.filter((finding) => strength.indexOf(finding.confidence) > most).map((finding) => finding.title),
    ).toEqual([]);
  }
  const text = renderText(report).replace(/\s+/g, ' ');
  for (const part of expected.says ?? []) expect(text).toContain(part);
  for (const part of expected.saysNot ?? []) expect(text).not.toContain(part);
  if (expected.verdict === undefined && expected.confidence === undefined) {
    if (expected.pattern !== undefined && expected.absent !== true) expect(told).not.toEqual([]);
    return;
  }
  const match = found.some(
    (finding) =>
      (expected.verdict === undefined || finding.verdict === expected.verdict) &&
      (expected.confidence === undefined || finding.confidence === expected.confidence),
  );
  expect(match ? 'as expected' : told).toBe('as expected');
}

/** Every finding rests on facts, and `--explain` derives it from them, by pattern and by the id of each. */
function explained(report: Report): void {
  for (const finding of report.findings) {
    expect(
      finding.evidence.map((item) => item.id),
      `${finding.pattern}: ${finding.title}`,
    ).not.toEqual([]);
    const [first] = finding.evidence;
    const text = explain(report, first?.id.split('.')[0] ?? '') ?? '';
    expect(text).toContain(finding.title);
    expect(text).toContain(`Conclusion: ${finding.summary}`);
    for (const item of finding.evidence) {
      expect(text).toContain(`${item.id}  ${item.claim}`);
      expect(explain(report, item.id)).toContain(item.claim);
    }
    expect(explain(report, finding.pattern)).not.toBeNull();
  }
}

describe('scenarios', () => {
  for (const name of [...scenarios.names()].sort()) {
    const scenario = scenarioNamed(name);
    const wanted = expectations(scenario.expect);
    if (wanted.length === 0) continue;
    for (const symbols of [true, false]) {
      it(`${name} ${symbols ? 'with' : 'without'} symbols`, () => {
        const report = diagnose(forgedTarget(scenario, { symbols }), 'test');
        for (const expected of wanted) check(report, expected);
        expect(validate(report) ? [] : validate.errors).toEqual([]);
        expect(renderText(report)).toContain(report.dump.path);
        explained(report);
      });
    }
  }
});

/** The verdict of the first spin finding, or null when there is none. */
function spinVerdict(report: Report): { verdict: string | null; confidence: string } | null {
  const finding = report.findings.find((candidate) => candidate.pattern === 'dispatch-level-spin');
  return finding === undefined ? null : { verdict: finding.verdict, confidence: finding.confidence };
}

describe('metamorphic', () => {
  const seed = scenarioNamed('S01a');

  for (const dump of ['kernel-summary', 'bitmap-kernel', 'automatic'] as const) {
    it(`the container does not change the verdict: ${dump}`, () => {
      const report = diagnose(forgedTarget({ ...seed, dump }, { symbols: false }), 'test');
      expect(spinVerdict(report)).toEqual({ verdict: 'self-deadlock', confidence: 'proven' });
    });
  }

  // One page at a time: stack, lock, code of hal and driver, thread, process, PRCBs, idle stack, nt's data, page directory.
  const pages = [
    'a07bb000', 'a07bc000', 'a07bd000', 'a07be000', '831da000', '806e4000', 'a1342000', '830c0000', '831ec000',
    'ffdff000', 'f7737000', 'f7739000', 'f794c000', '80545000', '80553000', '80554000', '8054a000', 'f7777000', 'c0600000',
  ]; // biome-ignore format: a table
  for (const page of pages) {
    it(`without page ${page} the verdict may weaken, never flip`, () => {
      let target: ReturnType<typeof forgedTarget>;
      try {
        target = forgedTarget({ ...seed, drop: [page] }, { symbols: false });
      } catch (error) {
        // Not every address of the list is mapped in every layout of the forge.
        expect(String(error)).toContain('drop');
        return;
      }
      const found = spinVerdict(diagnose(target, 'test'));
      if (found === null || found.verdict === 'undetermined') return;
      expect(found.verdict).toBe('self-deadlock');
      expect(strength).toContain(found.confidence);
    });
  }
});
