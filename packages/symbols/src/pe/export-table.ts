import type { Rva } from '@dumpscope/core';
import { RvaIndex } from '../pdb/rva-index.ts';
import type { ModuleSymbol, SymbolTable } from '../symbol-table.ts';
import { undecorateSymbol } from '../undecorate.ts';
import type { PeExports } from './exports.ts';

const I386 = 0x14c;

/** The exports of an image as a symbol table; forwarders have no address and are left out. */
export function exportSymbols(exports: PeExports | null, machine: number): SymbolTable {
  const symbols: ModuleSymbol[] = [];
  for (const entry of exports?.entries ?? []) {
    if (entry.rva === 0) continue;
    const name = entry.name ?? `Ordinal${entry.ordinal}`;
    symbols.push({
      name,
      // Only C on x86 decorates the names that an image exports.
      display: name.startsWith('?') || machine === I386 ? undecorateSymbol(name, machine) : name,
      rva: entry.rva as Rva,
      isFunction: null,
      size: null,
    });
  }
  return symbolTableOf('export', symbols);
}

/** A table over symbols that are already objects. */
export function symbolTableOf(origin: SymbolTable['origin'], symbols: readonly ModuleSymbol[]): SymbolTable {
  const rvas = new Uint32Array(symbols.length);
  for (let i = 0; i < symbols.length; i++) rvas[i] = symbols[i]?.rva ?? 0;
  const index = new RvaIndex(rvas);
  let names: Map<string, ModuleSymbol> | undefined;
  let folded: Map<string, ModuleSymbol> | undefined;
  const at = (position: number): ModuleSymbol | undefined => (position < 0 ? undefined : symbols[index.item(position)]);
  return {
    origin,
    byName(name) {
      if (names === undefined) {
        names = new Map();
        for (const symbol of symbols) if (!names.has(symbol.name)) names.set(symbol.name, symbol);
        for (const symbol of symbols) if (!names.has(symbol.display)) names.set(symbol.display, symbol);
      }
      const exact = names.get(name);
      if (exact !== undefined) return exact;
      if (folded === undefined) {
        folded = new Map();
        for (const [key, symbol] of names) if (!folded.has(key.toLowerCase())) folded.set(key.toLowerCase(), symbol);
      }
      return folded.get(name.toLowerCase());
    },
    nearest: (rva) => at(index.nearest(rva)),
    next: (rva) => at(index.next(rva)),
    *all() {
      for (let i = 0; i < index.length; i++) {
        const symbol = at(i);
        if (symbol !== undefined) yield symbol;
      }
    },
  };
}
