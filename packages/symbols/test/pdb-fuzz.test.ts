/** Damaged PDBs and images: only PdbError and PeError, one line each, nothing without end. `fuzz` takes larger counts. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BUILDS, build, canBuild } from './pdb-build.ts';
import { exercisePdb, exercisePe, fuzz } from './pdb-fuzz.ts';
import { sharedFiles } from './pdb-paths.ts';
import { Bytes, infoStream, record, recordStream, writeMsf7 } from './pdb-writer.ts';

const COUNT = Number(process.env['DUMPSCOPE_FUZZ'] ?? 60);
const SEED = Number(process.env['DUMPSCOPE_FUZZ_SEED'] ?? 1);

function run(paths: readonly string[], exercise: (bytes: Uint8Array) => unknown, count: number): void {
  const failures: string[] = [];
  const inputs = paths.map((path) => ({ name: path, bytes: new Uint8Array(readFileSync(path)) }));
  fuzz(inputs, exercise, count, SEED, (name, seed, error) => {
    failures.push(`${name} seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`);
  });
  expect(failures.slice(0, 3)).toEqual([]);
}

describe('damaged files', () => {
  it.skipIf(!canBuild())('built PDBs', () => {
    run(
      BUILDS.map((what) => build(what).pdb),
      exercisePdb,
      COUNT,
    );
  });

  it.skipIf(!canBuild())('built images', () => {
    run(
      BUILDS.map((what) => build(what).image),
      exercisePe,
      COUNT,
    );
  });

  const pdbs = sharedFiles(/syzygy-test_types.*\.pdb$|WriteArgument.*\.pdb$|xcpt4.*\.pdb$/);
  it.skipIf(pdbs.length === 0)('real PDBs', () => run(pdbs, exercisePdb, Math.ceil(COUNT / 6)));

  const images = sharedFiles(/syzygy-test.*\.dll$|xcpt4.*\.exe$/);
  it.skipIf(images.length === 0)('real images', () => run(images, exercisePe, COUNT));
});

describe('files made to hurt', () => {
  it('survives types that refer to each other without end', () => {
    const count = 4000;
    const types: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      // pointers to the next type and to itself, arrays of arrays, field lists that continue in each other, structures
      // that all share the longest list
      const next = 0x1000 + ((i + 1) % count);
      if (i % 4 === 0) types.push(record(0x1002, new Bytes().u32(next, 0x1000c)));
      else if (i % 4 === 1) types.push(record(0x1503, new Bytes().u32(next, 0x23).u16(0xff).sz('')));
      else if (i % 4 === 2) {
        const list = new Bytes();
        for (let k = 0; k < 40; k++)
          list
            .u16(0x150d, 3)
            .u32(0x1000 + ((i + k) % count))
            .u16(k)
            .sz(`m${k}`)
            .align(4, 0xf1);
        types.push(record(0x1203, list.u16(0x1404, 0).u32(0x1000 + ((i + 4) % count))));
      } else
        types.push(
          record(
            0x1505,
            new Bytes()
              .u16(1, 0)
              .u32(0x1002, 0, 0)
              .u16(8)
              .sz(`S${i % 50}`),
          ),
        );
    }
    const { bytes } = recordStream(types);
    const tpi = new Bytes()
      .u32(20040203, 56, 0x1000, 0x1000 + count, bytes.length)
      .u16(0xffff, 0xffff)
      .u32(4, 0x3ffff, 0, 0, 0, 0, 0, 0)
      .raw(bytes)
      .done();
    expect(exercisePdb(writeMsf7([null, infoStream({}, []), tpi, null], 4096))).toBe('read');
  });

  it('survives a module list that reads one stream over and over', () => {
    const symbols = new Bytes().u32(4);
    for (let i = 0; i < 2000; i++)
      symbols.raw(
        record(
          0x1110,
          new Bytes()
            .u32(0, 0, 0, 16, 0, 0, 0, i * 16)
            .u16(1)
            .u8(0)
            .sz(`f${i}`),
        ),
      );
    const modules = new Bytes();
    for (let i = 0; i < 3000; i++) {
      modules
        .u32(0)
        .u16(1, 0)
        .u32(0, 16, 0)
        .u16(i, 0)
        .u32(0, 0)
        .u16(0, 4)
        .u32(symbols.length, 0, 0)
        .u16(0, 0)
        .u32(0, 0, 0)
        .sz('m')
        .sz('')
        .align(4);
    }
    const dbi = new Bytes()
      .u32(0xffff_ffff, 19990903, 1)
      .u16(0xffff, 0, 0xffff, 0, 0xffff, 0)
      .u32(modules.length, 0, 0, 0, 0, 0, 0, 0)
      .u16(0, 0x8664)
      .u32(0)
      .raw(modules.done())
      .done();
    expect(exercisePdb(writeMsf7([null, infoStream({}, []), null, dbi, symbols.done()], 4096))).toBe('read');
  });
});
