/**
 * The same state as full, bitmap and triage dump: a full dump says what a bitmap says, a triage dump says the same or
 * less. Spins (S, X, K) and crashes (C) have tables of their own in containers, spin-containers and crashes.
 */
import { describe, expect, it } from 'vitest';
import { diagnose, type Report } from '../src/index.ts';
import { flips } from './dropped-pages.ts';
import { forgedTarget, scenarioNamed, scenarios } from './forged.ts';

/** A triage dump of these lacks the bytes that contradict: the finding that they weaken is as sure there as without them. */
const contradictedElsewhere: Readonly<Record<string, string>> = {
  'I-list-back': 'spiking-thread',
  'I-list-circle': 'spiking-thread',
  'I-stranger': 'spiking-thread',
  'P-dpc-spin-depth': 'dpc-blockage',
};

describe('every container', () => {
  for (const name of [...scenarios.names()].filter((one) => /^[INPW]-/.test(one)).sort()) {
    const scenario = scenarioNamed(name);
    it(name, { timeout: 300_000 }, () => {
      const of = (dump: typeof scenario.dump, symbols: boolean): Report =>
        diagnose(forgedTarget({ ...scenario, dump }, { symbols }), 'test');
      const told = (report: Report): string[] =>
        report.findings.map(({ pattern, verdict, confidence }) => `${pattern}: ${verdict}, ${confidence}`);
      const bitmap = of('bitmap-full', true);
      // What a bitmap leaves out ends a full dump early.
      if ((scenario.drop ?? []).length === 0) expect(told(of('full', true))).toEqual(told(bitmap));
      for (const symbols of [true, false]) {
        const found = flips(bitmap, of('triage', symbols));
        const rose = found.filter((flip) => flip.endsWith(' rose from likely to strong'));
        expect(found.filter((flip) => !rose.includes(flip))).toEqual([]);
        expect(rose.map((flip) => flip.split(/[: ]/)[0])).toEqual(
          rose.length > 0 && contradictedElsewhere[name] !== undefined ? [contradictedElsewhere[name]] : [],
        );
      }
    });
  }
});
