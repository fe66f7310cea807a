import { describe, expect, it } from 'vitest';
import { type SymbolRequest, storePath } from '../symbol-request.ts';
import { directoryCandidates, parseFilePointer, safeFileName, storeCandidates, storeKey } from './store-layout.ts';

const pdb: SymbolRequest = {
  kind: 'pdb',
  module: 'ntoskrnl.exe',
  name: 'ntkrnlmp.pdb',
  guid: '{5278aff8-6c34-1677-d7d7-835c85b7b844}',
  age: 26,
};
const image: SymbolRequest = {
  kind: 'image',
  module: 'nt',
  name: 'ntoskrnl.exe',
  timeDateStamp: 0x3e4ef1d,
  sizeOfImage: 0x104_6000,
};

it('makes the keys of a symbol store', () => {
  expect(storeKey(pdb)).toBe('5278AFF86C341677D7D7835C85B7B8441A');
  expect(storeKey(image)).toBe('03E4EF1D1046000');
  expect(storeKey({ ...image, timeDateStamp: -1, sizeOfImage: 0xabc000 })).toBe('FFFFFFFFabc000');
  expect(storeKey({ ...pdb, guid: '3A1B2C3D', age: 2 })).toBe('3A1B2C3D2');
  expect(storeKey({ ...pdb, guid: '../../x' })).toBeNull();
});

it('lists the places of a store tree and of a folder', () => {
  expect(storeCandidates(pdb, false).map((c) => c.path)).toEqual([
    'ntkrnlmp.pdb/5278AFF86C341677D7D7835C85B7B8441A/ntkrnlmp.pdb',
    'ntkrnlmp.pdb/5278AFF86C341677D7D7835C85B7B8441A/ntkrnlmp.pd_',
    'ntkrnlmp.pdb/5278AFF86C341677D7D7835C85B7B8441A/file.ptr',
  ]);
  expect(storeCandidates(image, true)[1]?.path).toBe('nt/ntoskrnl.exe/03E4EF1D1046000/ntoskrnl.ex_');
  const places = directoryCandidates(pdb).map((c) => c.path);
  expect(places.slice(0, 5)).toEqual([
    'ntkrnlmp.pdb',
    'symbols/pdb/ntkrnlmp.pdb',
    'pdb/ntkrnlmp.pdb',
    'symbols/exe/ntkrnlmp.pdb',
    'exe/ntkrnlmp.pdb',
  ]);
  expect(places).toContain('exe/ntkrnlmp.pd_');
  expect(directoryCandidates(image).map((c) => c.path)).toContain('symbols/exe/ntoskrnl.exe');
});

describe('names come out of a dump', () => {
  it.each([
    ['..', null],
    ['', null],
    ['a/..', null],
    ['c:\\x\\y\\a.pdb', 'a.pdb'],
    ['../../etc/passwd', 'passwd'],
    ['a.pdb:stream', null],
    ['a\0b', null],
    ['x'.repeat(300), null],
  ])('%j', (name, safe) => {
    expect(safeFileName(name)).toBe(safe);
    for (const { path } of [...storeCandidates({ ...pdb, name }, true), ...directoryCandidates({ ...pdb, name })]) {
      expect(path).not.toMatch(/(^|\/)\.\.?(\/|$)|^\/|\\/);
    }
    expect(storePath({ ...pdb, name })).not.toContain('..');
  });
});

it('reads file.ptr', () => {
  expect(parseFilePointer('PATH:\\\\server\\share\\a.pdb\r\n')).toEqual({ path: '\\\\server\\share\\a.pdb' });
  expect(parseFilePointer('/elsewhere/a.pdb')).toEqual({ path: '/elsewhere/a.pdb' });
  expect(parseFilePointer('MSG: not here')).toEqual({ message: 'not here' });
  expect(parseFilePointer('\n')).toBeNull();
});
