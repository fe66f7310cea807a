import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIsf } from './isf.ts';
import { IsfError } from './isf-error.ts';
import { parseIsfFileName } from './isf-name.ts';

const base = (size: number, kind: string, signed = false) => ({ endian: 'little', kind, signed, size });
const u32 = { kind: 'base', name: 'unsigned long' };
const bits = (bit_position: number, bit_length: number) => ({ kind: 'bitfield', bit_position, bit_length, type: u32 });

const file = {
  base_types: { pointer: base(8, 'int'), 'unsigned long': base(4, 'int'), wchar: base(2, 'int', true) },
  enums: { _COLOR: { base: 'int', size: 4, constants: { Blue: 2, Red: -1, Green: 1 } } },
  metadata: {
    format: '6.2.0',
    producer: { name: 'test', source: 'by hand' },
    windows: {
      pdb: { GUID: '{11223344-5566-7788-99AA-BBCCDDEEFF00}', age: 3, database: 'a.pdb', machine_type: 34404 },
    },
  },
  symbols: {
    Alpha: { address: 0x1000 },
    '?Beta@Gamma@@SAHH@Z': { address: 0x2000 },
    Delta: { address: 0x2000, linkage_name: '_Delta' },
  },
  user_types: {
    _S: {
      kind: 'struct',
      size: 24,
      fields: {
        Zeta: { offset: 0, type: { kind: 'pointer', subtype: { kind: 'struct', name: '_S' } } },
        Hi: { offset: 8, type: bits(4, 28) },
        All: { offset: 8, type: u32 },
        Lo: { offset: 8, type: bits(0, 4) },
        Text: { offset: 12, type: { kind: 'array', count: 2, subtype: { kind: 'base', name: 'wchar' } } },
        Color: { offset: 16, type: { kind: 'enum', name: '_COLOR' } },
        Call: { offset: 20, type: { kind: 'function' } },
      },
    },
    constructor: { kind: 'union', size: 4, fields: {} },
  },
};
const json = JSON.stringify(file);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe.each([
  ['text', json],
  ['bytes', bytes(json)],
  ['bytes with a byte-order mark', bytes(`\ufeff${json}\n`)],
  ['spaced bytes', bytes(JSON.stringify(file, null, 2))],
  ['object', file],
])('from %s', (_, input) => {
  const isf = parseIsf(input as string | Uint8Array | object);

  it('keeps members in the order of the file where it is one of declaration', () => {
    const struct = isf.types.struct('_S');
    expect(struct?.size).toBe(24);
    expect([...(struct?.fields.keys() ?? [])]).toEqual(['Zeta', 'Hi', 'All', 'Lo', 'Text', 'Color', 'Call']);
    expect(struct?.fields.get('Zeta')?.type).toEqual({ kind: 'pointer', to: { kind: 'struct', name: '_S' }, size: 8 });
    expect(struct?.fields.get('Hi')?.type).toMatchObject({ kind: 'bitfield', position: 4, length: 28 });
    expect(struct?.fields.get('Text')?.type).toMatchObject({ kind: 'array', count: 2, of: { form: 'char', size: 2 } });
    expect(isf.types.struct('constructor')?.kind).toBe('union');
    expect(isf.types.struct('toString')).toBeUndefined();
    expect([...(isf.types.enumeration('_COLOR')?.values ?? [])]).toEqual([
      ['Red', -1n],
      ['Green', 1n],
      ['Blue', 2n],
    ]);
    expect(isf.types.pointerSize).toBe(8);
    expect(isf.problems).toEqual([]);
  });

  it('reads symbols and what the file was made from', () => {
    expect(isf.pdb).toEqual({ name: 'a.pdb', guid: '112233445566778899AABBCCDDEEFF00', age: 3 });
    expect(isf.machine).toBe(0x8664);
    expect(isf.producer).toBe('test: by hand');
    expect(isf.symbols.byName('alpha')?.rva).toBe(0x1000);
    expect(isf.symbols.byName('_Delta')?.display).toBe('Delta');
    expect(isf.symbols.byName('Gamma::Beta')?.rva).toBe(0x2000);
    expect(isf.symbols.nearest(0x2fff)?.display).toBe('Delta');
    expect(isf.symbols.nearest(0xfff)).toBeUndefined();
    expect(isf.symbols.next(0x1000)?.rva).toBe(0x2000);
    expect(isf.symbols.next(0x2000)).toBeUndefined();
    expect([...isf.symbols.all()].map((s) => s.rva)).toEqual([0x1000, 0x2000, 0x2000]);
  });
});

it.each([
  ['', /no JSON/],
  ['{', /end of the text/],
  ['[]', /object should begin/],
  ['{}', /user_types is missing/],
  [json.slice(0, -40), /no JSON/],
  [`${json}x`, /something follows/],
  [json.replace('"user_types":{', '"user_types":['), /user_types is no object/],
  [json.replace('"size":8', '"size":7'), /pointer.size is 7/],
  [json.replace('"base_types":', '"base_types" '), /colon should follow base_types/],
])('refuses a frame that is none: %.40s', (text, message) => {
  expect(() => parseIsf(bytes(text), 'x.json')).toThrow(IsfError);
  expect(() => parseIsf(bytes(text), 'x.json')).toThrow(message);
  expect(() => parseIsf(bytes(text), 'x.json')).toThrow(/^x\.json: /);
  if (!text.includes('"user_types":[')) expect(() => parseIsf(text, 'x.json')).toThrow(IsfError);
});

it('leaves out what is wrong inside and says where', () => {
  const type = (t: unknown) => ({
    ...file,
    user_types: {
      _T: { kind: 'struct', size: 8, fields: { Good: { offset: 0, type: u32 }, Bad: { offset: 4, type: t } } },
    },
  });
  let deep: unknown = u32;
  for (let i = 0; i < 10_000; i++) deep = { kind: 'pointer', subtype: deep };
  for (const [bad, what] of [
    [{ kind: 'base', name: 'nothing' }, /not described/],
    [{ kind: 'odd' }, /unknown kind "odd"/],
    [{ kind: 'array', count: -1, subtype: u32 }, /number of elements/],
    [{ kind: 'bitfield', bit_position: 1.5, bit_length: 1, type: u32 }, /bit number/],
    [{ kind: 'struct' }, /no name/],
    [deep, /too deeply/],
    [null, /no object/],
  ] as const) {
    const isf = parseIsf(type(bad));
    expect([...(isf.types.struct('_T')?.fields.keys() ?? [])]).toEqual(['Good']);
    expect(isf.problems).toEqual([{ where: 'user_types._T.fields.Bad', what: expect.stringMatching(what) }]);
  }
});

it('takes a type whose text is broken as absent', () => {
  const isf = parseIsf(bytes(json.replace('"kind":"struct","size":24', '"kind":"struct";"size":24')));
  expect(isf.types.struct('_S')).toBeUndefined();
  expect(isf.types.struct('constructor')?.size).toBe(4);
  expect(isf.problems[0]?.where).toBe('user_types._S');
  expect(isf.problems[0]?.what).toMatch(/no JSON/);
});

it('survives mutated and cut bytes', () => {
  const good = bytes(json);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }),
      fc.integer({ min: 0, max: good.length }),
      (edits, cut) => {
        const mutant = good.slice(0, edits.length === 0 ? cut : good.length);
        for (const [at, value] of edits) mutant[at] = value;
        try {
          const isf = parseIsf(mutant);
          for (const name of isf.types.structNames()) isf.types.struct(name);
          isf.types.enumeration('_COLOR');
          isf.symbols.byName('Alpha');
          isf.symbols.nearest(0x1234);
        } catch (error) {
          expect(error).toBeInstanceOf(IsfError);
        }
      },
    ),
    { numRuns: 2000 },
  );
});

describe('order of members', () => {
  const member = (offset: number, type: unknown = u32) => ({ offset, type });
  const order = (fields: Readonly<Record<string, unknown>>): string[] => {
    const isf = parseIsf({ ...file, user_types: { _U: { kind: 'union', size: 8, fields } } });
    return [...(isf.types.struct('_U')?.fields.keys() ?? [])];
  };

  it('is that of the file where arms of a union follow each other', () => {
    const arms = { Value: member(0), High: member(4), Bit: member(0, bits(0, 1)), All: member(0) };
    expect(order(arms)).toEqual(['Value', 'High', 'Bit', 'All']);
  });

  it('is by offset where the keys are sorted by name, bit fields behind what holds them', () => {
    const sorted = { All: member(4), Bit0: member(0, bits(0, 1)), High: member(4), Value: member(0) };
    expect(order(sorted)).toEqual(['Value', 'Bit0', 'All', 'High']);
  });

  it('is by offset where the file goes back to where no member began', () => {
    expect(order({ Zeta: member(4), Beta: member(0), Gamma: member(2) })).toEqual(['Beta', 'Gamma', 'Zeta']);
  });
});

it('reads GUIDs out of file names', () => {
  const guid = '5278AFF86C341677D7D7835C85B7B844';
  expect(parseIsfFileName(`isf/ntkrnlmp-x64-10.0.19041-${guid}-1.json.xz`)).toEqual({
    pdb: 'ntkrnlmp.pdb',
    guid,
    age: 1,
  });
  expect(parseIsfFileName(`C:\\s\\ntkrpamp.pdb\\${guid.toLowerCase()}-2.json`)).toEqual({
    pdb: 'ntkrpamp.pdb',
    guid,
    age: 2,
  });
  expect(parseIsfFileName(`${guid}-1.json.xz`)).toEqual({ pdb: null, guid, age: 1 });
  expect(parseIsfFileName('nt-types-x86-6.1.7601-from-ntdll.json.xz')).toBeNull();
});
