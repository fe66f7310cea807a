/** Items sorted by RVA: binary search over typed arrays. Items with one RVA keep their given order. */
export class RvaIndex {
  readonly length: number;
  /** Sorted. */
  readonly rvas: Uint32Array;
  readonly #order: Uint32Array | null;

  /** `rvas[i]` is the RVA of item `i`, in any order. Not copied when already sorted. */
  constructor(rvas: Uint32Array) {
    this.length = rvas.length;
    let sorted = true;
    for (let i = 1; i < rvas.length; i++) {
      if ((rvas[i] ?? 0) < (rvas[i - 1] ?? 0)) {
        sorted = false;
        break;
      }
    }
    if (sorted) {
      this.rvas = rvas;
      this.#order = null;
      return;
    }
    // RVA in the high part, item number in the low part of a double: exact below 2^53 for up to 2^21 items; above that
    // a comparison sort.
    const count = rvas.length;
    const order = new Uint32Array(count);
    if (count <= 0x20_0000) {
      const keys = new Float64Array(count);
      for (let i = 0; i < count; i++) keys[i] = (rvas[i] ?? 0) * 0x20_0000 + i;
      keys.sort();
      for (let i = 0; i < count; i++) {
        const key = keys[i] ?? 0;
        order[i] = key - Math.floor(key / 0x20_0000) * 0x20_0000;
      }
    } else {
      for (let i = 0; i < count; i++) order[i] = i;
      order.sort((a, b) => (rvas[a] ?? 0) - (rvas[b] ?? 0) || a - b);
    }
    const out = new Uint32Array(count);
    for (let i = 0; i < count; i++) out[i] = rvas[order[i] ?? 0] ?? 0;
    this.rvas = out;
    this.#order = order;
  }

  /** Item number at a sorted position. */
  item(position: number): number {
    return this.#order === null ? position : (this.#order[position] ?? 0);
  }

  /** Position of the first entry above `rva`; `length` when there is none. */
  upper(rva: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((this.rvas[mid] ?? 0) <= rva) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  /** Position of the first of the entries with the greatest RVA at or below `rva`; -1 when there is none. */
  nearest(rva: number): number {
    const last = this.upper(rva) - 1;
    if (last < 0) return -1;
    const found = this.rvas[last] ?? 0;
    return found === 0 ? 0 : this.upper(found - 1);
  }

  /** Position of the first entry above `rva`; -1 when there is none. */
  next(rva: number): number {
    const at = this.upper(rva);
    return at < this.length ? at : -1;
  }
}
