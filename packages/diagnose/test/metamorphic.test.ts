/**
 * What does not matter must not change a verdict: where modules are loaded, how processors are numbered, what functions are
 * called. METAMORPHIC=all takes every scenario; CI takes a part of each family.
 */
import { bytesSource, openDump } from '@dumpscope/core';
import { openTarget, type SymbolAnswers } from '@dumpscope/debugger';
import type { SymbolRequest } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { forge, type Scenario } from '../../forge/src/index.ts';
import { diagnose, type Report } from '../src/index.ts';
import { images, scenarioNamed, scenarios } from './forged.ts';

const all = process.env['METAMORPHIC'] === 'all';

/** Rules whose findings are compared: of spins, waits and who gets a processor. */
const compared =
  /^(dispatch-level-spin|affine-thread|thread-starvation|spiking-thread|wait-chain|deadlock|dpc-blockage)$/;

/** `rename`: every function of the PDBs is called something else, of the same length. */
function report(scenario: Scenario, options: { readonly symbols: boolean; readonly rename?: boolean }): Report {
  const result = forge(scenario, images);
  const files = new Map(
    result.symbols.map((file) => [
      file.name.toLowerCase(),
      options.rename === true && file.name.toLowerCase().endsWith('.pdb') ? renamed(file.bytes) : file.bytes,
    ]),
  );
  const answers: SymbolAnswers = {
    answer(request: SymbolRequest) {
      const bytes = files.get(request.name.toLowerCase());
      return bytes === undefined ? undefined : bytesSource(bytes, request.name);
    },
    tables: [],
  };
  const dump = openDump(bytesSource(result.bytes ?? new Uint8Array(), `${scenario.id}.dmp`));
  return diagnose(openTarget(dump, options.symbols ? { answers } : {}), 'test');
}

const PUBLIC = 0x110e;

/** Turns the letters of S_PUB32 names by 13; kernel variables (data, not code) keep theirs, they are no functions. */
function renamed(pdb: Uint8Array): Uint8Array {
  const out = new Uint8Array(pdb);
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  for (let at = 0; at + 16 < out.length; at += 2) {
    const length = view.getUint16(at, true);
    if (view.getUint16(at + 2, true) !== PUBLIC || length < 14 || length > 0x200) continue;
    const isFunction = (view.getUint32(at + 4, true) & 2) !== 0;
    if (!isFunction) continue;
    for (let i = at + 14; i < at + 2 + length && out[i] !== 0; i++) {
      const c = out[i] ?? 0;
      const base = c >= 97 && c <= 122 ? 97 : c >= 65 && c <= 90 ? 65 : 0;
      if (base !== 0) out[i] = ((c - base + 13) % 26) + base;
    }
  }
  return out;
}

/** Pattern, verdict and confidence, with processors by the number that they had before they were renumbered. */
function assertions(of: Report, order: readonly number[] | null = null): string[] {
  return of.findings
    .filter(({ pattern }) => compared.test(pattern))
    .map(
      ({ pattern, verdict, confidence, processor }) =>
        `${pattern}: ${verdict} ${confidence} @${processor === null || order === null ? processor : order[processor]}`,
    )
    .sort();
}

/** Together, so that they stay apart from each other; where that meets something else, elsewhere. */
function moved(scenario: Scenario): Report | null {
  for (const delta of scenario.arch === 'x86'
    ? ['100000', '-40000', '10000', '400000']
    : ['2000000', '-400000', '10000']) {
    const relocate = Object.fromEntries(Object.keys(scenario.modules).map((name) => [name, delta]));
    try {
      return report({ ...scenario, relocate }, { symbols: false });
    } catch (error) {
      if (!/Forge/.test(String((error as Error).name))) throw error;
    }
  }
  return null;
}

describe('what does not matter', () => {
  it('is really changed: addresses, numbers and names differ where the verdicts agree', () => {
    const scenario = scenarioNamed('S03');
    const plain = report(scenario, { symbols: true });
    const other = report(scenario, { symbols: true, rename: true });
    const places = ({ processors }: Report): string[] =>
      processors.flatMap(({ stack }) => stack.map(({ symbol }) => symbol));
    expect(places(other)).not.toEqual(places(plain));
    expect(places(other).some((text) => text.includes('!'))).toBe(true);
    const elsewhere = moved(scenario);
    expect(elsewhere?.modules.map(({ base }) => base)).not.toEqual(plain.modules.map(({ base }) => base));
  });

  const taken = new Map<string, number>();
  for (const name of [...scenarios.names()].sort()) {
    const family = /^(S\d\d|[A-Z])/.exec(name)?.[0] ?? '';
    if (!/^(S|X|K|P|W|I)/.test(family)) continue;
    const n = taken.get(family) ?? 0;
    taken.set(family, n + 1);
    if (!all && n % 7 !== 0) continue;
    const scenario = scenarioNamed(name);
    it(`${name}: load addresses, processor numbers, names of functions`, { timeout: 300_000 }, () => {
      const plain = report(scenario, { symbols: false });
      const expected = assertions(plain);
      const elsewhere = scenario.relocate === undefined ? moved(scenario) : null;
      if (elsewhere !== null) expect(assertions(elsewhere)).toEqual(expected);
      if (scenario.processorOrder === undefined && scenario.processors.length > 1) {
        const order = scenario.processors.map((_, i) => scenario.processors.length - 1 - i);
        const swapped = report({ ...scenario, processorOrder: order }, { symbols: false });
        // Masks of processors are part of the state: where there are some, the order is no free choice.
        if (!boundByMask(scenario)) expect(assertions(swapped, order)).toEqual(expected);
      }
      const named = assertions(report(scenario, { symbols: true }));
      expect(assertions(report(scenario, { symbols: true, rename: true }))).toEqual(named);
    });
  }
});

/** Affinities of threads, and what an IPI keeps of its targets: masks and counts written as numbers. */
function boundByMask(scenario: Scenario): boolean {
  return (
    JSON.stringify(scenario.processes).includes('"affinity"') ||
    /Target|Packet|Mask|Affinity/.test(JSON.stringify([scenario.processors, scenario.memory]))
  );
}
