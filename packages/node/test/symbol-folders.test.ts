import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { bytesSource } from '@dumpscope/core';
import { identifySymbolFile, type SymbolRequest } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import {
  defaultCacheFolder,
  expandXz,
  imagePathOf,
  importSymbols,
  type SymbolAnswer,
  SymbolProvider,
  symbolPathOf,
} from '../src/index.ts';
import { makeCab, makeImage, makePdb } from './make-files.ts';
import { haveShared, shared } from './shared.ts';

const guid = '5278AFF86C341677D7D7835C85B7B844';
const other = 'F'.repeat(32);
const pdb: SymbolRequest = { kind: 'pdb', module: 'MyDriver.sys', name: 'MyDriver.pdb', guid, age: 2 };
const image: SymbolRequest = {
  kind: 'image',
  module: 'MyDriver',
  name: 'MyDriver.sys',
  timeDateStamp: 0x1234,
  sizeOfImage: 0xabc000,
};
const good = makePdb(guid, 2, 3000);
const driver = makeImage(0x1234, 0xabc000, 500);

function folder(files: Readonly<Record<string, Uint8Array | string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'dumpscope-folder-'));
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), bytes);
  }
  return root;
}

async function ask(request: SymbolRequest, symbolPath: string, imagePath: string[] = []): Promise<SymbolAnswer> {
  const provider = new SymbolProvider({
    symbolPath: [symbolPath],
    imagePath,
    offline: true,
    cacheFolder: '/nonexistent',
  });
  const [answer] = await provider.fetch([request]);
  provider.close();
  if (!answer) throw new Error('no answer');
  return answer;
}

describe('a folder', () => {
  it.each([
    ['MyDriver.pdb'],
    ['mydriver.PDB'],
    ['symbols/sys/MyDriver.pdb'],
    ['Symbols/PDB/mydriver.pdb'],
    ['sys/MyDriver.pdb'],
    [`MyDriver.pdb/${guid}2/MyDriver.pdb`],
    [`mydriver.pdb/${guid.toLowerCase()}2/mydriver.pdb`],
    ['deep/er/and/deeper/MyDriver.pdb'],
    ['another-name.pdb'],
  ])('holds a PDB at %s', async (where) => {
    const answer = await ask(pdb, folder({ [where]: good, 'readme.txt': 'x' }));
    expect(answer).toMatchObject({ outcome: 'found', form: 'pdb', origin: 'folder' });
    expect(answer.path?.endsWith(where)).toBe(true);
  });

  it.each([
    ['MyDriver.sys'],
    ['symbols/sys/MyDriver.sys'],
    ['MyDriver.sys/00001234abc000/MyDriver.sys'],
    ['renamed.bin'],
  ])('holds an image at %s', async (where) => {
    const root = folder({ [where]: driver });
    expect(await ask(image, root)).toMatchObject({ outcome: 'found', form: 'image' });
    expect(await ask(image, '', [root])).toMatchObject({ outcome: 'found' });
  });

  it('holds it compressed, or is the file itself', async () => {
    const answer = await ask(pdb, folder({ 'x/MyDriver.pd_': makeCab('MyDriver.pdb', good) }));
    expect(answer).toMatchObject({ outcome: 'found' });
    expect(answer.source?.size).toBe(good.length);
    expect(await ask(pdb, join(folder({ 'any.pdb': good }), 'any.pdb'))).toMatchObject({ outcome: 'found' });
  });

  it('takes the right one of several, and says what was wrong with the others', async () => {
    const root = folder({
      'MyDriver.pdb': makePdb(other, 2),
      'pdb/MyDriver.pdb': makePdb(guid, 3),
      'x/MyDriver.pdb': good,
    });
    const answer = await ask(pdb, root);
    expect(answer).toMatchObject({ outcome: 'found', path: join(root, 'x/MyDriver.pdb') });
    expect(answer.attempts.map((a) => [a.outcome, a.why])).toEqual([
      ['mismatch', `its GUID is ${other}, not ${guid}`],
      ['mismatch', 'its age is 3, not 2'],
      ['found', null],
    ]);
  });

  it('refuses what does not match', async () => {
    const root = folder({ 'MyDriver.pdb': makePdb(other, 2), 'MyDriver.sys': makeImage(0x1235, 0xabc000) });
    expect(await ask(pdb, root)).toMatchObject({
      outcome: 'mismatch',
      source: null,
      why: expect.stringContaining(other),
    });
    expect(await ask(image, root)).toMatchObject({ outcome: 'mismatch', why: expect.stringMatching(/1235, not 1234/) });
    const text = folder({ 'MyDriver.pdb': 'not a PDB at all', 'MyDriver.pd_': 'MSCF nonsense' });
    expect(await ask(pdb, text)).toMatchObject({
      outcome: 'mismatch',
      why: expect.stringMatching(/neither PDB nor image/),
    });
  });

  it('that is not there is said', async () => {
    const provider = new SymbolProvider({ symbolPath: ['/no/such/folder;bad*x'], cacheFolder: '/nonexistent' });
    expect(provider.problems).toEqual([
      expect.stringMatching(/begins with none/),
      'symbol path: there is no folder /no/such/folder',
    ]);
    expect((await provider.fetch([pdb]))[0]).toMatchObject({ outcome: 'not-found', why: 'not in /no/such/folder' });
    expect((await new SymbolProvider({}).fetch([pdb]))[0]?.why).toBe('no symbol path was given');
  });

  it('with links in a circle is searched once', async () => {
    const root = folder({ 'a/b/MyDriver.pdb': good });
    symlinkSync(root, join(root, 'a/b/up'), 'dir');
    symlinkSync(join(root, 'a/b/MyDriver.pdb'), join(root, 'linked.pdb'));
    expect(await ask(pdb, root)).toMatchObject({ outcome: 'found' });
  });
});

describe('a store', () => {
  it.each([
    ['one tier', { [`MyDriver.pdb/${guid}2/MyDriver.pdb`]: good }],
    ['two tiers', { 'index2.txt': '', [`My/MyDriver.pdb/${guid}2/MyDriver.pdb`]: good }],
    ['two tiers, compressed', { 'index2.txt': '', [`my/mydriver.pdb/${guid}2/mydriver.pd_`]: makeCab('a', good) }],
    ['a pointer', { [`MyDriver.pdb/${guid}2/file.ptr`]: 'PATH:kept/there.pdb\r\n', 'kept/there.pdb': good }],
  ])('of %s', async (_, files) => {
    expect(await ask(pdb, `srv*${folder(files)}`)).toMatchObject({ outcome: 'found', origin: 'store' });
  });

  it('is found although there is a cache before it', async () => {
    const store = folder({ [`MyDriver.pdb/${guid}2/MyDriver.pdb`]: good });
    expect(await ask(pdb, `srv*${folder({})}*${store}`)).toMatchObject({ outcome: 'found', origin: 'store' });
  });

  it('with a pointer to nothing says so', async () => {
    const store = folder({ [`MyDriver.pdb/${guid}2/file.ptr`]: 'PATH:\\\\gone\\share\\x.pdb' });
    const answer = await ask(pdb, `srv*${store}`);
    expect(answer.attempts[0]?.why).toMatch(/points at .*which is not there/);
  });
});

describe('ISF files', () => {
  const isf = (g: string, age = 2) =>
    JSON.stringify({
      base_types: { pointer: { kind: 'int', size: 8, signed: false, endian: 'little' } },
      metadata: { windows: { pdb: { GUID: g, age, database: 'MyDriver.pdb' } } },
      symbols: { Alpha: { address: 16 } },
      user_types: {},
    });

  it('stand in for a PDB of the same GUID', async () => {
    for (const name of [`MyDriver.pdb/${guid}-2.json`, `any-${guid}-2.json`]) {
      const answer = await ask(pdb, folder({ [name]: isf(guid) }));
      expect(answer).toMatchObject({ outcome: 'found', form: 'isf', source: null });
      expect(answer.isf?.symbols.byName('Alpha')?.rva).toBe(16);
    }
    const store = folder({ [`MyDriver.pdb/${guid}-2.json`]: isf(guid) });
    expect(await ask(pdb, `srv*${store}`)).toMatchObject({ outcome: 'found', form: 'isf' });
  });

  it('that lie about their GUID, or are damaged, do not', async () => {
    const lie = await ask(pdb, folder({ [`a-${guid}-2.json`]: isf(other) }));
    expect(lie).toMatchObject({ outcome: 'mismatch', why: expect.stringMatching(/its GUID is FFFF/) });
    const bad = await ask(pdb, folder({ [`a-${guid}-2.json`]: '{"a":' }));
    expect(bad).toMatchObject({ outcome: 'mismatch', why: expect.stringMatching(/no JSON/) });
    const cut = await ask(
      pdb,
      folder({ [`a-${guid}-2.json.xz`]: Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4) }),
    );
    expect(cut).toMatchObject({ outcome: 'mismatch', why: expect.stringMatching(/damaged or truncated/) });
  });

  it('are listed without being opened', () => {
    const root = folder({ [`x/ntkrnlmp.pdb/${guid}-1.json.xz`]: 'unread', 'nt-types.json': 'unread', 'a.txt': '' });
    const provider = new SymbolProvider({ symbolPath: [root] });
    expect(provider.isfCatalog()).toEqual([
      { path: join(root, 'nt-types.json'), pdb: null, guid: null, age: null },
      { path: join(root, `x/ntkrnlmp.pdb/${guid}-1.json.xz`), pdb: 'ntkrnlmp.pdb', guid, age: 1 },
    ]);
  });

  it.skipIf(!haveShared)('of real kernels are read', async () => {
    const provider = new SymbolProvider({ symbolPath: [`${shared}/symbols/isf`] });
    const request: SymbolRequest = {
      kind: 'pdb',
      module: 'nt',
      name: 'ntkrnlmp.pdb',
      guid: '89284D0CA6ACC8274B9A44BD5AF9290B',
      age: 1,
    };
    const [answer] = await provider.fetch([request]);
    expect(answer).toMatchObject({ outcome: 'found', form: 'isf' });
    expect(answer?.isf?.types.struct('_KTHREAD')?.size).toBe(0x430);
    expect(provider.isfCatalog().filter((e) => e.guid !== null)).toHaveLength(13);
  });
});

describe('xz', () => {
  it('is refused when damaged, cut or too large', async () => {
    await expect(expandXz(Uint8Array.of(1, 2, 3), 100)).rejects.toThrow(/signature is missing/);
    if (!haveShared) return;
    const packed = new Uint8Array(readFileSync(`${shared}/symbols/isf/nt-types-x86-6.1.7601-from-ntdll.json.xz`));
    const whole = await expandXz(packed, 1 << 24);
    expect(whole.length).toBeGreaterThan(500_000);
    await expect(expandXz(packed, 100_000)).rejects.toThrow(/expands to more than 100000 bytes/);
    for (const cut of [6, 12, 24, 1000, packed.length - 1000, packed.length - 10]) {
      await expect(expandXz(packed.subarray(0, cut), 1 << 24)).rejects.toThrow(/damaged or truncated/);
    }
    let refused = 0;
    for (let at = 30; at < packed.length; at += 3001) {
      const damaged = packed.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 0x55;
      // A byte that the decoder does not look at may change; what comes out may not.
      const result = await expandXz(damaged, 1 << 24).catch((error: Error) => error.message);
      if (typeof result === 'string') {
        expect(result).toMatch(/damaged/);
        refused++;
      } else expect(Buffer.compare(result, whole)).toBe(0);
    }
    expect(refused).toBeGreaterThan(8);
    // It still works after all that.
    expect((await expandXz(packed, 1 << 24)).length).toBe(whole.length);
    const huge = packed.slice();
    huge[16] = 40;
    await expect(expandXz(huge, 1 << 24)).rejects.toThrow(/dictionary of 4294967295/);
  });
});

describe('import', () => {
  it('files a folder into the cache by name and key', async () => {
    const root = folder({
      'MyDriver.pdb': good,
      'sub/MyDriver.sys': driver,
      'packed/Other.pd_': makeCab('Other.pdb', makePdb(other, 1)),
      [`isf/ntkrnlmp-${guid}-1.json.xz`]: 'kept as it is',
      'notes.txt': 'x',
      'cut.pdb': good.subarray(0, 4000),
      'broken.pd_': 'MSCF',
    });
    const cache = join(folder({}), 'cache');
    const files = importSymbols(root, cache);
    expect(Object.fromEntries(files.map((f) => [f.file.slice(root.length + 1), [f.outcome, f.to]]))).toEqual({
      'MyDriver.pdb': ['imported', `MyDriver.pdb/${guid}2/MyDriver.pdb`],
      'sub/MyDriver.sys': ['imported', 'MyDriver.sys/00001234abc000/MyDriver.sys'],
      'packed/Other.pd_': ['imported', `Other.pdb/${other}1/Other.pdb`],
      [`isf/ntkrnlmp-${guid}-1.json.xz`]: ['imported', `ntkrnlmp.pdb/${guid}-1.json.xz`],
      'notes.txt': ['skipped', null],
      'cut.pdb': ['failed', null],
      'broken.pd_': ['failed', null],
    });
    expect(await ask(pdb, `srv*${cache}`)).toMatchObject({ outcome: 'found' });
    expect(await ask(image, `cache*${cache}`)).toMatchObject({ outcome: 'found' });
    expect(importSymbols(root, cache).filter((f) => f.outcome === 'present')).toHaveLength(4);
    const kept = readFileSync(join(cache, `Other.pdb/${other}1/Other.pdb`));
    expect(identifySymbolFile(bytesSource(kept))).toMatchObject({ kind: 'pdb', guid: other, age: 1 });
  });

  it.skipIf(!haveShared)('gives real PDBs the name that their images ask for', async () => {
    const cache = join(folder({}), 'cache');
    const files = importSymbols(`${shared}/symbols/pdb`, cache);
    expect(files.filter((f) => f.outcome === 'failed')).toEqual([]);
    expect(files.filter((f) => f.outcome === 'imported').length).toBeGreaterThan(15);
    const test = files.find((f) => f.file.endsWith('rizin-xcpt4-x64.pdb'));
    expect(test?.to).toMatch(/^xcpt4\w*\.pdb\/[0-9A-F]{33,}\/xcpt4\w*\.pdb$/i);
  });
});

it('takes symbol paths from the command line and the environment', () => {
  const env = { _NT_SYMBOL_PATH: 'srv*', _NT_ALT_SYMBOL_PATH: ' ', _NT_EXECUTABLE_IMAGE_PATH: '/img' };
  expect(symbolPathOf(['/a'], env)).toEqual(['/a', 'srv*']);
  expect(symbolPathOf([], {})).toEqual([]);
  expect(imagePathOf([], env)).toEqual(['/img']);
  expect(defaultCacheFolder({ HOME: '/h' }, 'linux')).toBe('/h/.cache/dumpscope/symbols');
  expect(defaultCacheFolder({ HOME: '/h', XDG_CACHE_HOME: '/x' }, 'linux')).toBe('/x/dumpscope/symbols');
  expect(defaultCacheFolder({ HOME: '/h' }, 'darwin')).toBe('/h/Library/Caches/dumpscope/symbols');
  expect(defaultCacheFolder({ DUMPSCOPE_SYMBOL_CACHE: '/c' }, 'linux')).toBe('/c');
});
