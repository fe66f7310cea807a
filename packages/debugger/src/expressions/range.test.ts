import { describe, expect, it } from 'vitest';
import { fakeScope } from '../../test/fake-scope.ts';
import { CommandError } from '../commands/command.ts';
import { parseRange } from './range.ts';
import { compileWildcard, matchWildcard } from './wildcard.ts';

const x86 = fakeScope({ pointerSize: 4, registers: { eax: [0xa07be200n, 4] }, symbols: { Lock: 0x900n } });

function range(text: string, size = 4): string {
  const r = parseRange(text, x86, { size, defaultCount: 32 });
  return `${r.address.toString(16)} ${r.count}${text.slice(r.end) === '' ? '' : ` | ${text.slice(r.end)}`}`;
}

describe('address ranges (expressions.md §5)', () => {
  it.each([
    ['eax+4 l1', 'a07be204 1'],
    ['eax', 'a07be200 32'],
    ['1000 L 10', '1000 16'],
    ['1000 L0n10', '1000 10'],
    ['1000 L?20000000', '1000 536870912'],
    ['1000 100f', '1000 4'],
    ['1000 1003', '1000 1'],
    ['800 Lock', '800 65'],
    ['%1000 L1', '1000 1'],
    ['ds:1000 L1', '1000 1'],
    ['&100:10 L1', '1010 1'],
    ['1000 L1 "x"', '1000 1 |  "x"'],
  ])('%s', (text, expected) => {
    const scope = { ...x86, register: (n: string) => (n === 'ds' ? { value: 0x23n, size: 2 } : x86.register(n)) };
    const r = parseRange(text, scope, { size: 4, defaultCount: 32 });
    expect(`${r.address.toString(16)} ${r.count}${text.slice(r.end) === '' ? '' : ` | ${text.slice(r.end)}`}`).toBe(
      expected,
    );
  });

  it('L-n ends at the address (80000000 L-20 = 7fffffe0..7fffffff)', () => {
    expect(range('80000000 L-20', 1)).toBe('7fffffe0 32');
  });

  it.each(['1000 L80000000', '1000 900', '1000 L20000000'])('refuses %s', (text) => {
    expect(() => range(text)).toThrow(CommandError);
    expect(() => range(text)).toThrow('Range error');
  });
});

describe('wildcards (expressions.md §6)', () => {
  it.each([
    ['*spin*', 'KeAcquireInStackQueuedSpinLock', true],
    ['k?', 'kv', true],
    ['k?', 'k', false],
    ['[a-c]x', 'Bx', true],
    ['[a-c]x', 'dx', false],
    ['ab#c', 'ac', true],
    ['ab#c', 'abbbc', true],
    ['ab+c', 'ac', false],
    ['ab+c', 'abbc', true],
    ['a\\*', 'a*', true],
    ['a\\*', 'ab', false],
    ['*', '', true],
  ])('%s against %s', (pattern, text, expected) => expect(matchWildcard(pattern, text)).toBe(expected));

  it('lets a leading underscore of a symbol pattern match any count', () => {
    const match = compileWildcard('_foo', { symbol: true });
    expect([match('foo'), match('__foo'), match('xfoo')]).toEqual([true, true, false]);
  });

  it('does not blow up on stars', () => {
    expect(matchWildcard('*a'.repeat(60), `${'a'.repeat(2000)}b`)).toBe(false);
  });
});
