import { describe, expect, it } from 'vitest';
import { codeViewFromBytes } from './debug-directory.ts';
import { PeError } from './errors.ts';
import { exportSymbols } from './export-table.ts';
import { MACHINE_AMD64, MACHINE_ARM64, MACHINE_I386 } from './headers.ts';
import { ImageFile } from './image-file.ts';
import { parsePe, tryParsePe } from './pe.ts';
import { parseRelocations, relocate } from './relocations.ts';
import { findRuntimeFunction } from './runtime-function.ts';
import type { ReadRva } from './rva-reader.ts';
import { parseVersionInfo } from './version-info.ts';

/** A PE32 of four pages: headers, exports at 0x1000, debug data at 0x2000, relocations at 0x3000. */
function image(): Uint8Array {
  const bytes = new Uint8Array(0x4000);
  const view = new DataView(bytes.buffer);
  const text = (at: number, s: string): void => bytes.set(Buffer.from(`${s}\0`, 'latin1'), at);
  view.setUint16(0, 0x5a4d, true);
  view.setUint32(0x3c, 0x80, true);
  view.setUint32(0x80, 0x4550, true);
  view.setUint16(0x84, MACHINE_I386, true);
  view.setUint16(0x86, 3, true); // sections
  view.setUint32(0x88, 0x4a5bc60f, true);
  view.setUint16(0x94, 0xe0, true);
  view.setUint16(0x98, 0x10b, true);
  view.setUint32(0x98 + 16, 0x1234, true);
  view.setUint32(0x98 + 28, 0x10000, true);
  view.setUint32(0x98 + 32, 0x1000, true);
  view.setUint32(0x98 + 36, 0x200, true);
  view.setUint32(0x98 + 56, 0x4000, true);
  view.setUint32(0x98 + 60, 0x400, true);
  view.setUint32(0x98 + 64, 0xc0de, true);
  view.setUint32(0x98 + 92, 16, true);
  const directory = (index: number, rva: number, size: number): void => {
    view.setUint32(0x98 + 96 + index * 8, rva, true);
    view.setUint32(0x98 + 100 + index * 8, size, true);
  };
  directory(0, 0x1000, 0x400);
  directory(5, 0x3000, 12);
  directory(6, 0x2000, 28);
  ['.edata', '.debug', '.reloc'].forEach((name, i) => {
    const at = 0x178 + i * 40;
    text(at, name);
    view.setUint32(at + 8, 0x1000, true);
    view.setUint32(at + 12, 0x1000 + i * 0x1000, true);
    view.setUint32(at + 16, 0x1000, true);
    view.setUint32(at + 20, 0x1000 + i * 0x1000, true);
  });
  // exports: ordinals 5..7: Foo, a forwarder, one without a name
  const e = 0x1000;
  view.setUint32(e + 12, 0x1200, true);
  view.setUint32(e + 16, 5, true);
  view.setUint32(e + 20, 3, true);
  view.setUint32(e + 24, 2, true);
  view.setUint32(e + 28, 0x1100, true);
  view.setUint32(e + 32, 0x1120, true);
  view.setUint32(e + 36, 0x1140, true);
  view.setUint32(0x1100, 0x2100, true);
  view.setUint32(0x1104, 0x1260, true); // inside the directory: a forwarder
  view.setUint32(0x1108, 0x2200, true);
  view.setUint32(0x1120, 0x1220, true);
  view.setUint32(0x1124, 0x1240, true);
  view.setUint16(0x1140, 0, true);
  view.setUint16(0x1142, 1, true);
  text(0x1200, 'test.sys');
  text(0x1220, '_Foo@8');
  text(0x1240, 'Forward');
  text(0x1260, 'HAL.KfRaiseIrql');
  // debug directory with an NB10 record
  view.setUint32(0x2000 + 12, 2, true);
  view.setUint32(0x2000 + 16, 40, true);
  view.setUint32(0x2000 + 20, 0x2040, true);
  view.setUint32(0x2000 + 24, 0x2040, true);
  text(0x2040, 'NB10');
  view.setUint32(0x2048, 0x3b7d8475, true);
  view.setUint32(0x204c, 2, true);
  text(0x2050, 'C:\\build\\test.pdb');
  // one HIGHLOW relocation across the end of page 0x1000 and one in the middle
  view.setUint32(0x3000, 0x1000, true);
  view.setUint32(0x3004, 12, true);
  view.setUint16(0x3008, 0x3ffe, true);
  view.setUint16(0x300a, 0x3100, true);
  view.setUint32(0x1ffe, 0x0001_1234, true);
  return bytes;
}

const reader =
  (bytes: Uint8Array, missing: (rva: number) => boolean): ReadRva =>
  (rva, length) => {
    for (let at = rva; at < rva + length; at++) if (at >= bytes.length || missing(at)) return null;
    return bytes.slice(rva, rva + length);
  };

describe('an image in memory', () => {
  it('is read whole', () => {
    const pe = parsePe(reader(image(), () => false));
    expect(pe.headers).toMatchObject({
      machine: MACHINE_I386,
      is64: false,
      timeDateStamp: 0x4a5bc60f,
      sizeOfImage: 0x4000,
      checkSum: 0xc0de,
      imageBase: 0x10000n,
      entryPoint: 0x1234,
      problems: [],
    });
    expect(pe.sections?.map((s) => s.name)).toEqual(['.edata', '.debug', '.reloc']);
    expect(pe.sectionAt(0x2345)?.name).toBe('.debug');
    expect(pe.codeView).toEqual({
      kind: 'NB10',
      guid: '3B7D8475',
      age: 2,
      path: 'C:\\build\\test.pdb',
      name: 'test.pdb',
    });
    expect(pe.exports).toEqual({
      dllName: 'test.sys',
      complete: true,
      entries: [
        { name: '_Foo@8', ordinal: 5, rva: 0x2100, forwarder: null },
        { name: 'Forward', ordinal: 6, rva: 0, forwarder: 'HAL.KfRaiseIrql' },
        { name: null, ordinal: 7, rva: 0x2200, forwarder: null },
      ],
    });
    const symbols = exportSymbols(pe.exports, pe.machine);
    expect(symbols.nearest(0x21ff)?.display).toBe('Foo');
    expect(symbols.byName('foo')?.name).toBe('_Foo@8');
    expect(symbols.next(0x2100)?.name).toBe('Ordinal7');
    expect(symbols.byName('Forward')).toBeUndefined();
    expect(pe.version).toBeNull();
    expect(pe.runtimeFunction(0x1000).status).toBe('none');
  });

  it('keeps what is there when pages are missing', () => {
    const noExports = parsePe(reader(image(), (rva) => rva >= 0x1000 && rva < 0x2000));
    expect([noExports.exports, noExports.codeView?.name, noExports.sections?.length]).toEqual([null, 'test.pdb', 3]);
    const noNames = parsePe(reader(image(), (rva) => rva >= 0x1220 && rva < 0x1240));
    expect(noNames.exports?.complete).toBe(false);
    expect(noNames.exports?.entries.map((e) => e.ordinal)).toEqual([6, 5, 7]);
    const noSections = parsePe(reader(image(), (rva) => rva >= 0x180 && rva < 0x1000));
    expect(noSections.sections).toBeNull();
    expect(noSections.headers.problems.map((p) => p.id)).toEqual(['pe-sections-missing']);
    expect(noSections.exports?.entries.length).toBe(3);
    const noDebug = parsePe(reader(image(), (rva) => rva >= 0x2000 && rva < 0x2040));
    expect([noDebug.debugEntries, noDebug.codeView]).toEqual([null, null]);
  });

  it('is refused in one line when it is none', () => {
    const nothing = (): null => null;
    expect(tryParsePe(nothing)).toBeNull();
    expect(() => parsePe(nothing)).toThrow(PeError);
    const noMagic = image();
    noMagic[0] = 0;
    expect(() => parsePe(reader(noMagic, () => false))).toThrow('PE: no MZ signature at offset 0');
    const noPe = image();
    noPe[0x80] = 0;
    expect(() => parsePe(reader(noPe, () => false))).toThrow('PE: no PE signature at 0x80');
    expect(() => new ImageFile(new Uint8Array(3), 'x.sys')).toThrow('x.sys: no PE image (no MZ signature)');
  });
});

describe('an image file', () => {
  it('is relocated to where it was loaded, over page and read boundaries', () => {
    const file = new ImageFile(image(), 'test.sys');
    const base = 0xf800_0000n;
    const whole = file.readAt(base, 0x1f00, 0x200);
    const delta = Number(base - 0x10000n);
    expect(new DataView(whole?.buffer ?? new ArrayBuffer(8)).getUint32(0xfe, true)).toBe((0x11234 + delta) >>> 0);
    const value = Uint8Array.from([0x34, 0x12, 0x01, 0xf8]);
    new DataView(value.buffer).setUint32(0, (0x11234 + delta) >>> 0, true);
    for (let at = 0x1ffb; at < 0x2003; at++) {
      for (let length = 1; length < 6; length++) {
        const piece = file.readAt(base, at, length);
        expect(piece).toEqual(whole?.slice(at - 0x1f00, at - 0x1f00 + length));
      }
    }
    expect(file.readAt(0x10000n, 0x1ffe, 2)).toEqual(Uint8Array.from([0x34, 0x12]));
    expect(file.read(0x3fff, 2)).toBeNull();
    expect(file.read(-1, 2)).toBeNull();
  });

  it('applies 16- and 64-bit relocations with carry', () => {
    const block = new Uint8Array(16);
    const view = new DataView(block.buffer);
    view.setUint32(4, 14, true);
    view.setUint16(8, 0xa000, true); // DIR64 at 0
    view.setUint16(10, 0x1008, true); // HIGH at 8
    view.setUint16(12, 0x200a, true); // LOW at 10
    const bytes = new Uint8Array(16);
    const target = new DataView(bytes.buffer);
    target.setBigUint64(0, 0x1_ffff_ff00n, true);
    target.setUint16(8, 0x1234, true);
    target.setUint16(10, 0xff00, true);
    relocate(bytes, 0, 0x1_0000_0200n, parseRelocations(block));
    expect(target.getBigUint64(0, true)).toBe(0x3_0000_0100n);
    expect([target.getUint16(8, true), target.getUint16(10, true)]).toEqual([0x1234, 0x0100]);
  });
});

describe('runtime functions', () => {
  /** x64: [0x1000,0x1100) plain, [0x1200,0x1300) chained to it through two steps, [0x1400,0x1410) in a circle. */
  const memory = new Uint8Array(0x4000);
  const view = new DataView(memory.buffer);
  const entry = (at: number, ...words: number[]): void => {
    for (const [i, word] of words.entries()) view.setUint32(at + i * 4, word, true);
  };
  entry(0x3000, 0x1000, 0x1100, 0x3100);
  entry(0x300c, 0x1200, 0x1300, 0x3110);
  entry(0x3018, 0x1400, 0x1410, 0x3140);
  entry(0x3024, 0x1500, 0x1510, 0x3001); // indirect: the entry at 0x3000
  memory[0x3100] = 1;
  memory[0x3110] = 1 | (4 << 3);
  memory[0x3112] = 1; // one code, padded to two
  entry(0x3118, 0x1180, 0x1190, 0x3128);
  memory[0x3128] = 1 | (4 << 3);
  entry(0x312c, 0x1000, 0x1100, 0x3100);
  memory[0x3140] = 1 | (4 << 3);
  entry(0x3144, 0x1400, 0x1410, 0x3140);
  const find = (rva: number, missing: (rva: number) => boolean = () => false): ReturnType<typeof findRuntimeFunction> =>
    findRuntimeFunction(reader(memory, missing), 0x3000, 48, rva, MACHINE_AMD64);

  it('are found with the function that a chain leads to', () => {
    expect(find(0x10ff)).toMatchObject({
      status: 'found',
      entry: { begin: 0x1000, index: 0 },
      primary: { begin: 0x1000 },
    });
    expect(find(0x12ff)).toMatchObject({ status: 'found', entry: { begin: 0x1200 }, primary: { begin: 0x1000 } });
    expect(find(0x1500)).toMatchObject({
      status: 'found',
      entry: { begin: 0x1500, unwindData: 0x3100 },
      primary: { begin: 0x1000 },
    });
    for (const rva of [0xfff, 0x1100, 0x1300, 0x1410, 0x2000]) expect(find(rva).status).toBe('none');
  });

  it('say when the chain has no end and when bytes are missing', () => {
    expect(find(0x1400)).toEqual({ status: 'corrupt', rva: 0x3140 });
    expect(find(0x12ff, (rva) => rva >= 0x3110 && rva < 0x3118)).toEqual({ status: 'unreadable', rva: 0x3110 });
    expect(find(0x12ff, (rva) => rva >= 0x3128 && rva < 0x3130)).toEqual({ status: 'unreadable', rva: 0x3128 });
    expect(find(0x12ff, (rva) => rva >= 0x3000 && rva < 0x3100).status).toBe('unreadable');
  });

  it('of ARM64 take their length from packed data or from .xdata', () => {
    entry(0x2000, 0x1000, (0x40 << 2) | 1, 0x1200, 0x2800);
    entry(0x2800, 0x20);
    const arm = (rva: number): unknown =>
      findRuntimeFunction(
        reader(memory, () => false),
        0x2000,
        16,
        rva,
        MACHINE_ARM64,
      );
    expect(arm(0x10ff)).toMatchObject({ status: 'found', entry: { begin: 0x1000, end: 0x1100, packed: 1 } });
    expect(arm(0x1100)).toEqual({ status: 'none' });
    expect(arm(0x127f)).toMatchObject({
      status: 'found',
      entry: { begin: 0x1200, end: 0x1280, packed: 0, unwindData: 0x2800 },
    });
    expect(arm(0x1280)).toEqual({ status: 'none' });
  });
});

describe('resources and records', () => {
  const node = (
    key: string,
    value: Uint8Array,
    isText: boolean,
    children: readonly Uint8Array[],
    length?: number,
  ): Uint8Array => {
    const out: number[] = [0, 0, 0, 0, isText ? 1 : 0, 0, ...Buffer.from(`${key}\0`, 'utf16le')];
    const pad = (): void => {
      while (out.length % 4 !== 0) out.push(0);
    };
    pad();
    out.push(...value);
    for (const child of children) {
      pad();
      out.push(...child);
    }
    out[0] = out.length & 0xff;
    out[1] = out.length >> 8;
    out[2] = (length ?? value.length) & 0xff;
    return Uint8Array.from(out);
  };

  it('reads a version resource', () => {
    const fixed = new Uint8Array(52);
    const view = new DataView(fixed.buffer);
    [0xfeef04bd, 0x10000, 0x000a0000, 0x4a610508, 0x000a0000, 0x4a610001, 0x3f, 1, 0x40004, 3].forEach((v, i) => {
      view.setUint32(i * 4, v, true);
    });
    const text = (s: string): Uint8Array => Buffer.from(`${s}\0`, 'utf16le');
    const strings = node('040904B0', new Uint8Array(0), true, [
      node('CompanyName', text('Example Corporation'), true, [], 20),
      node('FileDescription', text('Driver'), true, [], 7),
    ]);
    const translation = node('Translation', Uint8Array.of(9, 4, 0xb0, 4, 0, 0, 0xe4, 4), false, []);
    const root = node('VS_VERSION_INFO', fixed, false, [
      node('StringFileInfo', new Uint8Array(0), true, [strings]),
      node('VarFileInfo', new Uint8Array(0), true, [translation]),
    ]);
    const info = parseVersionInfo(root);
    expect(info).toMatchObject({
      fileVersion: '10.0.19041.1288',
      productVersion: '10.0.19041.1',
      fileFlags: 1,
      fileFlagsMask: 0x3f,
      fileOs: 0x40004,
      fileType: 3,
      fileSubtype: 0,
      fileDate: [0, 0],
      translations: [
        [0x409, 0x4b0],
        [0, 0x4e4],
      ],
    });
    expect([...(info?.strings ?? [])]).toEqual([
      ['CompanyName', 'Example Corporation'],
      ['FileDescription', 'Driver'],
    ]);
    for (let cut = 0; cut < root.length; cut++) parseVersionInfo(root.slice(0, cut));
    expect(parseVersionInfo(new Uint8Array(40))).toBeNull();
  });

  it('reads CodeView records given as bytes', () => {
    const rsds = Buffer.concat([
      Buffer.from('RSDS'),
      Buffer.from(Array.from({ length: 16 }, (_, i) => i)),
      Buffer.from([3, 0, 0, 0]),
      Buffer.from('a\\b/ntkrnlmp.pdb\0'),
    ]);
    expect(codeViewFromBytes(rsds)).toMatchObject({
      guid: '03020100-0504-0706-0809-0A0B0C0D0E0F',
      age: 3,
      name: 'ntkrnlmp.pdb',
    });
    expect(codeViewFromBytes(rsds.subarray(0, 20))).toBeNull();
  });
});
