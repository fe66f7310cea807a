import type { Memory, Va } from '@dumpscope/core';
import { findRuntimeFunction } from '@dumpscope/symbols';
import type { FunctionLookup } from './ports.ts';

/** .pdata of one module: kept whole where all of it can be read, else searched entry by entry. */

const MOST = 0x800000;
const KEEP = 20000;

export class FunctionTable {
  readonly #memory: Memory;
  readonly #base: Va;
  readonly #size: number;
  readonly #arch: 'x64' | 'arm64';
  readonly #rva: number;
  readonly #bytes: number;
  #view: DataView | null | undefined;
  readonly #known = new Map<number, FunctionLookup>();

  constructor(
    memory: Memory,
    arch: 'x64' | 'arm64',
    module: { readonly base: Va; readonly size: number },
    pdata: { readonly rva: number; readonly size: number },
  ) {
    this.#memory = memory;
    this.#arch = arch;
    this.#base = module.base;
    this.#size = module.size;
    this.#rva = pdata.rva;
    this.#bytes = Math.min(pdata.size, Math.max(0, module.size - pdata.rva));
  }

  lookup(rva: number): FunctionLookup {
    const known = this.#known.get(rva);
    if (known !== undefined) return known;
    const found = this.#search(rva);
    if (this.#known.size >= KEEP) this.#known.clear();
    this.#known.set(rva, found);
    return found;
  }

  #search(rva: number): FunctionLookup {
    if (this.#view === undefined) {
      const bytes = this.#bytes > MOST ? undefined : this.#memory.bytes(this.#base + BigInt(this.#rva), this.#bytes);
      this.#view = bytes === undefined ? null : new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    return this.#view === null ? this.#slow(rva) : this.#fast(this.#view, rva);
  }

  #fast(view: DataView, rva: number): FunctionLookup {
    const stride = this.#arch === 'x64' ? 12 : 8;
    let low = 0;
    let high = Math.floor(view.byteLength / stride);
    while (low < high) {
      const mid = (low + high) >>> 1;
      if (view.getUint32(mid * stride, true) <= rva) low = mid + 1;
      else high = mid;
    }
    if (low === 0) return { kind: 'leaf', imageBase: this.#base };
    const at = (low - 1) * stride;
    const begin = view.getUint32(at, true);
    if (this.#arch === 'x64') {
      const end = view.getUint32(at + 4, true);
      if (rva >= end) return { kind: 'leaf', imageBase: this.#base };
      return { kind: 'entry', imageBase: this.#base, begin, end, unwindData: view.getUint32(at + 8, true) };
    }
    const unwindData = view.getUint32(at + 4, true);
    const length = this.#armLength(unwindData);
    if (length === null) return { kind: 'unknown', why: 'the unwind data of the function cannot be read' };
    if (rva >= begin + length) return { kind: 'leaf', imageBase: this.#base };
    return { kind: 'entry', imageBase: this.#base, begin, end: begin + length, unwindData };
  }

  #armLength(unwindData: number): number | null {
    if ((unwindData & 3) !== 0) return ((unwindData >>> 2) & 0x7ff) * 4;
    const word = this.#memory.u32(this.#base + BigInt(unwindData));
    return word === undefined ? null : (word & 0x3ffff) * 4;
  }

  #slow(rva: number): FunctionLookup {
    const found = findRuntimeFunction(
      (at, length) =>
        at < 0 || at + length > this.#size ? null : (this.#memory.bytes(this.#base + BigInt(at), length) ?? null),
      this.#rva,
      this.#bytes,
      rva,
      this.#arch === 'x64' ? 0x8664 : 0xaa64,
    );
    if (found.status === 'none') return { kind: 'leaf', imageBase: this.#base };
    if (found.status === 'found') {
      const { begin, end, unwindData } = found.entry;
      return { kind: 'entry', imageBase: this.#base, begin, end, unwindData };
    }
    return {
      kind: 'unknown',
      why: `.pdata at ${(this.#base + BigInt(this.#rva)).toString(16)} cannot be read where it is needed`,
    };
  }
}
