import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeScope } from '../../test/fake-scope.ts';
import { CommandError } from '../commands/command.ts';
import { evaluateMasm, evaluateWholeMasm } from './masm.ts';
import { MASM_PRECEDENCE } from './masm-operators.ts';

const MASK = (1n << 64n) - 1n;
const scope = fakeScope({
  registers: { rax: [0x1234n, 8], eax: [0x8000_0001n, 4], ah: [3n, 1], r8: [0x77n, 8], efl: [0x202n, 4] },
  pseudo: { $ip: 0xfffff80012345678n, $t0: 0x80000000n, $thread: 0xffffe00000001000n },
  symbols: { 'nt!KeBugCheckEx': 0xfffff80000001000n, beef: 0x99n, nt: 0xfffff80000000000n, 'a!b::c': 40n },
  memory: new Map([[0x1000n, Uint8Array.of(0x78, 0x56, 0x34, 0x12, 0xf0, 0xde, 0xbc, 0x9a)]]),
});
const value = (text: string, s = scope): bigint => evaluateWholeMasm(text, s);
const error = (text: string, s = scope): string => {
  try {
    evaluateWholeMasm(text, s);
  } catch (e) {
    if (e instanceof CommandError) return e.message;
    throw e;
  }
  return 'no error';
};

describe('MASM numbers (expressions.md §2)', () => {
  it.each([
    ['a', 10n],
    ['0xa', 10n],
    ['0x', 0n],
    ['0n10', 10n],
    ['0t10', 8n],
    ['0y10', 2n],
    ['ah', 10n],
    ['4AB3h', 0x4ab3n],
    ['@ah', 3n],
    // An unbackticked 80000000..ffffffff is sign-extended in kernel mode, leading zeros or not.
    ['fffff880', 0xfffffffffffff880n],
    ['00000000EEAA1122', 0xffffffffeeaa1122n],
    ['0`fffff880', 0xfffff880n],
    ['fffff800`12345678', 0xfffff80012345678n],
    ['0x0`FFFFFFFF & fffff880', 0xfffff880n],
    ['7fffffff+1', 0x80000000n],
  ])('%s', (text, expected) => expect(value(text)).toBe(expected));

  it('follows the default radix', () => {
    expect(value('10', fakeScope({ radix: 10 }))).toBe(10n);
    expect(value('10', fakeScope({ radix: 8 }))).toBe(8n);
    expect(error('9', fakeScope({ radix: 8 }))).toBe("Couldn't resolve error at '9'");
  });
});

describe('MASM operators', () => {
  it.each([
    ['1 + 2 * 3 + 4', 11n],
    ['(1+1) * 2', 4n],
    ['--1', 1n],
    ['+-1', MASK],
    ['not 0', 1n],
    ['not 5', 0n],
    ['hi 12345678', 0x1234n],
    ['low 12345678', 0x5678n],
    ['7 mod 3', 1n],
    ['7 % 3', 1n],
    ['2 and 6', 2n],
    ['1 or 2', 3n],
    ['5 xor 1', 4n],
    ['1 = 1', 1n],
    ['1 != 1', 0n],
    ['-1 > 1', 1n], // all arithmetic is ULONG64
    ['-8 >> 1', (MASK - 7n) >> 1n],
    ['-8 >>> 1', MASK - 3n],
    ['-8 / 2', (MASK - 7n) / 2n],
    ['1 << 3f', 1n << 63n],
    ['by 1000', 0x78n],
    ['wo(1000)', 0x5678n],
    ['dwo 1000', 0x12345678n],
    ['qwo 1000', 0x9abcdef012345678n],
    ['poi 1000+8', 0x9abcdef012345680n],
    ['poi(1000+0)+8', 0x9abcdef012345680n],
    ['$pdwo 1000', 0x12345678n],
    ['1 or 2 xor 3 and 1', 1n | (2n ^ (3n & 1n))],
    ['$scmp("a", "b")', MASK],
    ['$sicmp("A", "a")', 0n],
    ['$spat("KeBugCheckEx", "ke*ex")', 1n],
    ['$vvalid(1000, 8)', 1n],
    ['$vvalid(1001, 8)', 0n],
    ['$fnsucc(nt, 0, 1)', 1n],
    ['@@c++(010 + 1)', 9n],
    ['@@(8) + @@masm(10)', 24n],
    ['@@c++(@@(10) + 1)', 17n],
    ['.', 0xfffff80012345678n],
    ['.+8', 0xfffff80012345680n],
  ])('%s', (text, expected) => expect(value(text)).toBe(expected));

  it('sign-extends 32-bit registers and pointers of 32-bit targets, not pseudo-registers', () => {
    expect(value('eax')).toBe(0xffffffff80000001n);
    expect(value('@$t0')).toBe(0x80000000n);
    const x86 = fakeScope({
      pointerSize: 4,
      symbols: { hal: 0x806e2000n },
      memory: new Map([[0xf0n, Uint8Array.of(0, 0, 0, 0xff)]]),
    });
    expect(value('hal', x86)).toBe(0xffffffff806e2000n);
    expect(value('poi f0', x86)).toBe(0xffffffffff000000n);
    expect(value('dwo f0', x86)).toBe(0xff000000n);
  });

  it('resolves registers, numbers and symbols in the documented order', () => {
    expect(value('beef')).toBe(0xbeefn);
    expect(value('!beef')).toBe(0x99n);
    expect(value('@r8')).toBe(0x77n);
    expect(value('r8')).toBe(0x77n);
    expect(value('nt!KeBugCheckEx+10')).toBe(0xfffff80000001010n);
    expect(value('a!b::c')).toBe(40n);
    expect(value('@!"nt!KeBugCheckEx"')).toBe(0xfffff80000001000n);
  });

  it('stops where an expression ends', () => {
    const text = 'rax+4 l1';
    const { value: v, end } = evaluateMasm(text, scope);
    expect(v).toBe(0x1238n);
    expect(text.slice(end)).toBe(' l1');
  });
});

describe('MASM errors, spelled as in transcripts', () => {
  it.each([
    ['foo', "Couldn't resolve error at 'foo'"],
    ['1 + nt!nope + 2', "Couldn't resolve error at 'nt!nope + 2'"],
    ['!1', "Couldn't resolve error at '!1'"],
    ['`1', "Syntax error at '`1'"],
    ['1+', "Numeric expression missing from '<EOL>'"],
    ['1*', "Numeric expression missing from '<EOL>'"],
    ['*1', "Numeric expression missing from '*1'"],
    ['1 && 2', "Numeric expression missing from '& 2'"],
    ['', "Numeric expression missing from '<EOL>'"],
    ['@foo', "Bad register error at '@foo'"],
    ['poi 1', "Memory access error at '1'"],
    ['poi(1)', "Memory access error at ')'"],
    ['dwo(@$t0) == 0x100', "Memory access error at ') == 0x100'"],
    ['(1+1', "Syntax error at '<EOL>'"],
    ['1/0', "Operand error at '0'"],
    ['12345678123456781', "Overflow error at '12345678123456781'"],
    ['1 2', "Syntax error at '2'"],
    ['$scmp("a")', 'Syntax error at \'$scmp("a")\''],
  ])('%s', (text, expected) => expect(error(text)).toBe(expected));
});

type Node =
  | { kind: 'number'; value: bigint }
  | { kind: 'unary'; op: '-' | '+' | 'not' | 'hi' | 'low'; of: Node }
  | { kind: 'binary'; op: string; left: Node; right: Node };

const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ kind: fc.constant('number' as const), value: fc.bigInt({ min: 0n, max: MASK }) }),
    fc.record({
      kind: fc.constant('unary' as const),
      op: fc.constantFrom('-', '+', 'not', 'hi', 'low'),
      of: tie('node'),
    }),
    fc.record({
      kind: fc.constant('binary' as const),
      op: fc.constantFrom(...MASM_PRECEDENCE.keys()),
      left: tie('node'),
      right: tie('node'),
    }),
  ) as fc.Arbitrary<Node>,
}));

/** Reference semantics, written apart from the evaluator: recursive over the tree, BigInt.asUintN at the end. */
function reference(n: Node): bigint | 'error' {
  const u = (x: bigint): bigint => ((x % (1n << 64n)) + (1n << 64n)) % (1n << 64n);
  if (n.kind === 'number') return n.value;
  if (n.kind === 'unary') {
    const v = reference(n.of);
    if (v === 'error') return v;
    return { '-': u(-v), '+': v, not: v === 0n ? 1n : 0n, hi: (v / 65536n) % 65536n, low: v % 65536n }[n.op];
  }
  const a = reference(n.left);
  const b = reference(n.right);
  if (a === 'error' || b === 'error') return 'error';
  const signed = a >= 1n << 63n ? a - (1n << 64n) : a;
  switch (n.op) {
    case '*':
      return u(a * b);
    case '/':
      return b === 0n ? 'error' : a / b;
    case '%':
    case 'mod':
      return b === 0n ? 'error' : a % b;
    case '+':
      return u(a + b);
    case '-':
      return u(a - b);
    case '<<':
      return b > 63n ? 0n : u(a * 2n ** b);
    case '>>':
      return b > 63n ? 0n : a / 2n ** b;
    case '>>>':
      return u(b > 63n ? (signed < 0n ? -1n : 0n) : (signed - (((signed % 2n ** b) + 2n ** b) % 2n ** b)) / 2n ** b);
    case '=':
    case '==':
      return a === b ? 1n : 0n;
    case '!=':
      return a === b ? 0n : 1n;
    case '<':
      return a < b ? 1n : 0n;
    case '>':
      return a > b ? 1n : 0n;
    case '<=':
      return a > b ? 0n : 1n;
    case '>=':
      return a < b ? 0n : 1n;
    case 'and':
    case '&':
      return a & b;
    case 'xor':
    case '^':
      return a ^ b;
    default:
      return a | b;
  }
}

const LEVELS: Record<string, number> = {
  '*': 1,
  '/': 1,
  '%': 1,
  mod: 1,
  '+': 2,
  '-': 2,
  '<<': 3,
  '>>': 3,
  '>>>': 3,
  '=': 4,
  '==': 4,
  '!=': 4,
  '<': 4,
  '>': 4,
  '<=': 4,
  '>=': 4,
  and: 5,
  '&': 5,
  xor: 6,
  '^': 6,
  or: 7,
  '|': 7,
};

/** Text with only the parentheses that precedence and left association need. */
function print(n: Node, level = 9, rightSide = false): string {
  if (n.kind === 'number') return `0\`${n.value.toString(16)}`;
  if (n.kind === 'unary') return `${n.op} ${print(n.of, 0)}`;
  const own = LEVELS[n.op] as number;
  const body = `${print(n.left, own)} ${n.op} ${print(n.right, own, true)}`;
  return own > level || (own === level && rightSide) ? `(${body})` : body;
}

describe('MASM properties', () => {
  it('agrees with the reference evaluation', () => {
    fc.assert(
      fc.property(node, (n) => {
        const expected = reference(n);
        const text = print(n);
        if (expected === 'error') expect(error(text)).toMatch(/^Operand error at '/);
        else expect(value(text)).toBe(expected);
      }),
      { numRuns: 3000, seed: 1 },
    );
  });

  it('ends in a value or a CommandError on any text', () => {
    const alphabet = fc.constantFrom(
      ...'01afhx`@$!.()+-*/<>=&|^%,"\' :L?[]',
      'poi',
      ' not ',
      'nt!',
      '@@c++(',
      '@@(',
      '$scmp(',
      'rax',
    );
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 40 }), (parts) => {
        try {
          evaluateMasm(parts.join(''), scope);
        } catch (e) {
          expect(e).toBeInstanceOf(CommandError);
        }
      }),
      { numRuns: 4000, seed: 2 },
    );
  });

  it('needs no call depth for nesting', () => {
    const n = 100_000;
    expect(value(`${'('.repeat(n)}1${')'.repeat(n)}`)).toBe(1n);
    expect(value(`${'- '.repeat(n)}1`)).toBe(1n);
    expect(error('@@('.repeat(40))).toMatch(/error at/);
  });
});
