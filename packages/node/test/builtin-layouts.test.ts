import { readdirSync, readFileSync } from 'node:fs';
import { builtinLayouts, type IsfFile, loadBuiltin, parseIsf, type TypeRef, type TypeTable } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { expandXz } from '../src/xz.ts';
import { haveShared, shared } from './shared.ts';

const dir = `${shared}/symbols/isf`;
const anonymous = /^__(unnamed|anonymous)_/;
const read = async (name: string): Promise<IsfFile> =>
  parseIsf(await expandXz(readFileSync(`${dir}/${name}`), 1 << 28), name);

/** A type as text in which anonymous structures are spelled out, so that names made up by a source do not matter. */
function spell(table: TypeTable, type: TypeRef, depth = 0): string {
  switch (type.kind) {
    case 'base':
      return `${type.name}/${type.size}/${type.signed}/${type.form}`;
    case 'pointer':
      return `${type.size}*${spell(table, type.to, depth)}`;
    case 'array':
      return `[${type.count}]${spell(table, type.of, depth)}`;
    case 'bitfield':
      return `:${type.position},${type.length}${spell(table, type.of, depth)}`;
    case 'enum':
      return `enum ${type.name}`;
    case 'function':
      return 'function';
    case 'struct':
      return anonymous.test(type.name) ? spellStruct(table, type.name, depth + 1) : type.name;
  }
}

function spellStruct(table: TypeTable, name: string, depth = 0): string {
  const struct = table.struct(name);
  if (!struct || depth > 12) return '?';
  const fields = [...struct.fields.values()].map((f) => `${f.name}@${f.offset} ${spell(table, f.type, depth)}`);
  return `${struct.kind} ${struct.size} {${fields.join('; ')}}`;
}

describe.skipIf(!haveShared)('built-in layouts against the ISF files they were made from', () => {
  const files = haveShared ? readdirSync(dir).filter((name) => name.endsWith('.xz')) : [];
  const exact = builtinLayouts.filter((info) => info.guid !== null);

  it('holds every kernel with a GUID', () => {
    const guids = files.flatMap((name) => /^ntkrnl.*-([0-9A-F]{32})-/.exec(name)?.[1] ?? []);
    expect(exact.map((info) => info.guid).sort()).toEqual(guids.sort());
  });

  it.each(exact.map((info) => [info.id, info] as const))('%s', async (id, info) => {
    const isf = await read(files.find((name) => name.includes(info.guid ?? '?')) ?? '');
    const built = loadBuiltin(id);
    if (!built) throw new Error('not there');
    expect(isf.pdb).toEqual({ name: info.pdb, guid: info.guid, age: info.age });
    const names = [...isf.types.structNames()].filter((name) => !anonymous.test(name)).sort();
    expect([...built.table.structNames()]).toEqual(names);
    for (const name of names)
      expect([name, spellStruct(built.table, name)]).toEqual([name, spellStruct(isf.types, name)]);
    const enums = [...(isf.types as TypeTable & { enumNames(): Iterable<string> }).enumNames()];
    expect(enums.length).toBeGreaterThan(40);
    for (const name of enums) expect(built.table.enumeration(name)).toEqual(isf.types.enumeration(name));
    let count = 0;
    for (const symbol of built.symbols.all()) {
      count++;
      expect([symbol.name, isf.symbols.byName(symbol.name)?.rva]).toEqual([symbol.name, symbol.rva]);
      // What the name covers ends where the next public of the whole kernel begins.
      if (symbol.size) expect(isf.symbols.next(symbol.rva)?.rva).toBe(symbol.rva + symbol.size);
    }
    expect(count).toBeGreaterThan(1000);
    expect(info.symbolRva('PsLoadedModuleList')).toBe(isf.symbols.byName('PsLoadedModuleList')?.rva);
    expect(isf.problems).toEqual([]);
  });

  it('merges the two sources of Windows 7 x86, PTE types only where they are known', async () => {
    const ntdll = await read('nt-types-x86-6.1.7601-from-ntdll.json.xz');
    const headers = await read('nt-types-x86-6.1.7601.17514-from-headers.json.xz');
    const plain = loadBuiltin('x86-6.1.7601-nopae')?.table;
    const pae = loadBuiltin('x86-6.1.7601-pae')?.table;
    if (!plain || !pae) throw new Error('not there');
    for (const name of ['_KPRCB', '_KTHREAD', '_EPROCESS', '_IRP']) {
      expect(spellStruct(plain, name)).toBe(spellStruct(ntdll.types, name));
      expect(spellStruct(pae, name)).toBe(spellStruct(ntdll.types, name));
    }
    for (const name of ['_KLOCK_QUEUE_HANDLE', '_KMUTANT', '_POOL_HEADER', '_MMPFN', '_MMPTE']) {
      expect(spellStruct(plain, name)).toBe(spellStruct(headers.types, name));
    }
    expect(pae.struct('_KLOCK_QUEUE_HANDLE')?.size).toBe(12);
    expect(pae.struct('_HARDWARE_PTE')?.size).toBe(8);
    expect([pae.struct('_MMPTE'), pae.struct('_MMPFN')]).toEqual([undefined, undefined]);
  });
});
