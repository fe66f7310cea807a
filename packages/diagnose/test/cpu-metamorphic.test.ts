/**
 * CPU patterns under changes that must not matter (order of processors, load addresses, containers), and with each page
 * that their evidence cites left out of the dump: a finding may weaken or go, never flip.
 */

import type { DumpKind } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import type { Scenario } from '../../forge/src/scenario/scenario.ts';
import { diagnose, type Finding } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

const strength = ['possible', 'likely', 'strong', 'proven'];

interface Case {
  readonly scenario: string;
  readonly pattern: string;
  /** Modules that may lie elsewhere. */
  readonly relocate?: Readonly<Record<string, string>>;
  readonly kinds?: readonly DumpKind[];
  /** False where an affinity mask names processors by number. */
  readonly order?: boolean;
  /** Verdicts that less memory may give instead. */
  readonly weaker?: readonly string[];
}

const cases: readonly Case[] = [
  { scenario: 'P-dpc-long', pattern: 'dpc-blockage', relocate: { dpcdrv: '40000' }, kinds: ['full', 'automatic'] },
  {
    scenario: 'P-dpc-spin',
    pattern: 'dpc-blockage',
    relocate: { ebpfcore: '100000' },
    kinds: ['full', 'range-kernel'],
  },
  { scenario: 'P-dpc-xp', pattern: 'dpc-blockage', relocate: { hal: '10000' }, kinds: ['bitmap-kernel'] },
  {
    scenario: 'P-affine-68',
    pattern: 'affine-thread',
    order: false,
    relocate: { hal: '10000' },
    kinds: ['kernel-summary'],
  },
  { scenario: 'P-starvation-63', pattern: 'thread-starvation', relocate: { hal: '10000' }, kinds: ['kernel-summary'] },
  { scenario: 'P-contention-29-waiters', pattern: 'high-contention', kinds: ['kernel-summary', 'bitmap-kernel'] },
  { scenario: 'P-contention-102', pattern: 'high-contention', kinds: ['kernel-summary', 'bitmap-kernel'] },
  { scenario: 'P-spike-106', pattern: 'distributed-spike', kinds: ['kernel-summary', 'bitmap-kernel'] },
];

function found(scenario: Scenario, pattern: string): Finding[] {
  return diagnose(forgedTarget(scenario, { symbols: false }), 'test').findings.filter(
    (finding) => finding.pattern === pattern,
  );
}

function short(findings: readonly Finding[]): string[] {
  return findings.map(({ verdict, confidence }) => `${verdict} ${confidence}`).sort();
}

for (const { scenario: name, pattern, relocate, kinds, order: ordered, weaker } of cases) {
  describe(name, () => {
    const scenario = scenarioNamed(name);
    const base = found(scenario, pattern);

    it('does not depend on order, addresses or container', () => {
      expect(base.length).toBeGreaterThan(0);
      const order = scenario.processors.map((_, i) => scenario.processors.length - 1 - i);
      if (ordered !== false) expect(short(found({ ...scenario, processorOrder: order }, pattern))).toEqual(short(base));
      if (relocate !== undefined) expect(short(found({ ...scenario, relocate }, pattern))).toEqual(short(base));
      for (const dump of kinds ?? []) expect(short(found({ ...scenario, dump }, pattern))).toEqual(short(base));
    });

    const pages = new Set(
      base.flatMap(({ evidence }) =>
        evidence.flatMap(({ address }) => (address === null ? [] : [BigInt(address) & ~0xfffn])),
      ),
    );
    it(`weakens or goes without one of ${pages.size} pages, never flips`, () => {
      const verdicts = new Set([...base.map(({ verdict }) => verdict), ...(weaker ?? []), 'undetermined']);
      const best = Math.max(...base.map(({ confidence }) => strength.indexOf(confidence)));
      for (const page of pages) {
        let less: Finding[];
        try {
          less = found({ ...scenario, drop: [{ at: page.toString(16), length: '1000' }] }, pattern);
        } catch (error) {
          expect(String(error), page.toString(16)).toContain('drop');
          continue;
        }
        for (const finding of less) {
          expect([...verdicts], page.toString(16)).toContain(finding.verdict);
          expect(strength.indexOf(finding.confidence), page.toString(16)).toBeLessThanOrEqual(best);
        }
      }
    });
  });
}
