import { bytesSource } from '@dumpscope/core';
import { expect, it } from 'vitest';
import { identifySymbolFile, mismatch } from './identify.ts';

const identify = (bytes: ArrayLike<number> | string) =>
  identifySymbolFile(bytesSource(typeof bytes === 'string' ? new TextEncoder().encode(bytes) : Uint8Array.from(bytes)));

it('tells files apart by their bytes and never throws', () => {
  expect(identify('')).toEqual({ kind: 'other', what: 'an empty file' });
  expect(identify('MSCF\0\0\0\0').kind).toBe('cab');
  expect(identify([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]).kind).toBe('xz');
  expect(identify('  {"a": 1}').kind).toBe('json');
  expect(identify('<!DOCTYPE html><html>')).toEqual({ kind: 'other', what: 'a web page' });
  expect(identify('BSJB')).toMatchObject({ kind: 'other', what: expect.stringMatching(/portable PDB/) });
  expect(identify('MZ')).toMatchObject({ kind: 'other' });
  expect(identify('Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0')).toMatchObject({ kind: 'other' });
});

it('says what does not match', () => {
  const pdb = { kind: 'pdb', module: 'a.sys', name: 'a.pdb', guid: 'AB'.repeat(16), age: 2 } as const;
  const image = { kind: 'image', module: 'a', name: 'a.sys', timeDateStamp: 0x10, sizeOfImage: 0x2000 } as const;
  const isPdb = { kind: 'pdb', guid: 'AB'.repeat(16), age: 2, infoAge: 5, missingBytes: 0 } as const;
  const isImage = {
    kind: 'image',
    timeDateStamp: 0x10,
    sizeOfImage: 0x2000,
    machine: 0x8664,
    missingBytes: 0,
  } as const;
  expect(mismatch(isPdb, pdb)).toBeNull();
  expect(mismatch(isPdb, { ...pdb, guid: 'abababab-abab-abab-abab-abababababab', age: 5 })).toBeNull();
  expect(mismatch(isPdb, { ...pdb, age: 3 })).toBe('its age is 2, not 3');
  expect(mismatch({ ...isPdb, guid: 'CD'.repeat(16) }, pdb)).toMatch(/^its GUID is CDCD/);
  expect(mismatch(isImage, pdb)).toBe('it is an image');
  expect(mismatch(isImage, image)).toBeNull();
  expect(mismatch(isImage, { ...image, timeDateStamp: 0x11 })).toBe('its timestamp is 10, not 11');
  expect(mismatch(isImage, { ...image, sizeOfImage: 0x3000 })).toBe('its size of image is 2000, not 3000');
  expect(mismatch({ kind: 'other', what: 'a web page' }, image)).toBe('a web page');
});
