import { describe, expect, it } from 'vitest';
import { type Dump, Memory, va } from '../src/index.ts';
import { Image, open, type TriageParts, triageDump } from './build.ts';

function numbered(size: number, start: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => (start + i) & 0xff);
}

const STACK = 0xffffd000_22a46988n;

const parts: TriageParts = {
  stack: { address: STACK, bytes: numbered(0x100, 1) },
  kdbg: new Image(0x40).text(0x10, 'KDBG').u64(0x18, 0xfffff80000000000n).bytes,
  blocks: [
    { address: 0xfffff800_00010010n, bytes: numbered(0x30, 0x40) },
    { address: 0xfffff800_0000fff0n, bytes: numbered(0x20, 0x20) }, // touches the first, stands behind it
    { address: STACK - 0x10n, bytes: numbered(0x20, 0xe0) }, // overlaps the stack
  ],
  drivers: [
    { name: 'ntoskrnl.exe', base: 0xfffff80000000000n, size: 0x1046000 },
    { name: 'hal.dll', base: 0xfffff80001046000n, size: 0x6000 },
    { name: 'amdppm.sys', base: 0xfffff8048b580000n, size: 0x2a000 },
  ],
  unloaded: [
    { name: 'dump_storport.sys', start: 0xfffff80012340000n, end: 0xfffff80012350000n },
    { name: 'dam.sys', start: 0xfffff80022340000n, end: 0xfffff80022350000n },
  ],
  blobs: [
    { tag: numbered(16, 0), bytes: numbered(13, 9) },
    { tag: numbered(16, 0x80), bytes: numbered(0, 0) },
  ],
};

/** The same with 32-bit addresses. */
const parts32: TriageParts = {
  ...parts,
  stack: { address: 0xf7a46988n, bytes: numbered(0x100, 1) },
  blocks: (parts.blocks ?? []).slice(0, 2).map((b) => ({ ...b, address: 0x80000000n | (b.address & 0xffffffn) })),
  drivers: (parts.drivers ?? []).map((d, i) => ({ ...d, base: 0x804d7000n + BigInt(i) * 0x10000n })),
  unloaded: (parts.unloaded ?? []).map((d) => ({ ...d, start: 0xf7000000n, end: 0xf7010000n })),
};

function ids(dump: Dump): string[] {
  return dump.problems.map((problem) => problem.id).filter((id) => id !== 'header-field-missing');
}

describe('triage', () => {
  it('reads a 64-bit one', () => {
    const dump = open(triageDump(parts));
    expect(ids(dump)).toEqual([]);
    expect(dump.complete).toBe(true);
    expect(dump.kind).toBe('triage');
    expect(dump.physical).toBe(null);
    expect(dump.triage?.blocks.length).toBe(3);
    expect(dump.triage?.drivers).toEqual([
      {
        name: 'ntoskrnl.exe',
        base: 0xfffff80000000000n,
        entryPoint: 0n,
        size: 0x1046000,
        checkSum: 0xc0ffee,
        timeDateStamp: 0x5a5a0000,
      },
      {
        name: 'hal.dll',
        base: 0xfffff80001046000n,
        entryPoint: 0n,
        size: 0x6000,
        checkSum: 0xc0ffee,
        timeDateStamp: 0x5a5a0001,
      },
      {
        name: 'amdppm.sys',
        base: 0xfffff8048b580000n,
        entryPoint: 0n,
        size: 0x2a000,
        checkSum: 0xc0ffee,
        timeDateStamp: 0x5a5a0002,
      },
    ]);
    expect(dump.triage?.unloaded).toEqual([
      { name: 'dump_storpor', start: 0xfffff80012340000n, end: 0xfffff80012350000n, time: null },
      { name: 'dam.sys', start: 0xfffff80022340000n, end: 0xfffff80022350000n, time: null },
    ]);
    expect(dump.blobs.map((b) => [b.tag, b.size])).toEqual([
      ['03020100-0504-0706-0809-0a0b0c0d0e0f', 13],
      ['83828180-8584-8786-8889-8a8b8c8d8e8f', 0],
    ]);
    expect(dump.fileBytes(dump.blobs[0]?.offset ?? 0, 13)).toEqual(numbered(13, 9));
  });

  it('joins blocks that touch, the stack before blocks, and the KDBG copy at its address', () => {
    const dump = open(triageDump(parts));
    const memory = new Memory(dump.memory());
    expect(memory.bytes(0xfffff800_0000fff0n, 0x50)).toEqual(
      Uint8Array.from([...numbered(0x20, 0x20), ...numbered(0x30, 0x40)]),
    );
    expect(memory.prefix(0xfffff800_0000fff0n, 0x100).length).toBe(0x50);
    expect(memory.bytes(STACK - 0x10n, 0x18)).toEqual(Uint8Array.from([...numbered(0x10, 0xe0), ...numbered(8, 1)]));
    expect(memory.u32(0xfffff80000003010n)).toBe(0x4742444b);
    expect(memory.gap(0xfffff800_00020000n)?.reason).toEqual({ kind: 'not-in-dump' });
    expect(memory.gap(0x0001_0000_0000_0000n)?.reason).toEqual({ kind: 'non-canonical' });
    expect(memory.gap(STACK, 0x101)?.address).toBe(STACK + 0x100n);
  });

  it('lets an overlay fill what was missing, in readers handed out before', () => {
    const dump = open(triageDump(parts));
    const memory = new Memory(dump.memory());
    expect(memory.u8(0xfffff800_00010040n)).toBe(undefined);
    dump.overlay(va(0xfffff800_00010020n), 0, 0x40);
    expect(memory.u8(0xfffff800_00010040n)).toBe(dump.fileBytes(0x20, 1)[0]);
    expect(memory.u8(0xfffff800_00010020n)).toBe(0x50);
    dump.overlay(va(0xffffffff_fffffff0n), 0, 0x40); // wraps: ignored
    expect(memory.u8(0xffffffff_fffffff8n)).toBe(undefined);
  });

  it.each([12, 16] as const)('reads a 32-bit one with data blocks of %i bytes', (blockStride) => {
    const dump = open(triageDump({ ...parts32, blockStride }, {}, false));
    expect(ids(dump)).toEqual([]);
    expect(dump.triage?.blocks.map((b) => b.address)).toEqual([0x80010010n, 0x8000fff0n]);
    expect(dump.triage?.drivers.map((d) => [d.name, d.base])).toEqual([
      ['ntoskrnl.exe', 0x804d7000n],
      ['hal.dll', 0x804e7000n],
      ['amdppm.sys', 0x804f7000n],
    ]);
    expect(dump.triage?.unloaded.map((d) => [d.name, d.start])).toEqual([
      ['dump_storpor', 0xf7000000n],
      ['dam.sys', 0xf7000000n],
    ]);
    const memory = new Memory(dump.memory());
    expect(memory.prefix(0x8000fff0n, 0x100).length).toBe(0x50);
    expect(memory.u8(0xffffffff_8000fff0n)).toBe(0x20);
    expect(memory.u8(0xf7a46988n)).toBe(1);
    expect(memory.u32(0x80003010n)).toBe(0x4742444b);
  });

  it.each([0x80, 0x90, 0xa0, 0xb0])('finds driver entries %i bytes apart', (driverStride) => {
    const dump = open(triageDump({ ...parts, driverStride: driverStride === 0x80 ? 0x98 : driverStride }));
    expect(dump.triage?.drivers.map((d) => d.name)).toEqual(['ntoskrnl.exe', 'hal.dll', 'amdppm.sys']);
    const lost = triageDump({ ...parts, driverStride }).u32(0x2038, 0);
    if (driverStride > 0x80) expect(open(lost).triage?.drivers.map((d) => d.name)).toContain('amdppm.sys');
  });

  it('takes the context from where the triage header says', () => {
    const context = new Image(0x4d0).u64(0xf8, 0xfffff8048b58334cn).bytes;
    const dump = open(triageDump({ ...parts, context }));
    expect(dump.header.contextOffset).toBeGreaterThan(0x2000);
    expect(dump.header.context).toEqual(context);
  });

  it('is not truncated because RequiredDumpSpace is larger', () => {
    const dump = open(triageDump(parts, { required: 0x10000000 }));
    expect(dump.complete).toBe(true);
    expect(ids(dump)).toEqual([]);
  });

  it('says what a truncated file lost, and reads the rest', () => {
    const whole = triageDump(parts).bytes;
    const at = open(whole).triage?.blocks.find((b) => b.address === STACK - 0x10n)?.offset ?? 0;
    const dump = open(whole.subarray(0, at + 4));
    expect(dump.complete).toBe(false);
    expect(ids(dump)).toEqual(expect.arrayContaining(['truncated-file', 'triage-block-beyond-end']));
    const memory = new Memory(dump.memory());
    expect(memory.u32(STACK - 0x10n)).toBe(0xe3e2e1e0);
    expect(memory.gap(STACK - 0xcn)?.reason).toEqual({ kind: 'truncated', offset: at + 4 });
    expect(memory.u8(STACK)).toBe(1);
  });

  it('reports a missing trailer', () => {
    const image = triageDump(parts);
    image.text(image.view.getUint32(0x2008, true), 'XXXX');
    const dump = open(image);
    expect(ids(dump)).toEqual(['triage-trailer-missing']);
    expect(dump.complete).toBe(false);
  });

  it('recognises a triage dump whose DumpType was overwritten', () => {
    const dump = open(triageDump(parts).u32(0xf98, 0x55));
    expect(dump.kind).toBe('triage');
    expect(ids(dump)).toEqual(['dump-type-unknown']);
  });

  it('bounds counts by the file', () => {
    const image = triageDump(parts).u32(0x2034, 0x7fffffff).u32(0x207c, 0x7fffffff);
    const dump = open(image);
    expect(ids(dump)).toEqual(expect.arrayContaining(['triage-block-count', 'triage-driver-count']));
    expect(dump.triage?.drivers.length).toBeLessThan(1000);
    expect(new Memory(dump.memory()).u8(STACK)).toBe(1);
  });
});
