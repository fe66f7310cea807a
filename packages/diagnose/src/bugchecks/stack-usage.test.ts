import { va } from '@dumpscope/core';
import type { Frame, Target } from '@dumpscope/debugger';
import { describe, expect, it } from 'vitest';
import { recursionOf } from './stack-usage.ts';

const target = { nameOf: (address: bigint) => ({ text: `f${address}` }) } as unknown as Target;

function frames(pcs: readonly number[]): Frame[] {
  return pcs.map((pc, index) => ({ index, pc: va(pc) }) as unknown as Frame);
}

describe('recursionOf', () => {
  it('finds the round of a mutual recursion behind other frames', () => {
    const found = recursionOf(target, frames([9, 8, ...Array(6).fill([1, 2, 3]).flat(), 7]));
    expect(found).toMatchObject({ round: ['f1', 'f2', 'f3'], times: 6 });
  });

  it('does not call three rounds a recursion, nor a deep stack of different calls', () => {
    expect(recursionOf(target, frames([1, 1, 1, 2]))).toBeNull();
    expect(recursionOf(target, frames(Array.from({ length: 200 }, (_, i) => i)))).toBeNull();
  });
});
