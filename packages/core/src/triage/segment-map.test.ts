import fc from 'fast-check';
import { expect, it } from 'vitest';
import { va } from '../brands.ts';
import { bytesSource } from '../byte-source.ts';
import { BlockCache } from '../cache/block-cache.ts';
import { OverlayMemory } from './overlay-memory.ts';

const base = 0xffff_f800_ffff_ffd0n; // the pieces cross a 4 GiB border
const region = fc.record({ at: fc.nat(60), offset: fc.integer({ min: 0, max: 120 }), size: fc.nat(20) });

it('reads what painting the regions in reverse order shows, and stops at the first missing byte', () => {
  const file = Uint8Array.from({ length: 128 }, (_, i) => i + 1);
  fc.assert(
    fc.property(fc.array(region, { maxLength: 10 }), fc.nat(80), fc.nat(60), (regions, from, length) => {
      const painted = new Map<number, number>();
      for (const r of [...regions].reverse()) {
        for (let i = 0; i < r.size; i++) painted.set(r.at + i, r.offset + i);
      }
      const parts = regions.map((r) => ({ address: base + BigInt(r.at), offset: r.offset, size: r.size }));
      const memory = new OverlayMemory(new BlockCache(bytesSource(file)), 8, parts.slice(0, 5));
      for (const part of parts.slice(5)) memory.add(part);
      const into = new Uint8Array(length);
      const got = memory.readInto(va(base + BigInt(from)), into);
      const expected: number[] = [];
      for (let i = from; expected.length < length; i++) {
        const byte = file[painted.get(i) ?? -1];
        if (byte === undefined) break;
        expected.push(byte);
      }
      expect([...into.subarray(0, got)]).toEqual(expected);
      const gap = memory.gapAt(va(base + BigInt(from + got)));
      const missing = painted.get(from + got);
      if (got === length && missing !== undefined && missing < file.length) expect(gap).toBe(null);
      else if (missing === undefined) expect(gap?.reason.kind).toBe('not-in-dump');
      else expect(gap?.reason).toEqual({ kind: 'truncated', offset: missing });
    }),
    { numRuns: 500 },
  );
});
