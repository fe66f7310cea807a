import { readFileSync } from 'node:fs';
import { bytesSource } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { openPdb } from '../src/pdb/index.ts';
import { moduleSymbolBytes, symbolRecords } from '../src/pdb/module-symbols.ts';
import { builtPdbs, canBuild } from './pdb-build.ts';

/** S_SEPCODE: no compiler at hand writes it, so a record of a built PDB is overwritten with one. */

const S_COMPILE3 = 0x113c;
const S_SEPCODE = 0x1132;

describe.skipIf(!canBuild())('code separated from its function', () => {
  const path = builtPdbs().find((file) => file.includes('x64-c')) ?? '';
  const original = readFileSync(path);
  const plain = openPdb(bytesSource(original, 'plain.pdb'));

  /** The padding behind a procedure of the module, as code that was moved there from `parent`. */
  function separated() {
    for (const module of plain.procedures?.modules ?? []) {
      const bytes = moduleSymbolBytes(plain.msf, module);
      const record = [...symbolRecords(bytes)].find((r) => r.kind === S_COMPILE3 && r.end - r.at >= 32);
      const procedures = [...(plain.procedures?.module(module.index).procedures ?? [])].sort(
        (a, b) => a.offset - b.offset,
      );
      const gap = procedures.findIndex((p, i) => (procedures[i + 1]?.offset ?? 0) > p.offset + p.size);
      if (record === undefined || gap < 0) continue;
      const at = original.indexOf(Buffer.from(bytes.subarray(record.at, record.end)));
      const before = procedures[gap];
      const parent = procedures.find((p) => p !== before);
      const next = procedures[gap + 1];
      if (at < 0 || before === undefined || parent === undefined || next === undefined) continue;
      const offset = before.offset + before.size;
      const size = next.offset - offset;
      const file = new Uint8Array(original);
      const view = new DataView(file.buffer);
      view.setUint16(at + 2, S_SEPCODE, true);
      for (const [i, value] of [0, 0, size, 0, offset, parent.offset].entries())
        view.setUint32(at + 4 + i * 4, value, true);
      view.setUint16(at + 28, before.section, true);
      view.setUint16(at + 30, parent.section, true);
      return { file, parent, section: before.section, offset, size };
    }
    throw new Error('no module with room for it');
  }

  it('belongs to that function', () => {
    const { file, parent, section, offset, size } = separated();
    const pdb = openPdb(bytesSource(file, 'separated.pdb'));
    const rva = (pdb.addresses?.rva(section, offset) ?? -1) as number;
    const start = (pdb.addresses?.rva(parent.section, parent.offset) ?? -1) as number;
    const info = pdb.debugInfo();
    expect(info.separatedCode?.(rva)).toEqual({
      begin: rva,
      end: rva + size,
      functionStart: start,
      functionEnd: start + parent.size,
    });
    expect(info.separatedCode?.(rva + size - 1)?.begin).toBe(rva);
    expect(info.separatedCode?.(rva + size)).toBeUndefined();
    expect(info.separatedCode?.(start)).toBeUndefined();
    expect(info.symbols.nearest(rva)?.name).toBe(parent.name);
    expect(plain.debugInfo().separatedCode?.(rva)).toBeUndefined();
  });
});
