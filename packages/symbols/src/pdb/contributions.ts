import type { AddressMap } from './address-map.ts';
import type { Dbi } from './dbi.ts';

/** Which module a piece of the image came from; RVAs before OMAP. */
export class ContributionIndex {
  readonly #starts: Uint32Array;
  readonly #ends: Float64Array;
  readonly #modules: Uint16Array;

  constructor(dbi: Dbi, map: AddressMap) {
    const all = dbi.contributions();
    const entries: { start: number; end: number; module: number }[] = [];
    for (const piece of all) {
      const start = map.sourceRva(piece.section, piece.offset);
      if (start >= 0 && piece.size > 0) entries.push({ start, end: start + piece.size, module: piece.module });
    }
    entries.sort((a, b) => a.start - b.start);
    this.#starts = Uint32Array.from(entries, (e) => e.start);
    this.#ends = Float64Array.from(entries, (e) => e.end);
    this.#modules = Uint16Array.from(entries, (e) => e.module);
  }

  /** Module index; -1 where no module contributed. */
  module(sourceRva: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((this.#starts[mid] ?? 0) <= sourceRva) low = mid + 1;
      else high = mid;
    }
    const at = low - 1;
    return at >= 0 && sourceRva < (this.#ends[at] ?? 0) ? (this.#modules[at] ?? -1) : -1;
  }
}
