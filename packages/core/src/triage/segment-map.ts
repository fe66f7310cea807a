import { MinHeap } from '../min-heap.ts';

/** File bytes that stand for virtual memory. */
export interface Region {
  /** Unsigned 64-bit. */
  readonly address: bigint;
  readonly offset: number;
  readonly size: number;
}

/**
 * Disjoint pieces of virtual memory, sorted by address. Where regions overlap, the one that was given first is taken.
 * Addresses are kept as two 32-bit halves, so that a search makes no bigint.
 */
export class SegmentMap {
  readonly length: number;
  /** Whether any address is not canonical with 48 bits, as on machines with five paging levels. */
  readonly wide: boolean;
  readonly #hi: Uint32Array;
  readonly #lo: Uint32Array;
  readonly #size: Float64Array;
  readonly #offset: Float64Array;

  constructor(regions: readonly Region[]) {
    const pieces = flatten(regions);
    this.length = pieces.length;
    this.#hi = new Uint32Array(pieces.length);
    this.#lo = new Uint32Array(pieces.length);
    this.#size = new Float64Array(pieces.length);
    this.#offset = new Float64Array(pieces.length);
    let wide = false;
    for (const [i, piece] of pieces.entries()) {
      const hi = Number(piece.address >> 32n);
      this.#hi[i] = hi;
      this.#lo[i] = Number(piece.address & 0xffffffffn);
      this.#size[i] = piece.size;
      this.#offset[i] = piece.offset;
      if (hi >>> 15 !== 0 && hi >>> 15 !== 0x1ffff) wide = true;
    }
    this.wide = wide;
  }

  /** Index of the piece that holds the byte at hi:lo, or -1. */
  find(hi: number, lo: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const middleHi = this.#hi[middle] as number;
      if (middleHi < hi || (middleHi === hi && (this.#lo[middle] as number) <= lo)) low = middle + 1;
      else high = middle;
    }
    const at = low - 1;
    return at >= 0 && this.distance(at, hi, lo) < (this.#size[at] as number) ? at : -1;
  }

  /** Bytes from the start of piece `at` to hi:lo, which is not below it; inexact, but large, beyond 2^53. */
  distance(at: number, hi: number, lo: number): number {
    return (hi - (this.#hi[at] as number)) * 0x1_0000_0000 + lo - (this.#lo[at] as number);
  }

  size(at: number): number {
    return this.#size[at] as number;
  }

  offset(at: number): number {
    return this.#offset[at] as number;
  }

  /** Whether piece `at + 1` begins where piece `at` ends. */
  touchesNext(at: number): boolean {
    if (at + 1 >= this.length) return false;
    return this.distance(at, this.#hi[at + 1] as number, this.#lo[at + 1] as number) === this.#size[at];
  }
}

function flatten(regions: readonly Region[]): Region[] {
  const used = regions.filter((region) => region.size > 0);
  const end = (region: Region): bigint => region.address + BigInt(region.size);
  const order = used
    .map((_, i) => i)
    .sort((a, b) => compare((used[a] as Region).address, (used[b] as Region).address) || a - b);
  const edges = used.flatMap((region) => [region.address, end(region)]).sort(compare);
  const pieces: Region[] = [];
  const heap = new MinHeap();
  let next = 0;
  for (let e = 0; e + 1 < edges.length; e++) {
    const from = edges[e] as bigint;
    const to = edges[e + 1] as bigint;
    while (next < order.length && (used[order[next] as number] as Region).address <= from) {
      heap.push(order[next++] as number);
    }
    if (to === from) continue;
    while (heap.size > 0 && end(used[heap.peek()] as Region) <= from) heap.pop();
    const owner = used[heap.peek()];
    if (owner === undefined) continue;
    const offset = owner.offset + Number(from - owner.address);
    const last = pieces[pieces.length - 1];
    const size = Number(to - from);
    if (last !== undefined && end(last) === from && last.offset + last.size === offset) {
      pieces[pieces.length - 1] = { ...last, size: last.size + size };
    } else {
      pieces.push({ address: from, offset, size });
    }
  }
  return pieces;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
