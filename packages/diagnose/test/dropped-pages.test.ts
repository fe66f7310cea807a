/**
 * Pages of forged machines go missing one at a time. What is drawn here is a seeded sample that takes seconds;
 * `node scripts/dropped-pages.mjs` drops every page that the diagnosis reads (DROPPED_PAGES=all).
 */
import { describe, expect, it } from 'vitest';
import { drawing, flips, machineOf } from './dropped-pages.ts';
import { scenarioNamed, scenarios } from './forged.ts';

const all = process.env['DROPPED_PAGES'] === 'all';
const only = new RegExp(process.env['DROPPED_SCENARIOS'] ?? '');
const SAMPLE = 6;

/** Families whose whole campaign is clean: CI holds them to it. The script tells of the others, too. */
const clean = /^(S|X-|I-|K-|N-|x64|x86|arm64)/;
/** Here a weaker pattern may take the place of what cannot be shown any more, at `possible` and no more: a chain where a cycle was. */
const mayGuess = /^(P-|W-)/;

describe('a page that is missing weakens a verdict and never turns it into another', () => {
  const names = [...scenarios.names()].sort().filter((name) => only.test(name));
  for (const [n, name] of names.entries()) {
    const scenario = scenarioNamed(name);
    // A full dump has no way to leave one page out; a bitmap does.
    const paged = scenario.dump === 'triage' ? 'triage' : 'bitmap-full';
    for (const dump of all && paged !== 'triage' ? ([paged, 'triage'] as const) : ([paged] as const)) {
      if (!all && (n % 3 !== 0 || !(clean.test(name) || mayGuess.test(name)))) continue;
      it(`${name} as ${dump}`, { timeout: 600_000 }, () => {
        const machine = machineOf({ ...scenario, dump }, all && n % 2 === 1);
        const draw = drawing(n + 1);
        const pages = all
          ? machine.touched
          : Array.from({ length: SAMPLE }, () => machine.touched[draw(machine.touched.length)] ?? 0);
        const found: string[] = [];
        for (const page of pages)
          for (const flip of flips(machine.whole, machine.without(new Set([page]))))
            if (!(mayGuess.test(name) && flip.endsWith('(possible) is new')))
              found.push(`${flip} without page ${page.toString(16)}`);
        expect(found).toEqual([]);
      });
    }
  }
});
