import type { ByteSource } from '@dumpscope/core';
import { bytesSource } from '@dumpscope/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Msf, openPdb, PdbError } from '../src/pdb/index.ts';
import {
  Bytes,
  gsiHash,
  infoStream,
  publicsStream,
  randomOf,
  record,
  recordStream,
  sectionHeaders,
  writeMsf2,
  writeMsf7,
} from './pdb-writer.ts';

function randomBytes(length: number, seed: number): Uint8Array {
  const random = randomOf(seed + 1);
  return Uint8Array.from({ length }, () => random(256));
}

describe('MSF', () => {
  const sizes = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40_000 })), { minLength: 1, maxLength: 8 });
  const blockSize = fc.constantFrom(512, 1024, 2048, 4096, 8192, 16384, 32768);

  it('gives back every stream as it was written, whole and in pieces, in both formats', () => {
    fc.assert(
      fc.property(sizes, blockSize, fc.boolean(), fc.nat(), (lengths, block, isOld, seed) => {
        const streams = lengths.map((length, i) => randomBytes(length, seed + i));
        // 2.00 has 16-bit block numbers and its header holds the list of the directory's blocks.
        const bytes = isOld ? writeMsf2(streams, block, seed) : writeMsf7(streams, block, seed);
        const msf = new Msf(bytesSource(bytes));
        expect([msf.format, msf.blockSize, msf.streamCount]).toEqual([isOld ? '2.00' : '7.00', block, streams.length]);
        const random = randomOf(seed + 99);
        streams.forEach((stream, i) => {
          const read = msf.stream(i);
          expect(read.length).toBe(stream.length);
          for (let k = 0; k < 6; k++) {
            const at = random(stream.length + 1);
            const length = random(stream.length - at + 1);
            expect(Buffer.compare(read.bytes(at, length), stream.subarray(at, at + length))).toBe(0);
          }
          expect(Buffer.compare(read.all(), stream)).toBe(0);
          expect(() => read.bytes(0, stream.length + 1)).toThrow(PdbError);
          expect(() => read.bytes(-1, 1)).toThrow(PdbError);
        });
      }),
      { numRuns: 60, seed: 5 },
    );
  });

  it('reads a directory of many blocks', () => {
    const streams = Array.from({ length: 3000 }, (_, i) => randomBytes(i % 700, i));
    const msf = new Msf(bytesSource(writeMsf7(streams, 512, 3)));
    for (const i of [0, 1, 699, 1500, 2999]) expect(msf.stream(i).all()).toEqual(streams[i]);
  });

  it('refuses a stream that a cut file lacks, and keeps the others', () => {
    const streams = [randomBytes(2000, 1), randomBytes(2000, 2)];
    const bytes = writeMsf7(streams, 512, 0);
    // Streams come first in the file, the directory last: cut the streams out of the middle by zeroing is no cut, so
    // point a block of stream 1 beyond the end.
    const msf = new Msf(bytesSource(bytes));
    expect(msf.stream(1).all()).toEqual(streams[1]);
    const short = new Msf({ size: bytes.length, name: 'cut', read: cutAt(bytes, 512 * 6) });
    expect(() => short.stream(1).all()).toThrow(/block \d+ of PDB stream 1 lies beyond the end of the file/);
  });
});

/** Reads nothing of the blocks from `from` on but the directory at the end. */
function cutAt(bytes: Uint8Array, from: number): ByteSource['read'] {
  const source = bytesSource(bytes);
  return (offset, into, at, length) => {
    if (offset >= from && offset < from + 512 * 2) return 0;
    return source.read(offset, into, at, length);
  };
}

describe('files that are no PDB', () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ['empty', new Uint8Array(0), /empty/],
    ['portable', Buffer.from('BSJB\x01\0\x01\0'), /portable PDB/],
    ['compressed', Buffer.from('Microsoft MSFZ Container\r\n\x1aALD\0\0'.padEnd(80, '\0'), 'latin1'), /MSFZ/],
    ['cabinet', Buffer.from('MSCF\0\0\0\0'), /cabinet/],
    ['image', Buffer.from('MZ\x90\0'), /PE image/],
    ['debug file', Buffer.from('DI\0\0'), /\.dbg/],
    ['garbage', randomBytes(5000, 4), /no MSF signature/],
    ['magic only', Buffer.from('Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0', 'latin1'), /no MSF signature/],
    [
      'zero block size',
      Buffer.from('Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0'.padEnd(200, '\0'), 'latin1'),
      /block size 0/,
    ],
  ];
  it.each(cases)('%s', (_, bytes, message) => {
    let error: unknown;
    try {
      openPdb(bytesSource(bytes, 'some/file.pdb'));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(PdbError);
    expect((error as PdbError).message).toMatch(message);
    expect((error as PdbError).message).toMatch(/^some\/file\.pdb: [^\n]+$/);
  });

  it('refuses a directory that lets streams share blocks', () => {
    const bytes = writeMsf7([new Uint8Array(512), new Uint8Array(512)], 512, 1);
    const huge = new Bytes().u32(0xf000_0000).done();
    const msf = new Msf(bytesSource(bytes));
    expect(msf.streamSize(1)).toBe(512);
    // The size of stream 0, the second word of the directory, which is in the last block but one.
    const at = bytes.length - 2 * 512 + 4;
    const damaged = bytes.slice();
    damaged.set(huge, at);
    expect(() => new Msf(bytesSource(damaged))).toThrow(PdbError);
  });
});

describe('one public name of a large PDB', () => {
  it('costs a few blocks', () => {
    const count = 20_000;
    const names = Array.from({ length: count }, (_, i) => `KiFunctionOfSomeLength${i}`);
    const records = recordStream(
      names.map((name, i) =>
        record(
          0x110e,
          new Bytes()
            .u32(2, i * 16)
            .u16(1)
            .sz(name),
        ),
      ),
    );
    const hash = gsiHash(names.map((name, i) => ({ name, offset: records.offsets[i] ?? 0 })));
    const debug = new Bytes().u16(0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 6).done();
    const dbi = new Bytes()
      .u32(0xffff_ffff, 19990903, 1)
      .u16(0xffff, 0, 5, 0, 4, 0)
      .u32(0, 0, 0, 0, 0, 0, debug.length, 0)
      .u16(0, 0x8664)
      .u32(0)
      .raw(debug)
      .done();
    const streams = [
      null,
      infoStream({}, []),
      null,
      dbi,
      records.bytes,
      publicsStream(hash, records.offsets),
      sectionHeaders([['.text', 0x1000, count * 16]]),
      randomBytes(6_000_000, 9),
    ];
    const bytes = writeMsf7(streams, 4096, 2);
    const inner = bytesSource(bytes, 'big.pdb');
    let read = 0;
    const counting: ByteSource = {
      size: inner.size,
      name: inner.name,
      read(offset, into, at, length) {
        read += length;
        return inner.read(offset, into, at, length);
      },
    };
    const pdb = openPdb(counting);
    expect(pdb.publics.byName('KiFunctionOfSomeLength12345')?.rva).toBe(0x1000 + 12345 * 16);
    expect(bytes.length).toBeGreaterThan(7_000_000);
    expect(read).toBeLessThan(bytes.length / 50);
  });
});
