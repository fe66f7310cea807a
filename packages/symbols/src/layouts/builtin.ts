import type { Arch } from '@dumpscope/core';
import { inflateSync } from 'fflate';
import { RvaSymbolTable } from '../rva-symbol-table.ts';
import type { SymbolTable } from '../symbol-table.ts';
import type { EnumType, StructType, TypeTable } from '../type-table.ts';
import { bytesOfBase64, textOfLatin1 } from './base64.ts';
import {
  builtinRecords,
  coreStrings,
  familyData,
  fingerprintNames,
  otherStrings,
  symbolData,
  symbolNamePool,
} from './builtin-data.gen.ts';
import { type BuiltinRecord, TypePool, VarintReader } from './builtin-format.ts';

/** A kernel of which the layouts are always there. */
export interface BuiltinLayoutInfo {
  /** `x64-10.0.19041.3570-606ff669`. */
  readonly id: string;
  readonly arch: Arch;
  readonly version: string;
  /** NT build number: 2600, 7601, 19041, … */
  readonly build: number;
  /** 32 upper-case digits, or null where the table comes from no kernel PDB. */
  readonly guid: string | null;
  readonly age: number | null;
  readonly pdb: string;
  /** x86 only; the types that depend on it are absent where the table's source had the other kind. */
  readonly pae: boolean | null;
  readonly pointerSize: 4 | 8;
  /** Where the facts come from, for reports. */
  readonly source: string;
  /** RVA of a kernel variable that KDBG points at or that identifies a kernel; costs no loading. */
  symbolRva(name: string): number | undefined;
}

export interface BuiltinLayout {
  readonly info: BuiltinLayoutInfo;
  readonly table: TypeTable;
  /** Names of that very kernel: only of use where the dump's kernel is exactly this one. */
  readonly symbols: SymbolTable;
}

class Info implements BuiltinLayoutInfo {
  readonly id: string;
  readonly arch: Arch;
  readonly version: string;
  readonly build: number;
  readonly guid: string | null;
  readonly age: number | null;
  readonly pdb: string;
  readonly pae: boolean | null;
  readonly pointerSize: 4 | 8;
  readonly source: string;
  readonly record: BuiltinRecord;
  #rvas: Map<string, number> | undefined;

  constructor(record: BuiltinRecord) {
    this.id = record.id;
    this.arch = record.arch;
    this.version = record.version;
    this.build = record.build;
    this.guid = record.guid;
    this.age = record.age;
    this.pdb = record.pdb;
    this.pae = record.pae;
    this.pointerSize = record.pointerSize;
    this.source = record.source;
    this.record = record;
  }

  symbolRva(name: string): number | undefined {
    if (!this.#rvas) {
      this.#rvas = new Map();
      const values = this.record.rvas.split(',');
      for (let i = 0; i < fingerprintNames.length; i++) {
        const value = values[i];
        if (value) this.#rvas.set(fingerprintNames[i] ?? '', Number.parseInt(value, 36));
      }
    }
    return this.#rvas.get(name);
  }
}

const infos = builtinRecords.map((record) => new Info(record));

export const builtinLayouts: readonly BuiltinLayoutInfo[] = infos;

const pools = new Map<string, TypePool>();
const strings: (readonly string[] | undefined)[] = [];
const loaded = new Map<string, BuiltinLayout>();
let symbolNames: readonly string[] | undefined;

function inflate(text: string): Uint8Array {
  return inflateSync(bytesOfBase64(text));
}

function poolOf(family: string, tier: 0 | 1, pointerSize: 4 | 8): TypePool {
  const key = `${family}/${tier}`;
  let pool = pools.get(key);
  if (!pool) {
    const names = (strings[tier] ??= (tier === 0 ? coreStrings : textOfLatin1(inflate(otherStrings))).split('\n'));
    pool = new TypePool(
      tier === 0 ? (familyData[key] ?? '') : inflate(familyData[key] ?? ''),
      names,
      pointerSize,
      `__unnamed_${tier}_`,
    );
    pools.set(key, pool);
  }
  return pool;
}

class BuiltinTypeTable implements TypeTable {
  readonly pointerSize: 4 | 8;
  readonly origin: string;
  readonly #record: BuiltinRecord;
  readonly #structs = new Map<string, StructType>();
  readonly #enums = new Map<string, EnumType>();
  readonly #tiers: {
    readonly pool: TypePool;
    readonly structs: ReadonlyMap<string, number>;
    readonly enums: ReadonlyMap<string, number>;
  }[] = [];

  constructor(record: BuiltinRecord) {
    this.#record = record;
    this.pointerSize = record.pointerSize;
    const kind = record.pae === null ? '' : record.pae ? ' PAE' : ' non-PAE';
    const guid = record.guid === null ? '' : ` {${record.guid},${record.age}}`;
    this.origin = `built-in ${record.arch} ${record.version}${kind}${guid}`;
  }

  #tier(tier: 0 | 1): {
    readonly pool: TypePool;
    readonly structs: ReadonlyMap<string, number>;
    readonly enums: ReadonlyMap<string, number>;
  } {
    let entry = this.#tiers[tier];
    if (!entry) {
      const pool = poolOf(this.#record.family, tier, this.pointerSize);
      entry = { pool, ...pool.build(this.#record.index) };
      this.#tiers[tier] = entry;
    }
    return entry;
  }

  struct(name: string): StructType | undefined {
    const known = this.#structs.get(name);
    if (known) return known;
    const anonymous = /^__unnamed_([01])_(\d+)$/.exec(name);
    let made: StructType | undefined;
    if (anonymous) {
      const { pool } = this.#tier(anonymous[1] === '0' ? 0 : 1);
      made = pool.definition(Number(anonymous[2]), name);
    } else {
      for (const tier of [0, 1] as const) {
        const { pool, structs } = this.#tier(tier);
        const index = structs.get(name);
        if (index === undefined) continue;
        made = pool.definition(index, name);
        break;
      }
    }
    if (made) this.#structs.set(name, made);
    return made;
  }

  enumeration(name: string): EnumType | undefined {
    const known = this.#enums.get(name);
    if (known) return known;
    for (const tier of [0, 1] as const) {
      const { pool, enums } = this.#tier(tier);
      const index = enums.get(name);
      if (index === undefined) continue;
      const made: EnumType = { name, ...pool.enumeration(index) };
      this.#enums.set(name, made);
      return made;
    }
    return undefined;
  }

  structNames(): Iterable<string> {
    return [...this.#tier(0).structs.keys(), ...this.#tier(1).structs.keys()].sort();
  }

  enumNames(): Iterable<string> {
    return [...this.#tier(0).enums.keys(), ...this.#tier(1).enums.keys()].sort();
  }
}

function loadSymbols(id: string): RvaSymbolTable {
  const text = symbolData[id];
  if (text === undefined) return new RvaSymbolTable('builtin', { names: [], rvas: [] });
  symbolNames ??= textOfLatin1(inflate(symbolNamePool)).split('\n');
  const r = new VarintReader(inflate(text));
  const count = r.u();
  const names: string[] = new Array<string>(count);
  const rvas = new Uint32Array(count);
  const sizes = new Uint32Array(count);
  let name = 0;
  for (let i = 0; i < count; i++) names[i] = symbolNames[(name += r.u())] ?? '';
  let last = 0;
  for (let i = 0; i < count; i++) rvas[i] = last += r.s();
  for (let i = 0; i < count; i++) sizes[i] = r.u();
  return new RvaSymbolTable('builtin', { names, rvas, sizes });
}

/** The layouts of one of {@link builtinLayouts}; undefined for an unknown id. Types and symbols are read when asked for. */
export function loadBuiltin(id: string): BuiltinLayout | undefined {
  const known = loaded.get(id);
  if (known) return known;
  const info = infos.find((candidate) => candidate.id === id);
  if (!info) return undefined;
  let symbols: SymbolTable | undefined;
  const layout: BuiltinLayout = {
    info,
    table: new BuiltinTypeTable(info.record),
    get symbols() {
      return (symbols ??= loadSymbols(id));
    },
  };
  loaded.set(id, layout);
  return layout;
}
