import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bytesSource } from '../byte-source.ts';
import { BlockCache } from './block-cache.ts';

function pattern(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

it('reads the same as the source, whatever budget and block size', () => {
  const bytes = pattern(50_001);
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 40_000 }),
      fc.constantFrom(4096, 8192, 65536),
      fc.array(fc.tuple(fc.integer({ min: -10, max: 60_000 }), fc.integer({ min: 0, max: 40_000 })), { maxLength: 30 }),
      (cacheBytes, blockSize, reads) => {
        const cache = new BlockCache(bytesSource(bytes), { cacheBytes, blockSize });
        for (const [offset, length] of reads) {
          const into = new Uint8Array(length + 2).fill(0xaa);
          const got = cache.read(offset, into, 1, length);
          const expected = offset < 0 ? new Uint8Array(0) : bytes.subarray(offset, offset + length);
          expect(got).toBe(expected.length);
          expect(same(into.subarray(1, 1 + got), expected)).toBe(true);
          expect(into[0]).toBe(0xaa);
          expect(into[1 + got]).toBe(0xaa);
          expect(cache.u32(offset)).toBe(
            offset < 0 || offset + 4 > bytes.length ? -1 : new DataView(bytes.buffer).getUint32(offset, true),
          );
          expect(cache.heldBytes).toBeLessThanOrEqual(Math.max(cacheBytes, 8192));
        }
      },
    ),
    { numRuns: 200 },
  );
});

it('asks the source once for what stays in the budget, and keeps the recently used', () => {
  const inner = bytesSource(pattern(16 * 4096));
  const asked: number[] = [];
  const cache = new BlockCache(
    {
      size: inner.size,
      name: 'counted',
      read(offset, into, at, length) {
        asked.push(offset / 4096);
        return inner.read(offset, into, at, length);
      },
    },
    { cacheBytes: 4 * 4096, blockSize: 4096 },
  );
  const touch = (block: number): number => cache.read(block * 4096 + 5, new Uint8Array(10), 0, 10);
  for (const block of [0, 1, 2, 3, 0, 4, 0, 5, 0]) touch(block);
  expect(asked).toEqual([0, 1, 2, 3, 4, 5]);
  touch(1); // went out for 4 or 5
  expect(asked).toEqual([0, 1, 2, 3, 4, 5, 1]);
  expect(cache.heldBytes).toBe(4 * 4096);
});

it('survives a source that throws: the block is asked for again', () => {
  let broken = true;
  const inner = bytesSource(pattern(8192));
  const cache = new BlockCache({
    size: inner.size,
    name: 'flaky',
    read(offset, into, at, length) {
      if (broken) throw new Error('I/O');
      return inner.read(offset, into, at, length);
    },
  });
  expect(() => cache.u32(4)).toThrow('I/O');
  broken = false;
  expect(cache.u32(4)).toBe(new DataView(pattern(8).buffer).getUint32(4, true));
});

it('never returns more than the source has, though its size promises more', () => {
  const inner = bytesSource(pattern(5000));
  const cache = new BlockCache({ size: 9000, name: 'shrunk', read: inner.read });
  expect(cache.read(4990, new Uint8Array(100), 0, 100)).toBe(10);
  expect(cache.read(6000, new Uint8Array(100), 0, 100)).toBe(0);
  expect(cache.u32(4998)).toBe(-1);
});
