/**
 * An image whose basic blocks a post-link tool rearranged. The expectations are facts of google/breakpad's
 * omap_reorder_bbs.sym and omap_stretched.sym, which its dump_syms made with Microsoft's DIA.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Omap } from '../src/pdb/address-map.ts';
import { openFile, SHARED_PDB } from './pdb-paths.ts';

const REORDERED = join(SHARED_PDB, 'breakpad-omap_reorder_bbs-x86.pdb');
const there = existsSync(REORDERED);
if (!there) console.log('SKIPPED: ../shared/symbols/pdb is absent; OMAP is checked on made tables only');

/** FUNC lines: RVA and size of every piece of a function. */
const PIECES: readonly (readonly [name: string, pieces: readonly (readonly [rva: number, size: number])[]])[] = [
  ['main', [[0x2cec, 0x54]]],
  ['google_breakpad::C::f', [[0x11e8, 0x1e]]],
  [
    'fast_error_exit',
    [
      [0x198c, 4],
      [0x1ff0, 0x18],
      [0x455c, 0x12],
      [0x4d0c, 5],
    ],
  ],
  [
    'free',
    [
      [0x26fc, 0x14],
      [0x2bcc, 2],
      [0x3888, 0x18],
      [0x3ea0, 0x1f],
    ],
  ],
  [
    '_initterm_e',
    [
      [0x1bc8, 3],
      [0x1de4, 0xe],
      [0x22bc, 2],
      [0x2944, 0x10],
      [0x3dd4, 3],
      [0x3e80, 0xf],
      [0x6568, 0x10],
    ],
  ],
  [
    '__CxxUnhandledExceptionFilter',
    [
      [0x199c, 0x10],
      [0x2380, 6],
      [0x3ce8, 0x10],
      [0x4448, 0x14],
      [0x4778, 0x1c],
      [0x57d0, 0x10],
      [0x5a40, 5],
      [0x642c, 0x10],
    ],
  ],
  [
    '_FF_MSGBANNER',
    [
      [0x1984, 1],
      [0x2388, 0x16],
      [0x4ab4, 0x16],
      [0x4be0, 0x17],
      [0x5ac8, 0x13],
    ],
  ],
  [
    '_GET_RTERRMSG',
    [
      [0x1b78, 4],
      [0x2888, 9],
      [0x44d0, 0x16],
      [0x4858, 0x10],
      [0x6410, 7],
    ],
  ],
];

/** Lines: RVA, line, end of the file's path. */
const LINES: readonly (readonly [rva: number, line: number, file: string])[] = [
  [0x2cec, 57, 'dump_syms_regtest.cc'],
  [0x2d3c, 65, 'dump_syms_regtest.cc'],
  [0x26fc, 40, 'free.c'],
  [0x2701, 45, 'free.c'],
  [0x3ea0, 50, 'free.c'],
  [0x3eb1, 51, 'free.c'],
  [0x3888, 53, 'free.c'],
  [0x2bcc, 55, 'free.c'],
  [0x455c, 339, 'crt0.c'],
  [0x198e, 341, 'crt0.c'],
];

/** STACK WIN lines: RVA, saved registers, locals, parameters. */
const FRAMES: readonly (readonly [rva: number, params: number, saved: number, locals: number])[] = [
  [0x2cec, 8, 0, 0x14],
  [0x3889, 4, 4, 0],
  [0x3ea0, 4, 0, 0],
  [0x39e1, 0, 0x10, 0x24],
  [0x4e7c, 4, 0, 0x1fc],
  [0x255a, 4, 8, 0],
];

describe.skipIf(!there)('an image with OMAP', () => {
  const pdb = there ? openFile(REORDERED) : null;
  const info = pdb?.debugInfo();

  it('gives every piece of a function its name', () => {
    for (const [name, pieces] of PIECES) {
      for (const [rva, size] of pieces) {
        for (const at of [rva, rva + size - 1]) {
          expect([at, info?.symbols.nearest(at)?.display]).toEqual([at, name]);
          // Publics print argument-less names, too.
          const shown = pdb?.publics.nearest(at)?.display;
          if (!name.startsWith('fast_')) expect([at, shown]).toEqual([at, name]);
        }
      }
    }
  });

  it('translates the starts of functions by name', () => {
    expect(info?.symbols.byName('main')?.rva).toBe(0x2cec);
    expect(info?.symbols.byName('free')?.rva).toBe(0x26fc);
    expect(info?.symbols.byName('_exit')?.rva).toBe(0x5464);
    expect(pdb?.publics.byName('_memcpy')?.rva).toBe(pdb?.publics.byName('memcpy')?.rva);
    expect(pdb?.publics.byName('_RtlUnwind@16')?.rva).toBe(0x2140);
  });

  it('translates lines and frame data', () => {
    for (const [rva, line, file] of LINES) {
      const found = info?.line(rva);
      expect([rva, found?.line, found?.file.endsWith(`\\${file}`)]).toEqual([rva, line, true]);
    }
    for (const [rva, params, saved, locals] of FRAMES) {
      const found = info?.frameRecord(rva);
      expect([rva, found?.paramsSize, found?.savedRegsSize, found?.localsSize]).toEqual([rva, params, saved, locals]);
    }
  });
});

describe('OMAP tables', () => {
  const table = (...pairs: number[]): Omap => new Omap(new Uint8Array(Uint32Array.from(pairs).buffer));

  it('translates within ranges, and knows removed ones', () => {
    const omap = table(0x1000, 0x5000, 0x1010, 0, 0x1020, 0x2000);
    expect(omap.translate(0xfff)).toBe(-1);
    expect(omap.translate(0x1000)).toBe(0x5000);
    expect(omap.translate(0x100f)).toBe(0x500f);
    expect(omap.translate(0x1010)).toBe(-1);
    expect(omap.translate(0x1025)).toBe(0x2005);
  });

  it('sorts a table that is out of order', () => {
    const omap = table(0x2000, 0x7000, 0x1000, 0x5000);
    expect(omap.translate(0x1001)).toBe(0x5001);
    expect(omap.translate(0x2001)).toBe(0x7001);
  });
});
