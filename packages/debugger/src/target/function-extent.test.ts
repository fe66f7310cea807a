import { Memory } from '@dumpscope/core';
import { expect, it } from 'vitest';
import { SparseMemory } from '../../test/target-support.ts';
import { extentOf } from './function-extent.ts';

it('code that was separated from an x86 function has that function’s bounds and its own piece', () => {
  const symbol = (rva: number, size: number) => ({
    name: 'f',
    display: 'f',
    rva: rva as never,
    isFunction: true,
    size,
  });
  const module = {
    base: 0x80000000n,
    size: 0x10000,
    pdata: null,
    symbolOrigin: 'pdb-private',
    debugInfo: {
      symbols: {
        origin: 'pdb-private' as const,
        byName: () => undefined,
        nearest: (at: number) => (at >= 0x1000 ? symbol(0x1000, 0x80) : undefined),
        next: () => undefined,
        all: () => [],
      },
      separatedCode: (at: number) =>
        at >= 0x5000 && at < 0x5020
          ? { begin: 0x5000, end: 0x5020, functionStart: 0x1000, functionEnd: 0x1080 }
          : undefined,
    },
  };
  const view = { arch: 'x86' as const, memory: new Memory(new SparseMemory(4)) };
  expect(extentOf(module, view, 0x5010)).toEqual({
    start: 0x1000,
    end: 0x1080,
    from: 'symbol',
    piece: { begin: 0x5000, end: 0x5020 },
  });
  expect(extentOf(module, view, 0x1010)).toEqual({ start: 0x1000, end: 0x1080, from: 'symbol', piece: null });
  expect(extentOf(module, view, 0x5020)).toBeNull();
});
