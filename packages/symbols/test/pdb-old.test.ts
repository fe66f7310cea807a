/**
 * What no tool at hand writes or judges: MSF 2.00, PDBs of VC 4 to 6 and of Windows XP. The files are written here after
 * cvinfo.h and dbi.h; expectations are the values that were written.
 */
import { bytesSource } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { openPdb, type PdbFile, pdbRows } from '../src/pdb/index.ts';
import { typeSize } from '../src/type-table.ts';
import {
  Bytes,
  GUID_TEXT,
  gsiHash,
  infoStream,
  namesStream,
  oldGsiHash,
  publicsStream,
  record,
  recordStream,
  type Streams,
  sectionHeaders,
  writeMsf2,
  writeMsf7,
} from './pdb-writer.ts';

const open = (bytes: Uint8Array, options = {}): PdbFile => openPdb(bytesSource(bytes, 'old.pdb'), options);

/** Source lines of one file in one section, as before C13. */
function oldLines(
  file: string,
  section: number,
  start: number,
  end: number,
  lines: readonly (readonly [offset: number, line: number])[],
): Uint8Array {
  const fileAt = 4 + 4 + 8 + 4; // one file, one section: header, file table, extents, sections padded to 4
  const head = new Bytes().u16(1, 1).u32(fileAt).u32(start, end).u16(section, 0);
  const name = new Bytes().st(file);
  const linesAt = fileAt + 4 + 4 + 8 + ((name.length + 3) & ~3);
  head.u16(1, 0).u32(linesAt).u32(start, end).raw(name.align(4).done());
  head.u16(section, lines.length);
  head.u32(...lines.map(([offset]) => offset)).u16(...lines.map(([, line]) => line));
  return head.align(4).done();
}

describe('a PDB of the time of Windows XP (MSF 7.00, types 19990903, length-prefixed names)', () => {
  // Types: a list entry, a thread with a bit field, an array, a pointer, an enumeration, an unnamed union.
  const S_LIST = 0x1001;
  const types = [
    record(
      0x1203,
      new Bytes().u16(0x1405, 3).u32(0x1003).u16(0).st('Flink').u16(0x1405, 3).u32(0x1003).u16(4).st('Blink'),
      0xf0,
    ), // 1000
    record(0x1005, new Bytes().u16(2, 0).u32(0x1000, 0, 0).u16(8).st('_LIST_ENTRY')), // 1001
    record(0x1005, new Bytes().u16(0, 0x80).u32(0, 0, 0).u16(0).st('_LIST_ENTRY')), // 1002, forward
    record(0x1002, new Bytes().u32(0x1002, 0x800a)), // 1003: near32 pointer without size bits
    record(0x1205, new Bytes().u32(0x22).u8(3, 5)), // 1004: 3 bits from bit 5
    record(0x1003, new Bytes().u32(0x20, 0x22).u16(0x8004).u32(16).st('')), // 1005: UCHAR[16]
    record(
      0x1203,
      new Bytes()
        .u16(0x403, 3)
        .u16(0)
        .st('Initialized')
        .u16(0x403, 3)
        .u16(0x8000)
        .u8(0xff)
        .st('Minus')
        .u16(0x403, 3)
        .u16(0x8004)
        .u32(0x8000_0000)
        .st('Big'),
    ), // 1006
    record(0x1007, new Bytes().u16(3, 0).u32(0x74, 0x1006).st('_KTHREAD_STATE')), // 1007
    record(0x1203, new Bytes().u16(0x1405, 3).u32(0x22).u16(0).st('Long').u16(0x1405, 3).u32(0x21).u16(0).st('Short')), // 1008
    record(0x1006, new Bytes().u16(2, 0).u32(0x1008).u16(4).st('__unnamed')), // 1009
    record(0x1203, new Bytes().u16(0x1405, 3).u32(0x1009).u16(0x10).st('u')), // 100a: continuation
    record(
      0x1203,
      new Bytes()
        .u16(0x1405, 3)
        .u32(S_LIST)
        .u16(0)
        .st('Links')
        .u16(0x1405, 3)
        .u32(0x1004)
        .u16(8)
        .st('Flags')
        .u16(0x1405, 3)
        .u32(0x1007)
        .u16(12)
        .st('State')
        .u16(0x1405, 3)
        .u32(0x1005)
        .u16(20)
        .st('Bytes')
        .align(4, 0xf1)
        .u16(0x1404, 0)
        .u32(0x100a),
    ), // 100b
    record(0x1005, new Bytes().u16(5, 0).u32(0x100b, 0, 0).u16(36).st('_KTHREAD')), // 100c
  ];
  const typeRecords = recordStream(types);
  const last = 0x1000 + types.length;
  const tpi = new Bytes()
    .u32(19990903, 56, 0x1000, last, typeRecords.bytes.length)
    .u16(0xffff, 0xffff)
    .u32(4, 0x1000, 0, 0, 0, 0, 0, 0)
    .raw(typeRecords.bytes)
    .done();
  const publics = [
    { name: '_KiIdleLoop@0', section: 1, offset: 0x100 },
    { name: '@KfRaiseIrql@4', section: 1, offset: 0x40 },
    { name: '_KeTickCount', section: 2, offset: 0x20 },
  ];
  const symbols = recordStream(
    publics.map((p) => record(0x1009, new Bytes().u32(2, p.offset).u16(p.section).st(p.name))),
  );
  const sorted = [1, 0, 2].map((i) => symbols.offsets[i] ?? 0);
  const hash = gsiHash(publics.map((p, i) => ({ name: p.name, offset: symbols.offsets[i] ?? 0 })));
  const procedure = record(
    0x100b,
    new Bytes().u32(0, 0x40, 0, 0x30, 3, 0x2c, 0x1001, 0x100).u16(1).u8(0).st('KiIdleLoop'),
  );
  const moduleSymbols = new Bytes().u32(2).raw(procedure).raw(record(6, new Bytes())).done();
  const lines = oldLines('d:\\nt\\base\\ntos\\ke\\i386\\idle.asm', 1, 0x100, 0x12f, [
    [0x100, 41],
    [0x108, 43],
    [0x120, 47],
  ]);
  const modi = new Bytes()
    .u32(0)
    .u16(1, 0)
    .u32(0x100, 0x30, 0x6000_0020)
    .u16(0, 0)
    .u32(0, 0)
    .u16(0, 9)
    .u32(moduleSymbols.length, lines.length, 0)
    .u16(1, 0)
    .u32(0, 0, 0)
    .sz('idle.obj')
    .sz('ntoskrnl.lib')
    .align(4)
    .done();
  const contributions = new Bytes()
    .u32(0xeffe0000 + 19970605)
    .u16(1, 0)
    .u32(0x40, 0x20, 0x6000_0020)
    .u16(0, 0)
    .u32(0, 0)
    .u16(1, 0)
    .u32(0x100, 0x30, 0x6000_0020)
    .u16(0, 0)
    .u32(0, 0)
    .done();
  const debug = new Bytes().u16(0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 8).done();
  const dbi = new Bytes()
    .u32(0xffff_ffff, 19990903, 7)
    .u16(0xffff, 0, 6, 0, 5, 0)
    .u32(modi.length, contributions.length, 0, 0, 0, 0, debug.length, 0)
    .u16(0, 0x14c)
    .u32(0)
    .raw(modi)
    .raw(contributions)
    .raw(debug)
    .done();
  const streams: Streams = [
    null,
    infoStream({}, []),
    tpi,
    dbi,
    null,
    symbols.bytes,
    publicsStream(hash, sorted),
    null,
    sectionHeaders([
      ['.text', 0x1000, 0x800],
      ['.data', 0x2000, 0x200],
    ]),
    new Bytes().raw(moduleSymbols).raw(lines).done(),
  ];
  const pdb = open(writeMsf7(streams, 1024));

  it('identifies itself', () => {
    expect([pdb.guid, pdb.age, pdb.machine, pdb.problems]).toEqual([GUID_TEXT, 7, 0x14c, []]);
  });

  it('finds publics by name in any decoration, and by address', () => {
    expect(pdb.publics.byName('KiIdleLoop')?.rva).toBe(0x1100);
    expect(pdb.publics.byName('_KiIdleLoop@0')?.rva).toBe(0x1100);
    expect(pdb.publics.byName('KfRaiseIrql')?.rva).toBe(0x1040);
    expect(pdb.publics.byName('ketickcount')?.rva).toBe(0x2020);
    expect(pdb.publics.byName('KeTick')).toBeUndefined();
    expect(pdb.publics.nearest(0x10ff)?.display).toBe('KfRaiseIrql');
    expect(pdb.publics.nearest(0x103f)).toBeUndefined();
    expect(pdb.publics.next(0x1100)?.display).toBe('KeTickCount');
    expect([...pdb.publics.all()].map((s) => s.display)).toEqual(['KfRaiseIrql', 'KiIdleLoop', 'KeTickCount']);
  });

  it('reads types', () => {
    const { types } = pdb;
    const thread = types.struct('_KTHREAD');
    expect([types.pointerSize, thread?.kind, thread?.size]).toEqual([4, 'struct', 36]);
    expect([...(thread?.fields.values() ?? [])].map((f) => [f.name, f.offset, f.type.kind])).toEqual([
      ['Links', 0, 'struct'],
      ['Flags', 8, 'bitfield'],
      ['State', 12, 'enum'],
      ['Bytes', 20, 'array'],
      ['u', 16, 'struct'],
    ]);
    const flags = thread?.fields.get('Flags')?.type;
    expect(flags).toMatchObject({ kind: 'bitfield', position: 5, length: 3, of: { name: 'unsigned long' } });
    expect(thread?.fields.get('Bytes')?.type).toMatchObject({ kind: 'array', count: 16 });
    const link = types.struct('_LIST_ENTRY')?.fields.get('Flink')?.type;
    expect(link).toEqual({ kind: 'pointer', size: 4, to: { kind: 'struct', name: '_LIST_ENTRY' } });
    expect(link === undefined ? 0 : typeSize(types, link)).toBe(4);
    const union = thread?.fields.get('u')?.type;
    expect(union).toEqual({ kind: 'struct', name: '__unnamed_1009' });
    expect([...(types.struct('__unnamed_1009')?.fields.keys() ?? [])]).toEqual(['Long', 'Short']);
    expect([...(types.enumeration('_KTHREAD_STATE')?.values ?? [])]).toEqual([
      ['Initialized', 0n],
      ['Minus', -1n],
      ['Big', -0x8000_0000n],
    ]);
    expect([...types.structNames()].sort()).toEqual(['_KTHREAD', '_LIST_ENTRY', '__unnamed_1009']);
  });

  it('prefers private names, with their size, and reads old lines', () => {
    const info = pdb.debugInfo();
    expect(info.symbols.nearest(0x1110)).toMatchObject({
      name: 'KiIdleLoop',
      rva: 0x1100,
      size: 0x30,
      isFunction: true,
    });
    expect(info.symbols.nearest(0x1130)).toMatchObject({ name: '_KiIdleLoop@0', rva: 0x1100 });
    expect(info.line(0x1100)).toMatchObject({ line: 41, rva: 0x1100 });
    expect(info.line(0x111f)).toMatchObject({ line: 43, rva: 0x1108 });
    expect(info.line(0x112f)?.file).toBe('d:\\nt\\base\\ntos\\ke\\i386\\idle.asm');
    expect(info.line(0x1130)).toBeUndefined();
    expect(pdbRows(pdb, 'lines').map((r) => [r.rva, r.line])).toEqual([
      [0x1100, 41],
      [0x1108, 43],
      [0x1120, 47],
    ]);
  });
});

describe('a PDB of VC 5 (MSF 2.00, 16-bit type indices, old headers)', () => {
  const types = [
    record(
      0x0204,
      new Bytes()
        .u16(0x0406, 0x1003, 3)
        .u16(0)
        .st('next')
        .u16(0x0406, 0x0074, 3)
        .u16(4)
        .st('value')
        .u16(0x0406, 0x1004, 3)
        .u16(8)
        .st('bit'),
    ), // 1000
    record(0x0005, new Bytes().u16(3, 0x1000, 0, 0, 0).u16(12).st('NODE')), // 1001
    record(0x0001, new Bytes().u16(1, 0x1001)), // 1002: const NODE
    record(0x0002, new Bytes().u16(0x000a, 0x1002)), // 1003: pointer
    record(0x0206, new Bytes().u8(4, 2).u16(0x75)), // 1004: 4 bits from bit 2
    record(0x0003, new Bytes().u16(0x1001, 0x22).u16(36).st('')), // 1005: NODE[3]
    record(0x0204, new Bytes().u16(0x0406, 0x1005, 3).u16(0).st('nodes').u16(0x0400, 0x1001, 3).u16(36)), // 1006, with a base
    record(0x0004, new Bytes().u16(2, 0x1006, 0, 0, 0).u16(48).st('LIST')), // 1007: class
    record(0x0204, new Bytes().u16(0x403, 3).u16(7).st('Seven')), // 1008
    record(0x0007, new Bytes().u16(1, 0x74, 0x1008, 0).st('NUMBER')), // 1009
    record(0x0006, new Bytes().u16(1, 0x1000, 0).u16(12).st('BOTH')), // 100a
  ];
  const typeRecords = recordStream(types);
  const tpi = new Bytes()
    .u32(19951122)
    .u16(0x1000, 0x1000 + types.length)
    .u32(typeRecords.bytes.length)
    .u16(0xffff)
    .raw(typeRecords.bytes)
    .done();
  const names = ['_main', '_data'];
  const symbols = recordStream([
    record(0x0203, new Bytes().u32(0x10).u16(1, 0).st('_main')),
    record(0x0203, new Bytes().u32(0x8).u16(2, 0).st('_data')),
    record(0x0202, new Bytes().u32(0x8).u16(2, 0x1001).st('data')),
  ]);
  const hash = oldGsiHash(names.map((name, i) => ({ name, offset: symbols.offsets[i] ?? 0 })));
  const globals = oldGsiHash([{ name: 'data', offset: symbols.offsets[2] ?? 0 }]);
  const procedure = record(0x0205, new Bytes().u32(0, 0x40, 0, 0x20, 1, 0x1e, 0x10).u16(1, 0x1001).u8(0).st('main'));
  const moduleSymbols = new Bytes().u32(1).raw(procedure).raw(record(6, new Bytes())).done();
  const modi = new Bytes()
    .u32(0)
    .u16(1, 0)
    .u32(0x10, 0x20, 0x6000_0020)
    .u16(0, 0)
    .u16(0, 8)
    .u32(moduleSymbols.length, 0, 0)
    .u16(0, 0)
    .u32(0)
    .sz('main.obj')
    .sz('')
    .align(4)
    .done();
  const contributions = new Bytes().u16(1, 0).u32(0x10, 0x20, 0x6000_0020).u16(0, 0).done();
  const dbi = new Bytes()
    .u16(5, 6, 7, 0)
    .u32(modi.length, contributions.length, 0, 0)
    .raw(modi)
    .raw(contributions)
    .done();
  const info = new Bytes().u32(19960307, 0x3b7d8475, 3).u32(0, 0, 1, 0, 0).done();
  const streams: Streams = [
    null,
    info,
    tpi,
    dbi,
    null,
    globals,
    publicsStream(
      hash,
      [0, 1].map((i) => symbols.offsets[i] ?? 0),
    ),
    symbols.bytes,
    moduleSymbols,
  ];
  const sections = [
    { name: '.text', virtualAddress: 0x1000, virtualSize: 0x100, rawOffset: 0, rawSize: 0x100, characteristics: 0 },
    { name: '.data', virtualAddress: 0x2000, virtualSize: 0x100, rawOffset: 0, rawSize: 0x100, characteristics: 0 },
  ];
  const pdb = open(writeMsf2(streams, 1024), { sections });

  it('identifies itself by signature and age', () => {
    expect([pdb.msf.format, pdb.guid, pdb.age, pdb.machine, pdb.problems]).toEqual(['2.00', '3B7D8475', 3, 0x14c, []]);
  });

  it('finds names by the old hash', () => {
    expect(pdb.publics.byName('main')?.rva).toBe(0x1010);
    expect(pdb.publics.byName('_data')?.rva).toBe(0x2008);
    expect(pdb.publics.byName('nothing')).toBeUndefined();
    expect(pdb.globals?.find('data')).toMatchObject([{ kind: 'data', section: 2, offset: 8, type: 0x1001 }]);
    expect(pdb.symbols.nearest(0x102f)).toMatchObject({ name: 'main', rva: 0x1010, size: 0x20 });
    expect(pdb.symbols.nearest(0x2010)).toMatchObject({ name: 'data', rva: 0x2008 });
  });

  it('has no addresses without the sections of the image', () => {
    const bare = open(writeMsf2(streams, 2048));
    expect(bare.publics.byName('main')).toBeUndefined();
    expect(pdbRows(bare, 'publics').map((r) => [r.name, r.rva, r.section, r.offset])).toEqual([
      ['_main', null, 1, 0x10],
      ['_data', null, 2, 8],
    ]);
  });

  it('reads 16-bit types', () => {
    const rows = new Map(pdbRows(pdb, 'types').map((row) => [row.name, row]));
    expect(rows.get('NODE')).toMatchObject({
      kind: 'struct',
      size: 12,
      members: [
        { name: 'next', offset: 0, type: 'NODE *', bitLength: null },
        { name: 'value', offset: 4, type: 'int' },
        { name: 'bit', offset: 8, type: 'unsigned int', bitPosition: 2, bitLength: 4 },
      ],
    });
    expect(rows.get('LIST')).toMatchObject({
      kind: 'class',
      size: 48,
      members: [{ name: 'nodes', type: 'NODE[3]' }],
      bases: [{ name: 'NODE', offset: 36 }],
    });
    expect(rows.get('NUMBER')).toMatchObject({ kind: 'enum', size: 4, values: [{ name: 'Seven', value: '7' }] });
    expect(rows.get('BOTH')?.kind).toBe('union');
  });
});

describe('other kinds of PDB', () => {
  const MINI = 0x494e494d;

  it('says that a FASTLINK PDB lacks the private part', () => {
    const names = namesStream(['a.c']);
    const bytes = writeMsf7([null, infoStream({ '/names': 4 }, [MINI, 20140508]), null, null, names.bytes], 4096);
    const pdb = open(bytes);
    expect(pdb.info.isFastLink).toBe(true);
    expect(pdb.info.hasIds).toBe(true);
    expect(pdb.problems.map((p) => p.id)).toEqual(['pdb-fastlink']);
    expect(pdb.names?.get(names.offsets[0] ?? 0)).toBe('a.c');
    expect(pdb.publics.byName('x')).toBeUndefined();
    expect([...pdb.types.structNames()]).toEqual([]);
  });

  it('prefers the definition that the linker points at, else the largest of several', () => {
    const types = [
      record(0x1505, new Bytes().u16(0, 0).u32(0, 0, 0).u16(16).sz('_KPRCB')),
      record(0x1505, new Bytes().u16(0, 0).u32(0, 0, 0).u16(4000).sz('_KPRCB')),
      record(0x1505, new Bytes().u16(0, 0).u32(0, 0, 0).u16(32).sz('_KPRCB')),
    ];
    const { bytes } = recordStream(types);
    const make = (adjust: number | null): PdbFile => {
      const names = namesStream(['_KPRCB']);
      const map =
        adjust === null ? new Uint8Array(0) : new Bytes().u32(1, 1, 1, 1, 0, names.offsets[0] ?? 0, adjust).done();
      const tpi = new Bytes()
        .u32(20040203, 56, 0x1000, 0x1003, bytes.length)
        .u16(5, 0xffff)
        .u32(4, 0x3ffff, 0, 0, 0, 0, 0, map.length)
        .raw(bytes)
        .done();
      return open(writeMsf7([null, infoStream({ '/names': 4 }, []), tpi, null, names.bytes, map], 512));
    };
    expect(make(null).types.struct('_KPRCB')?.size).toBe(4000);
    expect(make(0x1002).types.struct('_KPRCB')?.size).toBe(32);
  });
});
