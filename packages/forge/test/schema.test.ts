import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { applyPatch, checkScenario, forge, listScenarios, loadScenario, resolveScenario } from '../src/index.ts';
import { images, scenarios } from './shipped.ts';

const examples = [
  ...readFileSync(new URL('../../../docs/forge.md', import.meta.url), 'utf8').matchAll(/```json\n(.*?)```/gs),
].map((match) => JSON.parse(match[1] ?? '') as Record<string, unknown>);
const [example, sibling] = examples;

function faults(change: unknown): readonly string[] {
  try {
    checkScenario(applyPatch(example, change));
    return [];
  } catch (error) {
    return error instanceof Error && 'errors' in error ? (error.errors as string[]) : [String(error)];
  }
}

describe('docs/forge.md', () => {
  it('has examples that work as printed', () => {
    const provider = {
      names: () => ['example'],
      read: (name: string) => (name === 'example' ? JSON.stringify(example) : undefined),
    };
    const held = forge(resolveScenario(example, provider), images);
    const free = forge(resolveScenario(sibling, provider), images);
    expect(held.size).toBe(free.size);
    expect(held.bytes).not.toEqual(free.bytes);
    expect(held.layoutMap.get('object(device)')).toBe(0x82f0bf48n);
  });

  it('names every member that the validator knows', () => {
    const text = readFileSync(new URL('../../../docs/forge.md', import.meta.url), 'utf8');
    const source = readFileSync(new URL('../src/scenario/validate.ts', import.meta.url), 'utf8')
      .split('\n\n')
      .slice(1)
      .join('\n');
    const members = [...source.matchAll(/^\s+(\w+)(?:: |,$)/gm)].map((match) => match[1] ?? '');
    const missing = [...new Set(members)].filter((name) => !new RegExp(`\\b${name}\\b`).test(text));
    expect(missing).toEqual([]);
  });
});

describe('faults', () => {
  it('are reported with their place', () => {
    expect(faults({ processors: { '0': { context: { eip: true } } } })).toEqual([
      'processors[0].context.eip: a number or a hex expression in a string expected, found true',
    ]);
    expect(faults({ time: { tickcount: 5 } })[0]).toBe('time.tickcount: unknown member (meant: tickCount?)');
    expect(faults({ time: null, arch: 'arm' })).toEqual([
      '(top level): member "time" is missing',
      'arch: one of x86, x64, arm64 expected, found "arm"',
    ]);
    expect(faults({ memory: { '82f0c000': { byte: 1 } } })[0]).toMatch(/^memory\.82f0c000: exactly one of byte, word/);
    expect(faults({ processors: { '0': { thread: 'nobody' } } })).toEqual(['processors[0].thread: no thread "nobody"']);
    expect(faults({ processorOrder: [0, 0] })).toEqual(['processorOrder: a permutation of 0..1 expected']);
    expect(faults({ relocate: { gone: 4096 } })).toEqual(['relocate.gone: no such module']);
  });

  it('of the content name the member, too', () => {
    const build = (change: unknown): (() => unknown) => {
      return () => forge(checkScenario(applyPatch(example, change)), images);
    };
    expect(build({ memory: { '82f0c100': { pointer: 'spinner!Nothing' } } })).toThrow(
      'memory.82f0c100: module spinner has no symbol "Nothing"',
    );
    expect(build({ objects: { device: { fields: { Typ: 1 } } } })).toThrow(/_DEVICE_OBJECT .* has no field Typ/);
    expect(build({ build: '5.2.3790' })).toThrow(/no built-in layout of x86 5\.2\.3790; known: /);
    expect(build({ memory: { '82f0d000': { dword: 1 }, '82f0d002': { dword: 2 } } })).toThrow(/overlaps/);
    expect(build({ drop: ['90000000'] })).toThrow('drop[0]: page 90000 is not mapped');
    expect(build({ modules: { spinner: { base: '804d8000' } } })).toThrow(/runs into/);
    expect(build({ trapFrames: { t: { at: 'f7a3fc00', regs: { esp: '0', cs: '8' } } } })).toThrow(
      /a trap from kernel mode has esp f7a3fc74/,
    );
  });

  it('of bases are found', () => {
    const provider = {
      names: () => [],
      read: (name: string) =>
        name === 'a'
          ? '{"id":"a","base":"b","patch":{}}'
          : name === 'b'
            ? '{"id":"b","base":"a","patch":{}}'
            : undefined,
    };
    expect(() => loadScenario('a', provider)).toThrow('leads back to itself');
    expect(() => resolveScenario({ id: 'x', base: 'gone', patch: {} }, provider)).toThrow(
      'there is no scenario "gone"',
    );
    expect(() => loadScenario('nobody', provider)).toThrow('there is no scenario of that name');
  });
});

describe('patches', () => {
  it('merge, delete, and reach into lists', () => {
    const base = { a: 1, list: [{ x: 1 }, { x: 2 }], deep: { keep: 1, drop: 2 } };
    expect(applyPatch(base, { a: 2, deep: { drop: null } })).toEqual({ ...base, a: 2, deep: { keep: 1 } });
    expect(applyPatch(base, { list: { '1': { y: 3 } } })).toEqual({ ...base, list: [{ x: 1 }, { x: 2, y: 3 }] });
    expect(applyPatch(base, { list: { '2': { z: 1 } } })).toMatchObject({ list: [{ x: 1 }, { x: 2 }, { z: 1 }] });
    expect(applyPatch(base, { list: { '0': null } })).toMatchObject({ list: [{ x: 2 }] });
    expect(applyPatch(base, { list: [] })).toMatchObject({ list: [] });
    expect(() => applyPatch(base, { list: { '5': 1 } })).toThrow('beyond the end');
  });
});

describe('shipped scenarios', () => {
  it('are all sound and say what they are', () => {
    const rows = listScenarios(scenarios);
    expect(rows.filter((row) => row.title.startsWith('(faulty') || row.title === '')).toEqual([]);
    for (const name of ['S01a', 'S01b', 'S02a', 'S02b', 'S03', 'S08', 'S14']) {
      expect(rows.map((row) => row.name)).toContain(name);
    }
  });

  it('have an own id each', () => {
    for (const name of scenarios.names()) expect(loadScenario(name, scenarios).id).toBe(name);
  });
});
