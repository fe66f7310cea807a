import type { Arch, Memory } from '@dumpscope/core';
import {
  findRuntimeFunction,
  type ModuleDebugInfo,
  type ModuleSymbol,
  type RuntimeFunctionLookup,
} from '@dumpscope/symbols';

/** Function bounds and names of one module. */

export interface FunctionExtent {
  readonly start: number;
  readonly end: number | null;
  readonly from: 'pdata' | 'symbol' | 'export';
  /** The piece of the function that holds the address, where .pdata cuts it into pieces. */
  readonly piece: { readonly begin: number; readonly end: number } | null;
}

interface ModuleView {
  readonly base: bigint;
  readonly size: number;
  readonly pdata: { readonly rva: number; readonly size: number } | null;
  readonly debugInfo: Pick<ModuleDebugInfo, 'symbols' | 'separatedCode'> | null;
  readonly symbolOrigin: string | null;
}

interface View {
  readonly arch: Arch;
  readonly memory: Memory;
}

const machines = { x86: 0x14c, x64: 0x8664, arm64: 0xaa64 } as const;

/** The .pdata entry for an RVA, read through target memory. */
export function runtimeFunctionAt(module: ModuleView, view: View, at: number): RuntimeFunctionLookup {
  const pdata = module.pdata;
  if (pdata === null) return { status: 'unreadable', rva: 0 };
  return findRuntimeFunction(
    (rva, length) =>
      rva < 0 || rva + length > module.size ? null : (view.memory.bytes(module.base + BigInt(rva), length) ?? null),
    pdata.rva,
    pdata.size,
    at,
    machines[view.arch],
  );
}

/**
 * An x86 export stands for the code behind it only this far: exported functions are neighbours of static ones that have
 * no name.
 */
export const X86_EXPORT_REACH = 0x200;

/** Function that holds `at`; null where neither .pdata nor trustworthy names tell. */
export function extentOf(module: ModuleView, view: View, at: number): FunctionExtent | null {
  if (at < 0 || at >= module.size) return null;
  if (view.arch !== 'x86') {
    const found = runtimeFunctionAt(module, view, at);
    if (found.status === 'found') {
      return {
        start: found.primary.begin,
        end: found.primary.end,
        from: 'pdata',
        piece: { begin: found.entry.begin, end: found.entry.end },
      };
    }
    // A leaf function has no entry: only a name can say where it begins.
    if (found.status === 'none') return bySymbol(module, at, 0x400);
    return module.symbolOrigin === 'export' ? null : bySymbol(module, at, null);
  }
  return bySymbol(module, at, module.symbolOrigin === 'export' ? X86_EXPORT_REACH : null);
}

function bySymbol(module: ModuleView, at: number, reach: number | null): FunctionExtent | null {
  const symbols = module.debugInfo?.symbols;
  if (symbols === undefined) return null;
  const piece = module.debugInfo?.separatedCode?.(at);
  if (piece !== undefined) {
    const { begin, end, functionStart, functionEnd } = piece;
    return { start: functionStart, end: functionEnd, from: 'symbol', piece: { begin, end } };
  }
  const symbol: ModuleSymbol | undefined = symbols.nearest(at);
  if (symbol === undefined || symbol.isFunction === false) return null;
  if (reach !== null && at - symbol.rva >= reach) return null;
  const end = symbol.size !== null ? symbol.rva + symbol.size : (symbols.next(at)?.rva ?? null);
  if (symbol.size !== null && at >= symbol.rva + symbol.size) return null;
  return { start: symbol.rva, end, from: module.symbolOrigin === 'export' ? 'export' : 'symbol', piece: null };
}
