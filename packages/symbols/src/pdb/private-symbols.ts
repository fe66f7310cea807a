import type { Rva } from '@dumpscope/core';
import type { ModuleSymbol, SymbolTable } from '../symbol-table.ts';
import { undecorateSymbol } from '../undecorate.ts';
import type { AddressMap } from './address-map.ts';
import type { GlobalRecord, Globals } from './globals.ts';
import { type ProcedureRecord, procedureAt } from './module-symbols.ts';
import type { Msf } from './msf.ts';
import type { Procedures } from './procedures.ts';
import type { Publics } from './publics.ts';
import { RvaIndex } from './rva-index.ts';

interface Parts {
  readonly msf: Msf;
  readonly map: AddressMap;
  readonly machine: number;
  readonly procedures: Procedures;
  readonly globals: Globals | null;
  readonly publics: Publics | null;
}

/** Private procedures and data over the publics: names and sizes as the compiler knew them where there are any. */
export class PrivateSymbols implements SymbolTable {
  readonly origin = 'pdb-private';
  readonly #parts: Parts;
  #data: { symbols: ModuleSymbol[]; index: RvaIndex } | undefined;
  /** By stored name, and by NUL and display in lower case. */
  #names: Map<string, ModuleSymbol> | undefined;
  #all: { symbols: ModuleSymbol[]; index: RvaIndex } | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  byName(name: string): ModuleSymbol | undefined {
    const { publics } = this.#parts;
    for (const exact of [true, false]) {
      const found = this.#byGlobal(name, exact) ?? publics?.find(name, exact) ?? this.#byModule(name, exact);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Procedures that no global record refers to (thunks, assembly code): by a scan of all modules, once. */
  #byModule(name: string, exact: boolean): ModuleSymbol | undefined {
    if (this.#names === undefined) {
      this.#names = new Map();
      for (const symbol of this.#loadAll().symbols) {
        if (!this.#names.has(symbol.name)) this.#names.set(symbol.name, symbol);
        const folded = `\0${symbol.display.toLowerCase()}`;
        if (!this.#names.has(folded)) this.#names.set(folded, symbol);
      }
    }
    return this.#names.get(exact ? name : `\0${name.toLowerCase()}`);
  }

  #byGlobal(name: string, exact: boolean): ModuleSymbol | undefined {
    for (const record of this.#parts.globals?.find(name, exact) ?? []) {
      const symbol = this.#globalSymbol(record);
      if (symbol !== undefined) return symbol;
    }
    return undefined;
  }

  #globalSymbol(record: GlobalRecord): ModuleSymbol | undefined {
    const { msf, map, procedures, machine } = this.#parts;
    if (record.kind === 'data') {
      const rva = map.rva(record.section, record.offset);
      if (rva < 0) return undefined;
      return {
        name: record.name,
        display: displayOf(record.name, machine),
        rva: rva as Rva,
        isFunction: false,
        size: null,
      };
    }
    if (record.kind !== 'procedure') return undefined;
    const module = procedures.modules[record.module];
    const procedure = module === undefined ? null : procedureAt(msf, module, record.record);
    return procedure === null ? undefined : this.#procedureSymbol(procedure);
  }

  #procedureSymbol(procedure: ProcedureRecord): ModuleSymbol | undefined {
    const { map, machine } = this.#parts;
    const rva = map.rva(procedure.section, procedure.offset);
    if (rva < 0) return undefined;
    return {
      name: procedure.name,
      display: displayOf(procedure.name, machine),
      rva: rva as Rva,
      isFunction: true,
      size: procedure.size,
    };
  }

  nearest(rva: number): ModuleSymbol | undefined {
    const { map, procedures, publics, machine } = this.#parts;
    const source = map.toSource(rva);
    const hit = source < 0 ? undefined : procedures.find(source);
    if (hit !== undefined) {
      const { procedure } = hit;
      const base = { name: procedure.name, display: displayOf(procedure.name, machine), isFunction: true };
      // Code that was moved away keeps its procedure's name: WinDbg shows a large displacement. Only a chunk that lies
      // below its procedure is counted from its own start.
      if (hit.chunk !== null && hit.start > source) {
        return { ...base, rva: (rva - (source - hit.chunk.start)) as Rva, size: hit.chunk.size };
      }
      return { ...base, rva: Math.max(0, rva - (source - hit.start)) as Rva, size: procedure.size };
    }
    const data = this.#loadData();
    const at = data.index.nearest(rva);
    const own = at < 0 ? undefined : data.symbols[data.index.item(at)];
    const other = publics?.nearest(rva);
    return own !== undefined && (other === undefined || own.rva >= other.rva) ? own : other;
  }

  next(rva: number): ModuleSymbol | undefined {
    const { symbols, index } = this.#loadAll();
    const at = index.next(rva);
    return at < 0 ? undefined : symbols[index.item(at)];
  }

  *all(): Iterable<ModuleSymbol> {
    const { symbols, index } = this.#loadAll();
    for (let i = 0; i < index.length; i++) {
      const symbol = symbols[index.item(i)];
      if (symbol !== undefined) yield symbol;
    }
  }

  #loadData(): { symbols: ModuleSymbol[]; index: RvaIndex } {
    if (this.#data === undefined) {
      const symbols: ModuleSymbol[] = [];
      const seen = new Set<string>();
      for (const record of this.#parts.globals?.all() ?? []) {
        if (record.kind !== 'data') continue;
        const symbol = this.#globalSymbol(record);
        const key = `${symbol?.rva} ${record.name}`;
        if (symbol === undefined || seen.has(key)) continue;
        seen.add(key);
        symbols.push(symbol);
      }
      this.#data = { symbols, index: new RvaIndex(Uint32Array.from(symbols, (s) => s.rva)) };
    }
    return this.#data;
  }

  /** Everything, each name once at an address; of a private and a public name that print alike the private one. */
  #loadAll(): { symbols: ModuleSymbol[]; index: RvaIndex } {
    if (this.#all !== undefined) return this.#all;
    const { procedures, publics } = this.#parts;
    const symbols: ModuleSymbol[] = [];
    const seen = new Set<string>();
    const add = (symbol: ModuleSymbol | undefined): void => {
      if (symbol === undefined) return;
      const key = `${symbol.rva} ${symbol.display}`;
      if (seen.has(key)) return;
      seen.add(key);
      symbols.push(symbol);
    };
    for (const procedure of procedures.all().records) add(this.#procedureSymbol(procedure));
    for (const symbol of this.#loadData().symbols) add(symbol);
    for (const symbol of publics?.all() ?? []) add(symbol);
    this.#all = { symbols, index: new RvaIndex(Uint32Array.from(symbols, (s) => s.rva)) };
    return this.#all;
  }
}

/** Names of private symbols are plain already, but for thunks and assembly code. */
function displayOf(name: string, machine: number): string {
  return name.startsWith('?') ? undecorateSymbol(name, machine) : name;
}
