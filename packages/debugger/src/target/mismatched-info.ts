import type { ModuleDebugInfo, ModuleSymbol, SymbolTable } from '@dumpscope/symbols';

/** Stands behind every name that comes from a PDB of another build. */
export const MISMATCH_MARK = '{mismatch}';

function marked(symbol: ModuleSymbol | undefined): ModuleSymbol | undefined {
  return symbol === undefined ? undefined : { ...symbol, display: symbol.display + MISMATCH_MARK };
}

/**
 * What a PDB of another build may tell: names, each of them marked, so that no rule takes one for the function that it
 * names. Not frame records, lines and locals: these would change stacks without a mark.
 */
export function mismatchedInfo(info: ModuleDebugInfo): ModuleDebugInfo {
  const { symbols } = info;
  const table: SymbolTable = {
    origin: symbols.origin,
    byName: (name) =>
      marked(symbols.byName(name.endsWith(MISMATCH_MARK) ? name.slice(0, -MISMATCH_MARK.length) : name)),
    nearest: (at) => marked(symbols.nearest(at)),
    next: (at) => marked(symbols.next(at)),
    *all() {
      for (const symbol of symbols.all()) yield { ...symbol, display: symbol.display + MISMATCH_MARK };
    },
  };
  return { symbols: table, frameRecord: () => undefined, line: () => undefined };
}
