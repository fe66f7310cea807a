import { type Arch, va } from '@dumpscope/core';
import type { ModuleSymbol } from '@dumpscope/symbols';
import { X86_EXPORT_REACH } from './function-extent.ts';
import type { Name } from './model.ts';
import type { LoadedModule } from './module.ts';

function plus(name: string, displacement: number): string {
  return displacement === 0 ? name : `${name}+0x${displacement.toString(16)}`;
}

/**
 * The name of an address in a module.
 *
 * Full name tables (PDB, ISF, built-in) name the nearest symbol below; where .pdata shows that the address lies in a
 * separated piece of a function, the function's own name with the distance from its start.
 *
 * Export tables name few functions, and the nearest export far below is not the function: on x64 and ARM64 the .pdata
 * function that holds the address must begin at the export (without .pdata only the export's own address is named; a
 * leaf function without an entry up to 0x80 bytes); on x86 the address must lie within 0x200 bytes and before the next
 * export. Everything else is module+offset.
 */
export function nameInModule(arch: Arch, module: LoadedModule, at: number): Name {
  const bare: Name = { text: plus(module.name, at), module, symbol: null, displacement: at };
  const info = module.debugInfo;
  if (info === null) return bare;
  const nearest = info.symbols.nearest(at);
  if (nearest === undefined) return bare;
  const displacement = at - nearest.rva;
  if (module.symbolOrigin === 'export') {
    return exportFits(arch, module, nearest, at) ? named(module, nearest, displacement) : bare;
  }
  if (displacement === 0) return named(module, nearest, 0);
  if (arch !== 'x86') {
    const extent = module.extent(at);
    if (extent !== null && extent.from === 'pdata' && nearest.rva < (extent.piece?.begin ?? extent.start)) {
      // No symbol inside this piece: it belongs to its function, if that has a name of its own.
      const own = info.symbols.nearest(extent.start);
      if (own !== undefined && own.rva === extent.start && at >= extent.start)
        return named(module, own, at - extent.start);
      if (own === undefined || own.rva !== extent.start) {
        // A function without a public name: the name below belongs to its neighbour.
        if (nearest.rva < extent.start) return bare;
      }
    }
  }
  return named(module, nearest, displacement);
}

function named(module: LoadedModule, symbol: ModuleSymbol, displacement: number): Name {
  return { text: plus(`${module.name}!${symbol.display}`, displacement), module, symbol, displacement };
}

function exportFits(arch: Arch, module: LoadedModule, symbol: ModuleSymbol, at: number): boolean {
  if (at === symbol.rva) return true;
  if (arch === 'x86') return at - symbol.rva < X86_EXPORT_REACH;
  const extent = module.extent(at);
  if (extent === null) return false;
  if (extent.from === 'pdata') return extent.start === symbol.rva && at >= extent.start;
  return extent.start === symbol.rva && at - symbol.rva < 0x80;
}

/** `0x…` for an address outside of every module. */
export function bareName(address: bigint): Name {
  return { text: `0x${address.toString(16)}`, module: null, symbol: null, displacement: 0 };
}

/** Module lookup by address over a sorted copy of the list. */
export class ModuleMap {
  readonly #sorted: LoadedModule[];

  constructor(modules: readonly LoadedModule[]) {
    this.#sorted = [...modules].sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : 0));
  }

  find(address: bigint): LoadedModule | undefined {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((this.#sorted[mid]?.base ?? 0n) <= address) low = mid + 1;
      else high = mid;
    }
    // Overlapping ranges (a damaged list): the one below may still hold it.
    for (let i = low - 1; i >= 0 && i >= low - 3; i--) {
      const module = this.#sorted[i];
      if (module !== undefined && address < module.base + BigInt(module.size)) return module;
    }
    return undefined;
  }
}

/** `module!symbol`, `symbol` (the kernel first), or a module's base by its name. */
export function resolveName(modules: readonly LoadedModule[], name: string): ReturnType<typeof va> | undefined {
  const bang = name.indexOf('!');
  if (bang >= 0) {
    const wanted = name.slice(0, bang).toLowerCase();
    const symbol = name.slice(bang + 1);
    for (const module of modules) {
      if (module.name.toLowerCase() !== wanted) continue;
      const found = module.debugInfo?.symbols.byName(symbol) ?? module.exports?.byName(symbol);
      if (found !== undefined) return va(module.base + BigInt(found.rva));
    }
    return undefined;
  }
  const lower = name.toLowerCase();
  for (const module of modules) if (module.name.toLowerCase() === lower) return module.base;
  for (const module of modules) if (module.imageName.toLowerCase() === lower) return module.base;
  for (const module of modules) {
    const found = module.debugInfo?.symbols.byName(name);
    if (found !== undefined) return va(module.base + BigInt(found.rva));
  }
  return undefined;
}
