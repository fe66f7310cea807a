/** The seed's verdict without any symbols, by the built-in layouts of each generation of Windows. */
import { expect, it } from 'vitest';
import { diagnose } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

const states: readonly (readonly [scenario: string, builds: readonly string[]])[] = [
  ['S01a', ['5.1.2600.5512']],
  ['S01-7601', ['6.1.7601']],
  ['S01-19041', ['10.0.19041.928']],
  ['S03', ['6.1.7601.24540', '6.3.9600.19913', '10.0.17763.379', '10.0.22000.318']],
];

for (const [name, builds] of states) {
  for (const build of builds) {
    const scenario = scenarioNamed(name);
    it(`${scenario.arch} ${build}: self-deadlock`, () => {
      const [first] = diagnose(forgedTarget({ ...scenario, build }, { symbols: false }), 'test').findings;
      expect([first?.pattern, first?.verdict]).toEqual(['dispatch-level-spin', 'self-deadlock']);
      expect(['proven', 'strong']).toContain(first?.confidence);
    });
  }
}
