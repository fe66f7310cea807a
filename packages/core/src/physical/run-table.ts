import { MinHeap } from '../min-heap.ts';
import type { PageIndex } from './page-index.ts';

/** Growing list of runs in file order: the pages of each run follow those of the one before. */
export class RunTableBuilder {
  #base = new Float64Array(64);
  #count = new Float64Array(64);
  #length = 0;
  #sorted = true;
  #end = 0;

  get length(): number {
    return this.#length;
  }

  /** Whether runs came in the order of their pages and apart from each other: such a table needs the least memory. */
  get sorted(): boolean {
    return this.#sorted;
  }

  /** Drops all but the first `length` runs. */
  truncate(length: number): void {
    this.#length = Math.min(this.#length, length);
  }

  add(basePage: number, pageCount: number): void {
    if (this.#length === this.#base.length) {
      this.#base = grow(this.#base);
      this.#count = grow(this.#count);
    }
    if (basePage < this.#end) this.#sorted = false;
    this.#end = basePage + pageCount;
    this.#base[this.#length] = basePage;
    this.#count[this.#length] = pageCount;
    this.#length++;
  }

  build(): RunTable {
    return new RunTable(this.#base.subarray(0, this.#length), this.#count.subarray(0, this.#length));
  }
}

function grow(array: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}

/**
 * Physical memory runs, sorted and searched by page number. Where runs overlap, the one that comes first in the file
 * holds the page, as WinDbg searches them in order.
 */
export class RunTable implements PageIndex {
  readonly pageCount: number;
  /** Whether a page number occurs in two runs. */
  readonly overlapping: boolean;
  readonly #base: Float64Array;
  readonly #end: Float64Array;
  readonly #start: Float64Array;
  #last = 0;

  /** `bases[i]` is the first page of run i, `counts[i]` its length in pages; integers, in file order. */
  constructor(bases: Float64Array, counts: Float64Array) {
    const n = bases.length;
    const start = new Float64Array(n);
    let total = 0;
    let sorted = true;
    let overlapping = false;
    for (let i = 0; i < n; i++) {
      start[i] = total;
      total += counts[i] as number;
      if (i > 0 && (bases[i] as number) < (bases[i - 1] as number) + (counts[i - 1] as number)) sorted = false;
    }
    this.pageCount = total;
    if (sorted) {
      this.#base = bases.slice();
      this.#end = bases.map((base, i) => base + (counts[i] as number));
      this.#start = start;
    } else {
      const order = new Uint32Array(n).map((_, i) => i);
      order.sort((a, b) => (bases[a] as number) - (bases[b] as number) || a - b);
      const pieces = flatten(bases, counts, start, order);
      overlapping = pieces.overlapping;
      this.#base = pieces.base;
      this.#end = pieces.end;
      this.#start = pieces.start;
    }
    this.overlapping = overlapping;
  }

  ordinal(pfn: number): number {
    let at = this.#last;
    if (!(pfn >= (this.#base[at] ?? Infinity) && pfn < (this.#end[at] as number))) {
      let low = 0;
      let high = this.#base.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if ((this.#base[middle] as number) <= pfn) low = middle + 1;
        else high = middle;
      }
      at = low - 1;
      if (at < 0 || pfn >= (this.#end[at] as number)) return -1;
      this.#last = at;
    }
    return (this.#start[at] as number) + pfn - (this.#base[at] as number);
  }
}

interface Pieces {
  readonly base: Float64Array;
  readonly end: Float64Array;
  readonly start: Float64Array;
  readonly overlapping: boolean;
}

/** Cuts overlapping runs into disjoint pieces, each owned by its earliest run; a heap keeps this O(n log n). */
function flatten(bases: Float64Array, counts: Float64Array, start: Float64Array, order: Uint32Array): Pieces {
  const edges = new Float64Array(2 * bases.length);
  for (let i = 0; i < bases.length; i++) {
    edges[2 * i] = bases[i] as number;
    edges[2 * i + 1] = (bases[i] as number) + (counts[i] as number);
  }
  edges.sort();
  const outBase: number[] = [];
  const outEnd: number[] = [];
  const outStart: number[] = [];
  const heap = new MinHeap();
  let covered = 0;
  let next = 0;
  for (let e = 0; e + 1 < edges.length; e++) {
    const from = edges[e] as number;
    const to = edges[e + 1] as number;
    while (next < order.length && (bases[order[next] as number] as number) <= from) heap.push(order[next++] as number);
    if (to === from) continue;
    let owner = heap.peek();
    while (owner >= 0 && (bases[owner] as number) + (counts[owner] as number) <= from) {
      heap.pop();
      owner = heap.peek();
    }
    if (owner < 0) continue;
    covered += to - from;
    const ordinal = (start[owner] as number) + from - (bases[owner] as number);
    const last = outBase.length - 1;
    const joins =
      last >= 0 && outEnd[last] === from && (outStart[last] as number) + from - (outBase[last] as number) === ordinal;
    if (joins) {
      outEnd[last] = to;
    } else {
      outBase.push(from);
      outEnd.push(to);
      outStart.push(ordinal);
    }
  }
  return {
    base: Float64Array.from(outBase),
    end: Float64Array.from(outEnd),
    start: Float64Array.from(outStart),
    overlapping: covered < counts.reduce((sum, count) => sum + count, 0),
  };
}
