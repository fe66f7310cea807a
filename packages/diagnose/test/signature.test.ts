/** The key of a defect: the same wherever, whenever and with whatever symbols it is seen; another defect has another. */
import { describe, expect, it } from 'vitest';
import { diagnose, redact, renderText } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

type Scenario = ReturnType<typeof scenarioNamed>;

function keyOf(scenario: Scenario, symbols = true, pattern = 'dispatch-level-spin'): string | undefined {
  const report = diagnose(forgedTarget(scenario, { symbols }), 'test');
  return report.findings.find((finding) => finding.pattern === pattern)?.signature?.key;
}

const seed = 'dispatch-level-spin|mydriver.sys-878b4f93-5000|2755/247f/2251/205d';

describe('one defect', () => {
  for (const [name, key] of [
    ['S01a', seed],
    ['S03', 'dispatch-level-spin|ebpfcore.sys-f0a7604f-30000|a664/8bc5/202d/80d0'],
    ['X-queued-self', 'dispatch-level-spin|qdrv.sys-46a23562-5000|101f/108c/112b'],
  ] as const) {
    it(`${name}: with symbols, without, as a triage dump`, () => {
      const scenario = scenarioNamed(name);
      expect([keyOf(scenario), keyOf(scenario, false)]).toEqual([key, key]);
      // A triage dump lacks the loop's code, which the image gives.
      expect(keyOf({ ...scenario, dump: 'triage' })).toBe(key);
    });
  }

  it.each([
    'S01-moved', 'S01-swapped', 'S01-no-symbols', 'S01-7601', 'S01-other-registers', 'S01-bit-test', 'S01-dpc-stack',
  ])('%s is S01a elsewhere', (name) => expect(keyOf(scenarioNamed(name), false)).toBe(seed)); // biome-ignore format: a table

  it('another thread object, time and processor count', () => {
    const scenario = scenarioNamed('X-queued-self');
    const before = keyOf(scenario, false);
    const text = JSON.stringify(scenario)
      .replaceAll('ffffa9851d6fa080', 'ffffa9851d7fc0c0')
      .replace('"tickCount":', '"biasMinutes":60,"tickCount":');
    expect(text).not.toBe(JSON.stringify(scenario));
    expect(keyOf(JSON.parse(text) as Scenario, false)).toBe(before);
  });

  it('whichever processor of a cycle tells of it', () => {
    const report = diagnose(forgedTarget(scenarioNamed('S04'), { symbols: false }), 'test');
    const keys = report.findings
      .filter((finding) => finding.verdict === 'lock-order-deadlock')
      .map((finding) => finding.signature?.key);
    expect(keys.length).toBe(2);
    expect(new Set(keys).size).toBe(1);
  });

  it('whoever runs into a lock that is held elsewhere: the key is the holder’s', () => {
    const report = diagnose(forgedTarget(scenarioNamed('S07'), { symbols: false }), 'test');
    const spins = report.findings.filter((finding) => finding.verdict === 'held-elsewhere');
    expect(spins.length).toBeGreaterThan(1);
    expect(new Set(spins.map((finding) => finding.signature?.key)).size).toBe(1);
    expect(spins[0]?.blame[0]?.role).toBe('holder');
  });
});

describe('other defects', () => {
  it.each(['S02a', 'S01-dpc-over-idle', 'S01-isr', 'S01-dpc-levels', 'S01-released'])('%s is not S01a', (name) => {
    const key = keyOf(scenarioNamed(name), false);
    expect(key).toMatch(/^dispatch-level-spin\|mydriver\.sys-/);
    expect(key).not.toBe(seed);
  });

  it('the same place in another version of the driver', () => {
    const text = JSON.stringify(scenarioNamed('C-d1-unmapped'));
    const one = keyOf(JSON.parse(text) as Scenario, false, 'invalid-pointer');
    const other = keyOf(
      JSON.parse(text.replace('"crashdrv":{', '"crashdrv":{"timeDateStamp":"5a1f0c22",')) as Scenario,
      false,
      'invalid-pointer',
    );
    expect(one).toMatch(/^invalid-pointer\|crashdrv\.sys-[0-9a-f]{8}-4000\|1010$/);
    expect(other).toBe('invalid-pointer|crashdrv.sys-5a1f0c22-4000|1010');
  });
});

it('is told in text and keeps its RVAs when redacted', () => {
  const report = diagnose(forgedTarget(scenarioNamed('S01a'), { symbols: false }), 'test');
  expect(renderText(report).replace(/\s+/g, ' ')).toContain(`Key: ${seed}`);
  expect(redact(report).findings[0]?.signature?.key).toBe(seed);
  expect(report.findings[0]?.blame.find((blame) => blame.role === 'acquirer')).toMatchObject({
    image: 'MyDriver.sys',
    rva: '0x2755',
    timeDateStamp: 0x878b4f93,
  });
});
