import { describe, expect, it } from 'vitest';
import { accessOf, faultShape } from './fault-shapes.ts';

describe('accessOf', () => {
  it.each([
    [0xd1, 0n, 'read'],
    [0xd1, 1n, 'write'],
    [0xd1, 2n, 'execute'],
    [0xd1, 8n, 'execute'],
    [0x50, 2n, 'write'],
    [0x50, 0x10n, 'execute'],
    [0x0a, 8n, 'execute'],
    [0x50, 0x44n, null],
  ] as const)('%x with %d: %s', (code, value, access) => {
    expect(accessOf(code, value)).toBe(access);
  });
});

describe('faultShape', () => {
  it('describes faults only', () => {
    for (const code of [0x0a, 0xd1, 0x50, 0x1e, 0x3b, 0x7e, 0x8e]) expect(faultShape(code)).not.toBeNull();
    for (const code of [0xe2, 0x161, 0x133, 0x101, 0x139, 0xef]) expect(faultShape(code)).toBeNull();
  });
});
