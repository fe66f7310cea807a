import { readFileSync } from 'node:fs';
import { openDump } from '@dumpscope/core';
import { compareKdbgOffsets, kdbgOffsets, kdbgPointers, loadBuiltin, matchIsf, matchKernel } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { openFileSource, SymbolProvider } from '../src/index.ts';
import { haveShared, shared } from './shared.ts';

/** KDDEBUGGER_DATA64 of a triage dump, found by its tag and size in the raw file. */
function fingerprint(name: string) {
  const file = readFileSync(`${shared}/dumps/kernel/${name}`);
  for (let tag = file.indexOf('KDBG'); tag >= 0; tag = file.indexOf('KDBG', tag + 1)) {
    const size = file.readUInt32LE(tag + 4);
    if (size < 0x208 || size > 0x500) continue;
    const block = file.subarray(tag - 16, tag - 16 + size);
    const base = block.readBigUInt64LE(0x18);
    const kdbg = new Map<string, number>();
    for (const { name: field, offset } of kdbgPointers) {
      const value = offset + 8 <= size ? block.readBigUInt64LE(offset) : 0n;
      if (value !== 0n) kdbg.set(field, Number(value - base));
    }
    const offsets = new Map<string, number>();
    for (const { name: field, offset, width } of kdbgOffsets) {
      if (offset + width <= size) offsets.set(field, block.readUIntLE(offset, width));
    }
    return { kdbg, offsets };
  }
  throw new Error(`no KDBG in ${name}`);
}

describe.skipIf(!haveShared)('kernels of real dumps', () => {
  it.each([['x64-19041-0x7e-amdppm.dmp'], ['x64-9600-0x7e-rtkvhd64.dmp'], ['arm64-22000-0x1c8.dmp']])(
    '%s has its KDBG where the triage header says',
    (name) => {
      const source = openFileSource(`${shared}/dumps/kernel/${name}`);
      const dump = openDump(source);
      const { kdbgOffset = 0, kdbgSize = 0 } = dump.triage ?? {};
      const block = dump.fileBytes(kdbgOffset, kdbgSize);
      expect(Buffer.from(block.subarray(0x10, 0x14)).toString('latin1')).toBe('KDBG');
      const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
      const { kdbg } = fingerprint(name);
      const list = kdbgPointers.find((p) => p.name === 'PsLoadedModuleList')?.offset ?? 0;
      expect(view.getBigUint64(list, true) - view.getBigUint64(0x18, true)).toBe(
        BigInt(kdbg.get('PsLoadedModuleList') ?? 0),
      );
      source.close();
    },
  );

  it.each([
    ['x64-19041-0x7e-amdppm.dmp', '5278aff8'],
    ['x64-19041-0x3b-ntfs.dmp', '89284d0c'],
    ['x64-19041-0x139-list-corruption.dmp', '89284d0c'],
  ])('%s is exactly %s', (name, guid) => {
    const { kdbg, offsets } = fingerprint(name);
    const found = matchKernel({ arch: 'x64', build: 19041, kdbg, offsets });
    expect(found.filter((c) => c.trust === 'exact').map((c) => c.info.id)).toEqual([`x64-10.0.19041-${guid}`]);
    expect(found[0]?.pointers).toMatchObject({ different: [] });
    expect(found[0]?.pointers.equal).toHaveLength(36);
    const table = loadBuiltin(found[0]?.info.id ?? '')?.table;
    if (!table) throw new Error('no table');
    const compared = compareKdbgOffsets(table, offsets);
    expect(compared.disagree).toEqual([]);
    expect(compared.agree.length).toBeGreaterThanOrEqual(35);
  });

  it.each([
    ['x64-19041-0x133-cumulative-24cpu.dmp', 19041, []],
    ['x64-19041-0x1c7-no-prcbs.dmp', 19041, []],
    // An early 8.1: its _KPRCB is 0x5d80 bytes where the tables of 2019 and later have 0x7ec0.
    ['x64-9600-0x7e-rtkvhd64.dmp', 9600, ['SizeEProcess', 'SizePrcb', 'OffsetPrcbVendorString', 'SizePcr']],
    ['x64-9600-0xea-stuck-driver.dmp', 9600, ['SizeEProcess', 'SizePrcb', 'OffsetPrcbVendorString', 'SizePcr']],
  ] as const)('%s has neighbours only', (name, build, differing) => {
    const found = matchKernel({ arch: 'x64', build, ...fingerprint(name) });
    expect(found.every((c) => c.trust === 'approximate')).toBe(true);
    expect(found[0]?.info.build).toBe(build);
    const names = found[0]?.offsets?.disagree.map((d) => d.name) ?? [];
    if (differing.length === 0) expect(names).toEqual([]);
    else expect(names).toEqual(expect.arrayContaining([...differing]));
  });

  it('finds the exact ISF file of a catalogue, and only it', async () => {
    const provider = new SymbolProvider({ symbolPath: [`${shared}/symbols/isf`] });
    const kernel = { arch: 'x64', build: 19041, ...fingerprint('x64-19041-0x3b-ntfs.dmp') } as const;
    const trusts = new Map<string, string>();
    for (const entry of provider.isfCatalog()) {
      const match = matchIsf(await provider.loadIsf(entry), kernel);
      trusts.set(entry.guid?.slice(0, 8) ?? entry.path, match.trust);
      if (match.trust === 'exact') expect(match.offsets?.disagree).toEqual([]);
      if (match.trust === 'none') expect(entry.path).toMatch(/x86/);
    }
    expect([...trusts].filter(([, trust]) => trust === 'exact')).toEqual([['89284D0C', 'exact']]);
    expect([...trusts.values()].filter((trust) => trust === 'none')).toHaveLength(4);
  });

  it('has no table for ARM64', () => {
    expect(matchKernel({ arch: 'arm64', build: 22000, ...fingerprint('arm64-22000-0x1c8.dmp') })).toEqual([]);
  });
});
