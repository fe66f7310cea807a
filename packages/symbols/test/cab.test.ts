import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';
import { Cab, CabError, expandCab, isCab } from '@dumpscope/symbols';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CabInput, writeCab } from './cab-writer.ts';
import { compressLzx, type LzxBlock } from './lzx-writer.ts';

const shared = process.env['DUMPSCOPE_SHARED'] ?? fileURLToPath(new URL('../../../../shared', import.meta.url));
const pdbs = join(shared, 'symbols/pdb');
const havePdbs = existsSync(pdbs);
if (!havePdbs) console.log(`skipped: expanding a real .pd_ (no ${pdbs})`);

const has = (tool: string): boolean => spawnSync(tool, ['--help']).error === undefined;
interface Reader {
  readonly tool: string;
  args(cab: string, dir: string): string[];
}
const cabextract: Reader = { tool: 'cabextract', args: (cab, dir) => ['-q', '-d', dir, cab] };
const sevenZip: Reader = { tool: '7zz', args: (cab, dir) => ['x', '-y', `-o${dir}`, cab] };
const readers: readonly Reader[] = [cabextract, sevenZip];
const writer = 'gcab';
const absent = new Set([...readers.map((reader) => reader.tool), writer].filter((tool) => !has(tool)));
for (const tool of absent) console.log(`skipped: comparing cabinets with ${tool} (not installed)`);

/** What an independent program makes of the cabinet. */
function expandWith(reader: Reader, cab: Uint8Array): Uint8Array {
  const dir = mkdtempSync(join(tmpdir(), 'dumpscope-cab-'));
  writeFileSync(join(dir, 'in.cab'), cab);
  const result = spawnSync(reader.tool, reader.args(join(dir, 'in.cab'), join(dir, 'out')), { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${reader.tool}: ${result.stdout}${result.stderr}`);
  const [name] = readdirSync(join(dir, 'out'));
  return new Uint8Array(readFileSync(join(dir, 'out', name ?? '')));
}

/** Bytes with repetitions near and far, calls, and stretches that nothing resembles. */
function sample(size: number, seed: number): Uint8Array {
  const out = new Uint8Array(size);
  let state = seed >>> 0;
  const random = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  for (let at = 0; at < size; ) {
    const kind = random(10);
    const length = Math.min(size - at, 1 + random(kind === 9 ? 600 : 60));
    if (kind < 5 && at > 0) {
      const from = at - 1 - random(kind === 0 ? at : Math.min(at, 300));
      for (let i = 0; i < length; i++) out[at + i] = out[from + i] ?? 0;
    } else if (kind === 5 && length >= 5) {
      out[at] = 0xe8;
      new DataView(out.buffer).setInt32(at + 1, random(size * 2) - size, true);
    } else {
      for (let i = 0; i < length; i++) out[at + i] = kind === 8 ? random(256) : 0x60 + random(12);
    }
    at += length;
  }
  return out;
}

function lzxCab(data: Uint8Array, windowBits: number, blocks: readonly LzxBlock[], callSize = 0): Uint8Array {
  const frames = compressLzx(data, windowBits, blocks, callSize);
  return writeCab({
    files: [{ name: 'a.bin', size: data.length, offset: 0 }],
    method: (windowBits << 8) | 3,
    blocks: frames.map((frame, i) => ({ data: frame, size: Math.min(0x8000, data.length - i * 0x8000) })),
  });
}

function mszipCab(data: Uint8Array, more: Partial<CabInput> = {}): Uint8Array {
  const blocks = [];
  for (let at = 0; at < data.length; at += 0x8000) {
    const part = data.subarray(at, at + 0x8000);
    const dictionary = data.subarray(Math.max(0, at - 0x8000), at);
    const packed = deflateRawSync(part, dictionary.length > 0 ? { dictionary } : {});
    blocks.push({ data: Uint8Array.from([0x43, 0x4b, ...packed]), size: part.length });
  }
  return writeCab({ files: [{ name: 'a.bin', size: data.length, offset: 0 }], method: 1, blocks, ...more });
}

const whole = (type: LzxBlock['type']): LzxBlock[] => [{ type, size: 2 ** 24 - 1 }];
const mixed: LzxBlock[] = [
  { type: 'aligned', size: 1000 },
  { type: 'uncompressed', size: 777 },
  { type: 'uncompressed', size: 40_001 },
  { type: 'verbatim', size: 50_000 },
  { type: 'uncompressed', size: 2 },
  { type: 'aligned', size: 2 ** 24 - 1 },
];
const cases: [string, Uint8Array, number, LzxBlock[], number][] = [
  ['verbatim', sample(100_000, 1), 15, whole('verbatim'), 0],
  ['aligned', sample(150_000, 2), 16, whole('aligned'), 0],
  ['uncompressed', sample(70_001, 3), 17, whole('uncompressed'), 0],
  ['mixed', sample(200_000, 4), 18, mixed, 0],
  ['mixed with calls', sample(200_003, 5), 19, mixed, 200_003],
  ['a small size of calls', sample(100_000, 6), 20, whole('verbatim'), 12_345],
  ['a window of 2 MiB', sample(300_000, 7), 21, whole('aligned'), 0],
  ['one byte', Uint8Array.of(65), 15, whole('verbatim'), 0],
  ['one value', new Uint8Array(70_000).fill(7), 15, whole('aligned'), 0],
  ['exactly a frame', sample(0x8000, 8), 15, whole('verbatim'), 0],
];

describe.each(cases)('LZX, %s', (_, data, windowBits, blocks, callSize) => {
  const cab = lzxCab(data, windowBits, blocks, callSize);

  it('is expanded', () => {
    expect(isCab(cab)).toBe(true);
    const file = expandCab(cab);
    expect(file.name).toBe('a.bin');
    expect(Buffer.compare(file.bytes, data)).toBe(0);
  });

  for (const reader of readers) {
    it.skipIf(absent.has(reader.tool))(`${reader.tool} reads the same`, () => {
      expect(Buffer.compare(expandWith(reader, cab), data)).toBe(0);
    });
  }
});

describe('MSZIP and stored', () => {
  const data = sample(100_001, 9);

  const reserve = [5, 3, 7] as const;
  const forms: [string, Partial<CabInput>, readonly Reader[]][] = [
    ['plain', {}, readers],
    ['without checksums', { noChecksum: true }, readers],
    // The two do not agree on whether a checksum covers reserved bytes; we take either.
    ['with reserved areas', { reserve }, [cabextract]],
    ['with reserved areas in the checksums', { reserve, sumReserve: true }, [sevenZip]],
  ];
  for (const [what, more, used] of forms) {
    const cab = mszipCab(data, more);
    it(`is expanded, ${what}`, () => {
      expect(Buffer.compare(expandCab(cab).bytes, data)).toBe(0);
    });
    for (const reader of used) {
      it.skipIf(absent.has(reader.tool))(`${reader.tool} reads the same, ${what}`, () => {
        expect(Buffer.compare(expandWith(reader, cab), data)).toBe(0);
      });
    }
  }

  it('is expanded when stored', () => {
    const blocks = [0, 1, 2, 3].map((i) => data.subarray(i * 0x8000, (i + 1) * 0x8000));
    const stored = writeCab({
      files: [{ name: 'a.bin', size: data.length, offset: 0 }],
      method: 0,
      blocks: blocks.map((block) => ({ data: block, size: block.length })),
    });
    expect(Buffer.compare(expandCab(stored).bytes, data)).toBe(0);
  });

  it('gives each of several files, and the largest by default', () => {
    const files = [
      { name: 'small.txt', size: 10, offset: 0 },
      { name: 'large.pdb', size: 60_000, offset: 10 },
      { name: 'last.txt', size: 39_991, offset: 60_010 },
    ];
    const cab = new Cab(mszipCab(data, { files }));
    expect(cab.files.map((f) => f.name)).toEqual(files.map((f) => f.name));
    for (const file of cab.files) {
      expect(Buffer.compare(cab.extract(file), data.subarray(file.offset, file.offset + file.size))).toBe(0);
    }
    expect(expandCab(mszipCab(data, { files })).name).toBe('large.pdb');
  });

  it.skipIf(absent.has(writer))('reads what gcab writes', () => {
    const dir = mkdtempSync(join(tmpdir(), 'dumpscope-gcab-'));
    writeFileSync(join(dir, 'x.bin'), data);
    const made = spawnSync(writer, ['-c', '-z', join(dir, 'x.cab'), join(dir, 'x.bin')]);
    expect(made.status).toBe(0);
    expect(Buffer.compare(expandCab(new Uint8Array(readFileSync(join(dir, 'x.cab')))).bytes, data)).toBe(0);
  });

  it.skipIf(!havePdbs || absent.has('cabextract'))('expands a real .pd_ as cabextract does', () => {
    const packed = new Uint8Array(readFileSync(join(pdbs, 'dump_syms-basic32.pd_')));
    const file = expandCab(packed);
    expect(file.name).toMatch(/\.pdb$/i);
    expect(Buffer.from(file.bytes.subarray(0, 24)).toString('latin1')).toBe('Microsoft C/C++ MSF 7.00');
    expect(Buffer.compare(expandWith(cabextract, packed), file.bytes)).toBe(0);
  });
});

describe('what cannot be expanded is named', () => {
  const data = sample(70_000, 10);
  const good = mszipCab(data);
  const edit = (at: number, value: number): Uint8Array => {
    const out = good.slice();
    out[at] = value;
    return out;
  };
  const method = (n: number): Uint8Array => mszipCab(data, { method: n });

  it.each([
    ['nothing', new Uint8Array(0), /signature MSCF is missing/],
    ['SZDD', Uint8Array.from([0x53, 0x5a, 0x44, 0x44, 0x88, 0xf0]), /SZDD.*not supported/],
    ['a header alone', good.subarray(0, 20), /ends in its header/],
    ['QUANTUM', method(2 | (4 << 4) | (15 << 8)), /QUANTUM, which is not supported/],
    ['an unknown method', method(9), /unknown method 9/],
    ['an LZX window of 2^25', method(3 | (25 << 8)), /window of 2\^25/],
    ['a damaged block', edit(good.length - 100, (good[good.length - 100] ?? 0) ^ 1), /block 2 of 3 is damaged/],
    ['a cut cabinet', good.subarray(0, good.length - 10), /block 2 of 3 ends beyond the end/],
    ['no file', mszipCab(data, { files: [] }), /holds no file/],
    [
      'a file that goes on',
      mszipCab(data, { files: [{ name: 'a', size: 9, offset: 0, folder: 0xfffe }] }),
      /several cabinets/,
    ],
    [
      'a folder that is none',
      mszipCab(data, { files: [{ name: 'a', size: 9, offset: 0, folder: 4 }] }),
      /does not have/,
    ],
    [
      'a file beyond its folder',
      mszipCab(data, { files: [{ name: 'a', size: 80_000, offset: 0 }] }),
      /holds 70000 of the 80000/,
    ],
    ['a giant', mszipCab(data, { files: [{ name: 'a', size: 0xffff_ffff, offset: 0 }] }), /more than 268435456/],
  ])('%s', (_, bytes, message) => {
    expect(() => expandCab(bytes)).toThrow(CabError);
    expect(() => expandCab(bytes)).toThrow(message);
  });

  it('a block that expands to more than it says', () => {
    const packed = Uint8Array.from([0x43, 0x4b, ...deflateRawSync(data.subarray(0, 20_000))]);
    const cab = writeCab({
      files: [{ name: 'a', size: 10_000, offset: 0 }],
      method: 1,
      blocks: [{ data: packed, size: 10_000 }],
    });
    expect(() => expandCab(cab)).toThrow(/holds 10001 bytes instead of 10000/);
  });
});

it('never does anything but expand or say why not', () => {
  const data = sample(40_000, 11);
  const seeds = [
    mszipCab(data, { noChecksum: true }),
    writeCab({
      files: [{ name: 'a', size: data.length, offset: 0 }],
      method: (16 << 8) | 3,
      blocks: compressLzx(data, 16, mixed, 40_000).map((frame, i) => ({
        data: frame,
        size: Math.min(0x8000, data.length - i * 0x8000),
      })),
      noChecksum: true,
    }),
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      fc.boolean(),
      fc.nat(),
      (seed, edits, near, cut) => {
        const mutant = seed.slice(0, cut % 5 === 0 ? cut % (seed.length + 1) : seed.length);
        // Half of the edits hit the headers, the other half the compressed data.
        for (const [at, value] of edits)
          if (mutant.length > 0) mutant[at % (near ? Math.min(120, mutant.length) : mutant.length)] = value;
        try {
          expandCab(mutant, 1 << 24);
        } catch (error) {
          expect(error).toBeInstanceOf(CabError);
        }
      },
    ),
    { numRuns: 1500, seed: 20240707 },
  );
});
