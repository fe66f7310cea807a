/** What does not matter must not change what is said of waiting threads; a missing page may weaken it and never flip it. */
import { describe, expect, it } from 'vitest';
import type { Scenario } from '../../forge/src/scenario/scenario.ts';
import { diagnose, type Finding } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

const PATTERNS = ['passive-thread', 'waiting-thread-time', 'suspended-thread', 'blocked-thread', 'missing-thread'];
const strength = ['possible', 'likely', 'strong', 'proven'];

const states = [
  'W-passive',
  'W-passive-x86',
  'W-cluster',
  'W-cluster-x86',
  'W-suspended-owner',
  'W-suspended-owner-x86',
  'W-blocked',
  'W-blocked-x86',
  'W-blocked-device',
  'W-blocked-device-x86',
  'W-missing-owner',
  'W-missing-owner-x86',
];

function findings(scenario: Scenario, symbols = false): readonly Finding[] {
  return diagnose(forgedTarget(scenario, { symbols }), 'test').findings.filter(({ pattern }) =>
    PATTERNS.includes(pattern),
  );
}

const told = (found: readonly Finding[]): string[] =>
  found.map(({ pattern, verdict, confidence, title }) => `${pattern} ${verdict} ${confidence} ${title}`);

describe('waiting threads, metamorphic', () => {
  for (const name of states) {
    const scenario = scenarioNamed(name);

    it(`${name}: containers, load addresses, order of processors and symbols change nothing`, () => {
      const expected = told(findings(scenario));
      expect(expected).not.toEqual([]);
      expect(told(findings(scenario, true))).toEqual(expected);
      const other = scenario.arch === 'x86' ? 'kernel-summary' : 'range-kernel';
      for (const dump of ['full', 'bitmap-kernel', other] as const)
        expect(told(findings({ ...scenario, dump }))).toEqual(expected);
      expect(told(findings({ ...scenario, relocate: { waitdrv: '20000' } }))).toEqual(expected);
      const order = scenario.processors.map((_, i) => scenario.processors.length - 1 - i);
      expect(told(findings({ ...scenario, processorOrder: order }))).toEqual(expected);
    });

    it(`${name}: without one page less may be said, nothing else`, () => {
      const target = forgedTarget(scenario, { symbols: false });
      const full = diagnose(target, 'test').findings.filter(({ pattern }) => PATTERNS.includes(pattern));
      const known = new Map<string, number>();
      for (const { pattern, verdict, confidence } of full) {
        const key = `${pattern} ${verdict}`;
        known.set(key, Math.max(known.get(key) ?? 0, strength.indexOf(confidence)));
      }
      const pages = new Set<bigint>();
      const add = (address: bigint | null): void => {
        if (address !== null) pages.add(address & ~0xfffn);
      };
      for (const thread of target.threads()) {
        add(thread.address);
        add(thread.kernelStack);
        add(thread.owningProcess);
        for (const path of ['WaitBlockList', 'ThreadListEntry']) add(thread.field(path));
        const block = thread.field('WaitBlockList');
        if (block !== null && block !== 0n)
          add(target.memory.pointer(block + (target.pointerSize === 8 ? 0x20n : 12n)) ?? null);
      }
      for (const { prcb } of target.processors) add(prcb);
      add(target.arch === 'x86' ? 0xffdf0000n : 0xfffff78000000000n);
      let tried = 0;
      for (const page of pages) {
        let found: readonly Finding[];
        try {
          found = findings({ ...scenario, dump: 'bitmap-kernel', drop: [page.toString(16)] });
        } catch {
          continue; // not a page of this machine: a field that holds no address
        }
        tried++;
        for (const { pattern, verdict, confidence, title } of found) {
          const before = known.get(`${pattern} ${verdict}`);
          // A thread that could not be told is left over or uncertain: at most `possible`.
          const most = before ?? 0;
          expect(strength.indexOf(confidence), `${page.toString(16)}: ${title}`).toBeLessThanOrEqual(most);
        }
      }
      expect(tried).toBeGreaterThan(4);
    });
  }
});
