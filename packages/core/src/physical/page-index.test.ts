import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bytesSource } from '../byte-source.ts';
import { BlockCache } from '../cache/block-cache.ts';
import { popcount, RankBitmap } from './rank-bitmap.ts';
import { RunTable, RunTableBuilder } from './run-table.ts';

function bitmap(bytes: Uint8Array, offset: number, bits: number): RankBitmap {
  return new RankBitmap(new BlockCache(bytesSource(bytes)), offset, bits);
}

it('counts bits', () => {
  fc.assert(
    fc.property(fc.integer(), (value) => {
      expect(popcount(value)).toBe([...(value >>> 0).toString(2)].filter((digit) => digit === '1').length);
    }),
  );
});

it('ranks every bit as counting does, at any offset and length', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 400 }),
      fc.nat(20),
      fc.nat(7),
      fc.nat(100),
      (bits, offset, tail, missing) => {
        const count = Math.max(1, bits.length * 8 - tail);
        const file = new Uint8Array(offset + bits.length);
        file.set(bits, offset);
        const cut = file.subarray(0, Math.max(offset, file.length - missing));
        const index = bitmap(cut, offset, count);
        let rank = 0;
        const expected = Array.from({ length: count }, (_, pfn) => {
          const at = offset + (pfn >> 3);
          return at < cut.length && (((cut[at] as number) >> (pfn & 7)) & 1) === 1 ? rank++ : -1;
        });
        expect(expected.map((_, pfn) => index.ordinal(pfn))).toEqual(expected);
        expect(index.pageCount).toBe(rank);
        expect(index.ordinal(count)).toBe(-1);
        expect(index.ordinal(-1)).toBe(-1);
        expect(index.ordinal(2 ** 45)).toBe(-1);
      },
    ),
    { numRuns: 60 },
  );
});

it('ranks a bitmap that is too large to stay in memory', () => {
  const bytes = new Uint8Array(5 * 1024 * 1024 + 7);
  const set = new Set<number>();
  for (let i = 0; i < 5000; i++) set.add((i * 7_919_777) % (bytes.length * 8));
  for (const pfn of set) bytes[pfn >> 3] = (bytes[pfn >> 3] as number) | (1 << (pfn & 7));
  const index = bitmap(bytes, 0, bytes.length * 8);
  expect(index.pageCount).toBe(set.size);
  const sorted = [...set].sort((a, b) => a - b);
  expect(sorted.map((pfn) => index.ordinal(pfn))).toEqual(sorted.map((_, rank) => rank));
  expect(sorted.filter((pfn) => !set.has(pfn + 1) && index.ordinal(pfn + 1) !== -1)).toEqual([]);
});

const run = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 12 }));

it('finds pages of runs as a search in file order does', () => {
  fc.assert(
    fc.property(fc.array(run, { maxLength: 12 }), fc.boolean(), (runs, sorted) => {
      if (sorted) runs.sort((a, b) => a[0] - b[0]);
      const table = new RunTable(
        Float64Array.from(runs, ([base]) => base),
        Float64Array.from(runs, ([, count]) => count),
      );
      const first = new Map<number, number>();
      let ordinal = 0;
      for (const [base, count] of runs) {
        for (let i = 0; i < count; i++, ordinal++) if (!first.has(base + i)) first.set(base + i, ordinal);
      }
      expect(table.pageCount).toBe(ordinal);
      expect(table.overlapping).toBe(first.size < ordinal);
      const pages = Array.from({ length: 82 }, (_, i) => i - 1);
      expect(pages.map((pfn) => table.ordinal(pfn))).toEqual(pages.map((pfn) => first.get(pfn) ?? -1));
      expect(table.ordinal(Number.NaN)).toBe(-1);
    }),
    { numRuns: 500 },
  );
});

it('builds tables of any length, and knows whether runs came in order', () => {
  const builder = new RunTableBuilder();
  for (let i = 0; i < 1000; i++) builder.add(i * 3, 2);
  expect(builder.sorted).toBe(true);
  expect(builder.build().ordinal(2998)).toBe(1999);
  builder.add(5, 1);
  expect(builder.sorted).toBe(false);
  expect(builder.build().ordinal(5)).toBe(2000);
  builder.truncate(1000);
  expect(builder.build().ordinal(5)).toBe(-1);
});
