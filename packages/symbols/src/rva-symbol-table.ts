import { type Rva, rva } from '@dumpscope/core';
import type { ModuleSymbol, SymbolOrigin, SymbolTable } from './symbol-table.ts';

export interface RvaSymbols {
  /** As stored. */
  readonly names: readonly string[];
  readonly rvas: ArrayLike<number>;
  /** Bytes that a name covers at most, where the source knows. `nearest` answers nothing beyond them. */
  readonly sizes?: ArrayLike<number>;
  /** The name as WinDbg prints it; default: as stored. */
  readonly display?: (index: number) => string;
}

// An address has often several names. Plain identifiers come before import thunks, string literals and decorated ones.
function rank(name: string): number {
  const c = name.charCodeAt(0);
  return c === 0x3f || c === 0x7f || c === 0x24 ? 2 : c === 0x5f || name.includes('$') ? 1 : 0;
}

/** Names by RVA over plain columns; indexes are built by the first question that needs them. */
export class RvaSymbolTable implements SymbolTable {
  readonly origin: SymbolOrigin;
  readonly #data: RvaSymbols;
  #sorted: { readonly rvas: Float64Array; readonly order: Uint32Array } | undefined;
  #byName: Map<string, number> | undefined;
  #byLowerName: Map<string, number> | undefined;

  constructor(origin: SymbolOrigin, data: RvaSymbols) {
    this.origin = origin;
    this.#data = data;
  }

  get size(): number {
    return this.#data.names.length;
  }

  byName(name: string): ModuleSymbol | undefined {
    if (!this.#byName) {
      const { names, display } = this.#data;
      const map = new Map<string, number>();
      for (let i = 0; i < names.length; i++) map.set(names[i] ?? '', i);
      if (display) {
        for (let i = 0; i < names.length; i++) {
          const shown = display(i);
          if (!map.has(shown)) map.set(shown, i);
        }
      }
      this.#byName = map;
    }
    const exact = this.#byName.get(name);
    if (exact !== undefined) return this.#symbol(exact);
    if (!this.#byLowerName) {
      this.#byLowerName = new Map();
      for (const [key, index] of this.#byName) {
        const lower = key.toLowerCase();
        if (!this.#byLowerName.has(lower)) this.#byLowerName.set(lower, index);
      }
    }
    const index = this.#byLowerName.get(name.toLowerCase());
    return index === undefined ? undefined : this.#symbol(index);
  }

  nearest(at: number): ModuleSymbol | undefined {
    const { rvas, order } = this.#index();
    let position = upperBound(rvas, at) - 1;
    if (position < 0) return undefined;
    const start = rvas[position];
    while (position > 0 && rvas[position - 1] === start) position--;
    const symbol = this.#symbol(order[position] ?? 0);
    return symbol.size !== null && at >= symbol.rva + symbol.size && at !== symbol.rva ? undefined : symbol;
  }

  next(at: number): ModuleSymbol | undefined {
    const { rvas, order } = this.#index();
    const position = upperBound(rvas, at);
    return position < rvas.length ? this.#symbol(order[position] ?? 0) : undefined;
  }

  /** By address; names of one address, the plainest first. */
  *all(): Iterable<ModuleSymbol> {
    const { order } = this.#index();
    for (const index of order) yield this.#symbol(index);
  }

  #symbol(index: number): ModuleSymbol {
    const { names, rvas, sizes, display } = this.#data;
    const name = names[index] ?? '';
    const at: Rva = rva(rvas[index] ?? 0);
    return { name, display: display ? display(index) : name, rva: at, isFunction: null, size: sizes?.[index] ?? null };
  }

  #index(): { readonly rvas: Float64Array; readonly order: Uint32Array } {
    if (this.#sorted) return this.#sorted;
    const { names, rvas } = this.#data;
    const count = names.length;
    const ranks = new Uint8Array(count);
    for (let i = 0; i < count; i++) ranks[i] = rank(names[i] ?? '');
    const order = new Uint32Array(count);
    for (let i = 0; i < count; i++) order[i] = i;
    order.sort((a, b) => (rvas[a] ?? 0) - (rvas[b] ?? 0) || (ranks[a] ?? 0) - (ranks[b] ?? 0) || a - b);
    const sorted = new Float64Array(count);
    for (let i = 0; i < count; i++) sorted[i] = rvas[order[i] ?? 0] ?? 0;
    return (this.#sorted = { rvas: sorted, order });
  }
}

function upperBound(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
