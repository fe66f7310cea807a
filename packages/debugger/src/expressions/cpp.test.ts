import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeScope, sampleTypes } from '../../test/fake-scope.ts';
import { CommandError } from '../commands/command.ts';
import { evaluateCpp, evaluateCppValue } from './cpp-evaluate.ts';
import { numberOf } from './cpp-float.ts';
import { typeName } from './cpp-types.ts';
import { load } from './cpp-value.ts';

const item = new Uint8Array(64);
const view = new DataView(item.buffer);
view.setInt32(0, -7, true);
view.setUint32(4, 0b101_0000 | 0xffff_ff00, true);
view.setBigUint64(8, 0x2000n, true);
view.setBigUint64(16, 0x2008n, true);
view.setInt32(24, 10, true);
view.setInt32(28, 20, true);
view.setInt32(32, 30, true);
view.setBigUint64(48, 0xffff_ffff_ffff_fff0n, true);
view.setBigInt64(56, -2n, true);

const scope = fakeScope({
  types: sampleTypes,
  registers: { rax: [0x2000n, 8], eip: [0x771e1a02n, 4] },
  pseudo: { $t0: 5n, $t1: 1n, $t2: 2n },
  symbols: { 'nt!Item': 0x2000n },
  memory: new Map([[0x2000n, item]]),
});

function show(text: string): string {
  const value = load(evaluateCpp(text, scope), scope, () => text, false);
  return `${typeName(value.type, scope.types)} ${value.scalar ?? `@${value.address?.toString(16)}`}`;
}
const error = (text: string): string => {
  try {
    return show(text);
  } catch (e) {
    if (e instanceof CommandError) return e.message;
    throw e;
  }
};

describe('C++ evaluator', () => {
  it.each([
    ['5', 'int 5'],
    ['010', 'int 8'],
    ['0x10', 'int 16'],
    ['0xffffffff', 'unsigned int 4294967295'],
    ['4294967296', 'int64 4294967296'],
    ["'A'", 'char 65'],
    ['@$t1 + @$t2', 'unsigned int64 3'],
    ['@$t2/@$t1', 'unsigned int64 2'],
    ['@eip', 'unsigned int 1998461442'],
    ['1 + 2 * 3', 'int 7'],
    ['-7 / 2', 'int -3'],
    ['-7 % 2', 'int -1'],
    ['-1 < 1', 'bool 1'],
    ['-1 < 1u', 'bool 0'],
    ['1 ? 2 : 3', 'int 2'],
    ['0 ? *(int *)0 : 3', 'int 3'],
    ['0 && *(int *)0', 'bool 0'],
    ['1 || *(int *)0', 'bool 1'],
    ['!5', 'bool 0'],
    ['~0', 'int -1'],
    ['(1, 2)', 'int 2'],
    ['(unsigned char)0x1ff', 'unsigned char 255'],
    ['(char)0xff', 'char -1'],
    ['(unsigned long)-1', 'unsigned long 4294967295'],
    ['sizeof(_ITEM)', 'unsigned int64 64'],
    ['sizeof(nt!_ITEM *)', 'unsigned int64 8'],
    ['sizeof(int[4])', 'unsigned int64 16'],
    ['sizeof ((_ITEM *)0)->Values', 'unsigned int64 12'],
    ['((_ITEM *)@rax)->Id', 'long -7'],
    ['((struct _ITEM *)@rax)->Flags', 'unsigned long 5'],
    ['((_ITEM *)@rax)->Values[1]', 'int 20'],
    ['*(((_ITEM *)@rax)->Values + 2)', 'int 30'],
    ['((_ITEM *)@rax)->Links.Flink->Blink', 'struct _LIST_ENTRY * 8192'],
    ['((_ITEM *)@rax)->Count', 'unsigned int64 18446744073709551600'],
    ['((_ITEM *)@rax)->Delta', 'int64 -2'],
    ['&((_ITEM *)0)->Values', 'int *[3] 24'],
    ['(_ITEM *)@rax + 2', 'struct _ITEM * 8320'],
    ['(_ITEM *)0x2080 - (_ITEM *)0x2000', 'int64 2'],
    ['&nt!Item', 'unsigned char * 8192'],
    ['*(int *)&nt!Item', 'int -7'],
    ['static_cast<unsigned char>(0x101)', 'unsigned char 1'],
    ['#FIELD_OFFSET(_ITEM, Links.Blink)', 'long 16'],
    ['#FIELD_OFFSET(_ITEM, Values[2])', 'long 32'],
    ['#CONTAINING_RECORD(0x2008, _ITEM, Links)', 'struct _ITEM * 8192'],
    ['#RTL_FIELD_SIZE(_ITEM, Values)', 'unsigned int64 12'],
    ['#RTL_NUMBER_OF(((_ITEM *)0)->Values)', 'unsigned int64 3'],
    ['#RTL_SIZEOF_THROUGH_FIELD(_ITEM, Values)', 'unsigned int64 36'],
    ['#RTL_CONTAINS_FIELD((_ITEM *)0, 36, Values)', 'bool 1'],
    ['#RTL_CONTAINS_FIELD((_ITEM *)0, 35, Values)', 'bool 0'],
    ['5 // comment', 'int 5'],
    ['@@(10) + 1', 'unsigned int64 17'],
  ])('%s', (text, expected) => expect(show(text)).toBe(expected));

  it.each([
    ['((_ITEM *)@rax)->Nope', "Type does not have given member error at 'Nope'"],
    ['*(int *)0', "Memory access error at '*(int *)0'"],
    ['nope', "Couldn't resolve error at 'nope'"],
    ['@foo', "Bad register error at '@foo'"],
    ['1 +', "Numeric expression missing from '<EOL>'"],
    ['(1', "Syntax error at '<EOL>'"],
    ['1 / 0', "Operand error at '0'"],
    ['08', "Syntax error at '08'"],
    ['@$t0 = 1', "A dump cannot be written: assignment at '= 1'"],
    ['*(_ITEM *)@rax + 1', "Type conflict error at '1'"],
    [`${'('.repeat(500)}1`, /Overflow error/],
  ])('refuses %s', (text, expected) => expect(error(text)).toMatch(expected));

  it('passes signed values sign-extended to commands', () => {
    expect(evaluateCppValue('-1', scope)).toBe(0xffff_ffff_ffff_ffffn);
    expect(evaluateCppValue('(unsigned char)-1', scope)).toBe(255n);
  });

  it('agrees with 32-bit arithmetic of the host', () => {
    const op = fc.constantFrom('+', '-', '&', '|', '^', '<', '>', '==');
    fc.assert(
      fc.property(fc.integer(), op, fc.integer(), op, fc.integer(), (a, o1, b, o2, c) => {
        const n = (x: number): string => (x < 0 ? `(-${-x})` : `${x}`);
        // -2147483648 is an int64 in C (its literal does not fit an int).
        fc.pre(![a, b, c].includes(-2147483648));
        const js = new Function(
          `const i = (x) => x | 0; const r = i(${binary(n(a), o1, n(b))}); return i(${binary('r', o2, n(c))});`,
        );
        expect(evaluateCppValue(`(${n(a)} ${o1} ${n(b)}) ${o2} ${n(c)}`, scope)).toBe(BigInt.asUintN(64, BigInt(js())));
      }),
      { numRuns: 500, seed: 3 },
    );
  });

  it('ends in a value or a CommandError on any text', () => {
    const part = fc.constantFrom(
      ...'019x\'"()[]+-*/<>=&|^%,.?:!~# ',
      '->',
      '(_ITEM *)',
      '@rax',
      'sizeof',
      '#FIELD_OFFSET(',
      'Links',
      '@@(',
      '&&',
      '1.5',
      '2e9f',
      '(float)',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
        try {
          evaluateCppValue(parts.join(''), scope);
        } catch (e) {
          expect(e).toBeInstanceOf(CommandError);
        }
      }),
      { numRuns: 4000, seed: 4 },
    );
  });
});

describe('floating point', () => {
  const bits = new DataView(new ArrayBuffer(16));
  bits.setFloat32(0, -2.75, true);
  bits.setFloat64(8, 1e300, true);
  const floats = fakeScope({
    types: sampleTypes,
    memory: new Map([[0x3000n, new Uint8Array(bits.buffer)]]),
    pseudo: {},
    symbols: {},
  });
  const number = (text: string): string => {
    const value = load(evaluateCpp(text, floats), floats, () => text, false);
    return `${typeName(value.type, floats.types)} ${numberOf(value.type, value.scalar ?? 0n)}`;
  };

  it.each([
    ['1.5', 'double 1.5'],
    ['1.5f', 'float 1.5'],
    ['.25 + 1', 'double 1.25'],
    ['2e3', 'double 2000'],
    ['1.f/4', 'float 0.25'],
    ['1.5f + 1.0', 'double 2.5'],
    ['-1.5 * 2', 'double -3'],
    ['1 / 0.0', 'double Infinity'],
    ['(int)1.9 + (int)-1.9', 'int 0'],
    ['(float)1/3 == 1.0/3', 'bool 0'],
    ['(double)7 / 2', 'double 3.5'],
    ['(bool)0.5', 'bool 1'],
    ['1.5 < 2', 'bool 1'],
    ['0.0 == -0.0', 'bool 1'],
    ['-0.0 ? 1 : 2', 'int 2'],
    ['!0.5', 'bool 0'],
    ['*(float *)0x3000', 'float -2.75'],
    ['(int)*(float *)0x3000', 'int -2'],
    ['*(float *)0x3000 < 0', 'bool 1'],
    ['*(double *)0x3008 > 1e299', 'bool 1'],
    ['(int64)*(double *)0x3008', 'int64 -9223372036854776000'],
    ['sizeof(1.5f) + sizeof(1.5)', 'unsigned int64 12'],
    // Hexadecimal digits behind a backtick are none of it.
    ['1e5`0', 'int 7760'],
  ])('%s is %s', (text, expected) => expect(number(text)).toBe(expected));

  it.each(['1.5 % 2', '~1.5', '1.5 << 1', '(char *)0x3000 + 1.5', '(char *)1.5', '(char *)0x3000 == 1.5'])(
    '%s is refused as in C',
    (text) => expect(() => number(text)).toThrow(/^Type conflict error/),
  );

  it('is no integer for commands, and strings have no address', () => {
    expect(() => evaluateCppValue('1.5', floats)).toThrow(/^Floating-point value where an integer is needed/);
    expect(evaluateCppValue('(int)1.5', floats)).toBe(1n);
    expect(() => number('1 + "abc"')).toThrow(`A string literal has no address in a dump, at '"abc"'`);
    expect(() => number('1.5.5')).toThrow(/^Syntax error/);
  });
});

function binary(a: string, op: string, b: string): string {
  return ['<', '>', '=='].includes(op)
    ? `((${a}) ${op === '==' ? '===' : op} (${b}) ? 1 : 0)`
    : `((${a}) ${op} (${b}))`;
}
