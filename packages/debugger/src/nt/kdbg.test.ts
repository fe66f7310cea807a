import { describe, expect, it } from 'vitest';
import { baseBugcheckCode, bugcheckRow } from './bugcheck.ts';
import { bugcheckRows } from './bugcheck-names.ts';
import { parseKdbg } from './kdbg.ts';
import { decodeKdbg, encodeKdbg, findEncodedKdbg, findKdbgKey } from './kdbg-decode.ts';

const NT = 0xfffff80123400000n;

function block(size = 0x380, base = NT): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, base + 0xc00b60n, true);
  view.setBigUint64(8, base + 0xc00b60n, true);
  view.setUint32(0x10, 0x4742444b, true);
  view.setUint32(0x14, size, true);
  view.setBigUint64(0x18, base, true);
  view.setBigUint64(0x48, base + 0xc2a290n, true);
  view.setBigUint64(0x218, base + 0xcfd600n, true);
  if (size > 0x344) {
    view.setUint16(0x2b4, 8, true);
    view.setUint32(0x340, 0x30, true);
  }
  return bytes;
}

describe('KDDEBUGGER_DATA64', () => {
  it('gives pointers and offsets, null beyond Size or 0', () => {
    const kdbg = parseKdbg(block(), null, 'dump', 8);
    expect(kdbg).toMatchObject({ size: 0x380, kernBase: NT });
    expect(kdbg?.pointer('KiProcessorBlock')).toBe(NT + 0xcfd600n);
    expect(kdbg?.pointer('MmPfnDatabase')).toBeNull();
    expect(kdbg?.pointer('NoSuchField')).toBeNull();
    expect(kdbg?.offset('OffsetPrcbCurrentThread')).toBe(8);
    expect(kdbg?.offset('OffsetKThreadStackLimit')).toBe(0x30);
    const old = parseKdbg(block(0x290), null, 'dump', 8);
    expect(old?.pointer('KiProcessorBlock')).toBe(NT + 0xcfd600n);
    expect(old?.offset('OffsetPrcbCurrentThread')).toBeNull();
  });

  it('zero-extends what a 32-bit kernel stores sign-extended', () => {
    const kdbg = parseKdbg(block(0x290, 0xffffffff804d7000n), null, 'dump', 4);
    expect(kdbg?.kernBase).toBe(0x804d7000n);
    expect(kdbg?.pointer('PsLoadedModuleList')).toBe(0x804d7000n + 0xc2a290n);
  });

  it('refuses what is none', () => {
    expect(parseKdbg(new Uint8Array(0x380), null, 'dump', 8)).toBeNull();
    const bytes = block();
    new DataView(bytes.buffer).setUint32(0x14, 0x20000, true);
    expect(parseKdbg(bytes, null, 'dump', 8)).toBeNull();
  });

  it('decodes without the constants, whatever they are', () => {
    let seed = 7n;
    const random = () => (seed = (seed * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn);
    for (let i = 0; i < 50; i++) {
      const plain = block();
      const encoded = encodeKdbg(plain, random(), random(), NT + 0xd00000n + BigInt(i));
      const key = findKdbgKey(encoded, NT);
      expect(key).not.toBeNull();
      if (key === null) continue;
      expect(decodeKdbg(encoded, key)).toEqual(plain);
      expect(findKdbgKey(encoded, NT + 0x1000n)).toBeNull();
    }
  });

  it('finds an encoded block among other bytes', () => {
    const bytes = new Uint8Array(0x8000);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 37) & 0xff;
    bytes.set(encodeKdbg(block(), 0x1234567890abcdefn, 0xfedcba0987654321n, NT + 0xd12345n), 0x4560);
    expect(findEncodedKdbg(bytes, NT)).toEqual([0x4560]);
  });
});

describe('bug check table', () => {
  it('has each code once, in order, with a name that is one', () => {
    expect(bugcheckRows.length).toBeGreaterThan(120);
    const codes = bugcheckRows.map((row) => row[0]);
    expect(new Set(codes).size).toBe(codes.length);
    for (const row of bugcheckRows) {
      expect(row[1]).toMatch(/^[A-Z][A-Z0-9_]+$/);
      expect(row.slice(2).every((text) => typeof text === 'string' && text.length > 0)).toBe(true);
    }
  });

  it('drops the _M bit of small dumps, not the customer bit of status codes', () => {
    expect(baseBugcheckCode(0x1000007e)).toBe(0x7e);
    expect(baseBugcheckCode(0xc000021a)).toBe(0xc000021a);
    expect(baseBugcheckCode(0xe2)).toBe(0xe2);
    expect(bugcheckRow(0x133)?.[1]).toBe('DPC_WATCHDOG_VIOLATION');
  });
});
