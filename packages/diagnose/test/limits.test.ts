/** A value of the report that was not read is null, and `limits` names its JSON path. */
import { describe, expect, it } from 'vitest';
import type { Target } from '../../debugger/src/target/model.ts';
import { diagnose, type Report } from '../src/index.ts';
import { buildReport } from '../src/report/build.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

/** Paths of the nulls in `dump` and `processors`; inside stacks a null frame address says that there is none. */
function nulls(report: Report): string[] {
  const found = Object.entries(report.dump).flatMap(([key, value]) => (value === null ? [`dump.${key}`] : []));
  for (const [index, processor] of report.processors.entries())
    for (const [key, value] of Object.entries(processor)) if (value === null) found.push(`processors[${index}].${key}`);
  return found;
}

function explained(report: Report): void {
  const named = new Set(report.limits.map(({ what }) => what));
  expect(nulls(report).filter((path) => !named.has(path))).toEqual([]);
}

/** The target with other values for some of its properties. */
function changed(target: Target, values: Readonly<Record<string, unknown>>): Target {
  return new Proxy(target, {
    get(of, key) {
      if (typeof key === 'string' && key in values) return values[key];
      const value: unknown = Reflect.get(of, key, of);
      return typeof value === 'function' ? value.bind(of) : value;
    },
  });
}

describe.each(['N-free-7601', 'S08', 'x64-idle', 'S01a', 'X-arm64-idle'])('%s', (name) => {
  const scenario = scenarioNamed(name);

  it.each(['bitmap-kernel', 'triage'] as const)('as %s every null has its reason', (dump) => {
    explained(diagnose(forgedTarget({ ...scenario, dump }, { symbols: false }), 'test'));
  });

  it('also without a build, and where no process can be told', () => {
    const target = forgedTarget(scenario, { symbols: false });
    const report = buildReport(changed(target, { build: null, thread: () => null, process: () => null }), [], 'test');
    explained(report);
    const paths = nulls(report);
    expect(paths).toContain('dump.build');
    expect(paths).toContain('processors[0].image');
    expect(paths).toContain('processors[0].process');
  });
});

it('names processors by their place in the array', () => {
  const target = forgedTarget(scenarioNamed('S08'), { symbols: false });
  const report = buildReport(changed(target, { processors: target.processors.slice(2) }), [], 'test');
  expect(report.processors[0]?.number).toBe(2);
  expect(nulls(report)).toContain('processors[0].irqlSource');
  explained(report);
});
