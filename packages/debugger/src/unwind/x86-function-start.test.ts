import { type Va, va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { startsBefore } from './x86-function-start.ts';

const BASE = 0xf8c01000n;

function reader(hex: string): (at: Va, length: number) => Uint8Array | null {
  const bytes = new Uint8Array(
    hex
      .replaceAll(' ', '')
      .match(/../g)
      ?.map((byte) => Number.parseInt(byte, 16)) ?? [],
  );
  // Zeros before the code, as in the rest of a page.
  return (at, length) => {
    const from = Number(at - BASE);
    if (from + length > bytes.length) return null;
    return Uint8Array.from({ length }, (_, i) => bytes[from + i] ?? 0);
  };
}

describe('startsBefore', () => {
  it.each([
    ['ret and int3', '33c0c3 cccccccccc 56 8bf1 ff1500000000', 8],
    ['ret n and nops', '33c0c20400 90 8bff558bec ff1500000000', 6],
    ['a jump', '33c0 ebfc cc 558bec ff1500000000', 5],
    ['an import thunk', 'ff2500103e9a cccc 558bec ff1500000000', 8],
  ])('%s', (_, code, offset) => {
    const end = BASE + BigInt(code.replaceAll(' ', '').length / 2);
    expect(startsBefore(reader(code), end)[0]).toBe(va(BASE + BigInt(offset)));
  });
  it('padding inside a function is no border', () => {
    // The nops align a loop: the code before them goes on into it.
    const code = '33c0c3 cc 8bff 33c9 90909090 41 83f910 75f8 e800000000';
    const end = BASE + BigInt(code.replaceAll(' ', '').length / 2);
    expect(startsBefore(reader(code), end)).toEqual([va(BASE + 4n)]);
  });
  it('says nothing where no code can be read', () => {
    expect(startsBefore(() => null, BASE)).toEqual([]);
  });
});
