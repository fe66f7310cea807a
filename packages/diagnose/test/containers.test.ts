/**
 * The same machine in each container, with and without symbols: what each may say of the spin. Whole memory says the same in
 * every container; a triage dump, which keeps a few pages, says the same or that it cannot tell, never something else.
 *
 * The table is a golden (containers.txt): what a line may be follows from what the container holds. Where a rule changes what
 * it says of whole memory, scenarios.test.ts tells; here only the relation of the columns counts.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diagnose, type Report } from '../src/index.ts';
import { forgedTarget, scenarioNamed, scenarios } from './forged.ts';

const strength = ['possible', 'likely', 'strong', 'proven'];

interface Said {
  readonly processor: number | null;
  readonly verdict: string | null;
  readonly confidence: string;
  /** The finding names corrupt-lock as what it would be with another lock word, which is missing. */
  readonly elseCorrupt: boolean;
}

function spins(report: Report): Said[] {
  return report.findings
    .filter(({ pattern }) => pattern === 'dispatch-level-spin')
    .map(({ processor, verdict, confidence, lock, summary }) => ({
      processor,
      verdict,
      confidence,
      elseCorrupt: lock?.word === null && summary.includes('(corrupt-lock)'),
    }));
}

const cell = (said: readonly Said[]): string =>
  said.length === 0
    ? '-'
    : said.map(({ processor, verdict, confidence }) => `${verdict} ${confidence} @${processor ?? '?'}`).join(', ');

/** Nothing that the other column does not say, and nothing surer. */
function weakened(less: readonly Said[], more: readonly Said[]): string[] {
  return less
    .filter(({ verdict }) => verdict !== 'undetermined')
    .filter(
      (one) =>
        !more.some(
          (other) =>
            other.processor === one.processor &&
            // Without its word an overwritten lock looks whole; the finding then names corrupt-lock as the other reading.
            (other.verdict === one.verdict || (other.verdict === 'corrupt-lock' && one.elseCorrupt)) &&
            (one.elseCorrupt || strength.indexOf(other.confidence) >= strength.indexOf(one.confidence)),
        ),
    )
    .map((one) => cell([one]));
}

describe('containers', () => {
  const names = [...scenarios.names()].filter((name) => /^(S\d|X-)/.test(name)).sort();
  const table: string[] = [];
  for (const name of names) {
    const scenario = scenarioNamed(name);
    it(`${name}: each container says the same or less`, { timeout: 300_000 }, () => {
      const of = (dump: typeof scenario.dump, symbols: boolean): Said[] =>
        spins(diagnose(forgedTarget({ ...scenario, dump }, { symbols }), 'test'));
      const bitmap = of('bitmap-full', false);
      const triage = of('triage', false);
      const named = of('triage', true);
      // A full dump cannot leave a page out: it ends before it, as a truncated file.
      const cut = (scenario.drop ?? []).length > 0;
      const full = of('full', false);
      if (cut) expect(weakened(full, bitmap)).toEqual([]);
      else expect(full).toEqual(bitmap);
      // A watchdog's profile is in triage data that other containers of the forge do not carry.
      // What a full or bitmap dump of the scenario leaves out may be in a triage dump's blocks.
      if (scenario.dump !== 'triage' && !cut) {
        expect(weakened(triage, bitmap)).toEqual([]);
        if (named.some(({ verdict }) => verdict !== 'undetermined'))
          expect(weakened(named, of('bitmap-full', true))).toEqual([]);
      }
      table.push(
        `${name.padEnd(24)} full ${cell(full)} | bitmap ${cell(bitmap)} | triage ${cell(triage)} | triage, symbols ${cell(named)}`,
      );
    });
  }
  it('says what it said, column by column', async () => {
    await expect(`${table.sort().join('\n')}\n`).toMatchFileSnapshot(
      join(import.meta.dirname, 'goldens/containers.txt'),
    );
  });
});
