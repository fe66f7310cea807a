import { describe, expect, it } from 'vitest';
import { differingBit } from './bit-flips.ts';

describe('differingBit', () => {
  it('finds the one bit, and only where it is alone', () => {
    expect(differingBit(0xfff7c60914925de8n, 0xffffc60914925de8n)).toBe(51);
    expect(differingBit(0x2000n, 0n)).toBe(13);
    expect(differingBit(0x2800n, 0n)).toBeNull();
    expect(differingBit(7n, 7n)).toBeNull();
    expect(differingBit(0x8000000000000000n, 0n)).toBe(63);
  });
});
