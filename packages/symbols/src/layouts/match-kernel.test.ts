import { describe, expect, it } from 'vitest';
import { builtinLayouts, loadBuiltin } from './builtin.ts';
import { fieldAt, offsetOrSize } from './field-path.ts';
import { kdbgOffsets, kdbgPointers } from './kdbg.ts';
import { compareKdbgOffsets, matchKernel } from './match-kernel.ts';

function info(id: string) {
  const found = builtinLayouts.find((candidate) => candidate.id === id);
  if (!found) throw new Error(id);
  return found;
}

/** The pointers of a kernel's KDBG, minus its base. */
function pointersOf(id: string): Map<string, number> {
  const out = new Map<string, number>();
  for (const { name, symbols } of kdbgPointers) {
    const at = symbols.map((symbol) => info(id).symbolRva(symbol)).find((rva) => rva !== undefined);
    if (at !== undefined) out.set(name, at);
  }
  return out;
}

function offsetsOf(id: string): Map<string, number> {
  const table = loadBuiltin(id)?.table;
  const out = new Map<string, number>();
  for (const { name, paths } of kdbgOffsets) {
    const value = table && paths.map((path) => offsetOrSize(table, path)).find((offset) => offset !== undefined);
    if (value !== undefined) out.set(name, value);
  }
  return out;
}

const win10 = 'x64-10.0.19041-89284d0c';

describe('matchKernel', () => {
  it.each(builtinLayouts.filter((l) => l.guid !== null).map((l) => [l.id]))(
    'finds %s by its pointers, and only it',
    (id) => {
      const { arch, build } = info(id);
      const found = matchKernel({ arch, build, kdbg: pointersOf(id) });
      expect(found.filter((c) => c.trust === 'exact').map((c) => c.info.id)).toEqual([id]);
      expect(found[0]?.info.id).toBe(id);
      expect(found[0]?.pointers.equal.length).toBeGreaterThan(30);
    },
  );

  it('leaves MmPfnDatabase out, and nothing else', () => {
    const base = { arch: 'x64', build: 19041 } as const;
    const pointers = pointersOf(win10);
    pointers.set('MmPfnDatabase', 0x7000_0000);
    expect(matchKernel({ ...base, kdbg: pointers })[0]).toMatchObject({ trust: 'exact', info: { id: win10 } });
    for (const name of ['PspCidTable', 'NtBuildLab', 'KdPrintCircularBuffer']) {
      const wrong = new Map(pointers).set(name, (pointers.get(name) ?? 0) + 8);
      const [best] = matchKernel({ ...base, kdbg: wrong });
      expect(best).toMatchObject({ trust: 'approximate', info: { id: win10 }, pointers: { different: [name] } });
    }
  });

  it('needs eight pointers', () => {
    const pointers = [...pointersOf(win10)].filter(([name]) => name !== 'MmPfnDatabase');
    const trust = (count: number) =>
      matchKernel({ arch: 'x64', build: 19041, kdbg: new Map(pointers.slice(0, count)) })[0]?.trust;
    expect([trust(7), trust(8)]).toEqual(['approximate', 'exact']);
  });

  it('takes the RSDS record first, in any spelling, and does not contradict it', () => {
    const rsds = { guid: '{89284d0c-a6ac-c827-4b9a-44bd5af9290b}', age: 1 };
    expect(matchKernel({ arch: 'x64', build: 19045, rsds })[0]).toMatchObject({ trust: 'exact', info: { id: win10 } });
    const other = { guid: '00000000000000000000000000000001', age: 1 };
    const found = matchKernel({ arch: 'x64', build: 19041, rsds: other, kdbg: pointersOf(win10) });
    expect(found.every((c) => c.trust === 'approximate')).toBe(true);
  });

  it('orders neighbours by branch and never crosses architectures', () => {
    const best = (arch: 'x86' | 'x64' | 'arm64', build: number, pae: boolean | null = null) =>
      matchKernel({ arch, build, pae })[0]?.info.id;
    expect(best('x64', 19044)).toMatch(/^x64-10\.0\.19041/);
    expect(best('x64', 18363)).toMatch(/18362/);
    expect(best('x64', 17134)).toMatch(/17763/);
    expect(best('x64', 22621)).toMatch(/22000/);
    expect(best('x64', 7600)).toMatch(/7601/);
    expect(best('x86', 2600, true)).toBe('x86-5.1.2600.5512-30b5fb31');
    expect(best('x86', 2600, false)).toBe('x86-5.1.2600.5512-nopae');
    expect(best('x86', 7601, true)).toBe('x86-6.1.7601-pae');
    expect(best('x86', 18363)).toBe('x86-10.0.19041.928');
    expect(matchKernel({ arch: 'arm64', build: 22000 })).toEqual([]);
    for (const candidate of matchKernel({ arch: 'x86', build: 19041 })) expect(candidate.info.arch).toBe('x86');
    expect(matchKernel({ arch: 'x64', build: 99999 }).length).toBeGreaterThan(0);
  });

  it('prefers the table whose sizes are those of the block over the nearer build', () => {
    const offsets = offsetsOf('x64-10.0.18362.30-35a038b1');
    const found = matchKernel({ arch: 'x64', build: 17763, offsets });
    expect(found[0]).toMatchObject({ trust: 'approximate', info: { build: 18362 }, offsets: { disagree: [] } });
    expect(found[1]?.offsets?.disagree.length).toBeGreaterThan(0);
  });
});

it('compares offsets and says which do not fit', () => {
  const table = loadBuiltin(win10)?.table;
  if (!table) throw new Error(win10);
  const offsets = offsetsOf(win10);
  const all = compareKdbgOffsets(table, offsets);
  expect(all.disagree).toEqual([]);
  expect(all.agree).toContain('OffsetKThreadApcProcess');
  const wrong = compareKdbgOffsets(table, new Map(offsets).set('SizePrcb', 0x4d00).set('OffsetKThreadTeb', 0));
  expect(wrong.disagree).toEqual([{ name: 'SizePrcb', path: '_KPRCB', dump: 0x4d00, table: 0xaf00 }]);
  expect(wrong.unknown).toContain('OffsetKThreadTeb');
});

it('finds members through embedded structures', () => {
  const table = loadBuiltin('x86-5.1.2600.5512-30b5fb31')?.table;
  if (!table) throw new Error('XP');
  expect(fieldAt(table, '_KTHREAD', ['ApcState', 'Process'])?.offset).toBe(0x44);
  expect(fieldAt(table, '_KTHREAD', ['ApcState', 'Nothing'])).toBeUndefined();
  expect(offsetOrSize(table, '_KPRCB')).toBe(0xc50);
  expect(offsetOrSize(table, '_NOTHING')).toBeUndefined();
});

it('answers nothing beyond what a name covers', () => {
  const symbols = loadBuiltin(win10)?.symbols;
  const symbol = symbols?.byName('kebugcheckex');
  if (!symbols || !symbol?.size) throw new Error('KeBugCheckEx');
  expect(symbols.nearest(symbol.rva + symbol.size - 1)?.name).toBe('KeBugCheckEx');
  expect(symbols.nearest(symbol.rva + symbol.size)?.name).not.toBe('KeBugCheckEx');
  expect(symbols.nearest(0)).toBeUndefined();
});

it('knows no other ids', () => {
  expect(loadBuiltin('x64-0')).toBeUndefined();
});
