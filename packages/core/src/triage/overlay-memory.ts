import { type Va, va } from '../brands.ts';
import type { BlockCache } from '../cache/block-cache.ts';
import type { MemoryReader } from '../memory.ts';
import type { GapReason, MemoryGap } from '../memory-gap.ts';
import { type Region, SegmentMap } from './segment-map.ts';

/** Virtual memory of a triage dump: what the file's pieces hold, joined where they touch. */
export class OverlayMemory implements MemoryReader {
  readonly pointerSize: 4 | 8;
  readonly #cache: BlockCache;
  readonly #regions: Region[];
  #map: SegmentMap | null = null;

  /** Regions in order of priority: an earlier one hides a later one. */
  constructor(cache: BlockCache, pointerSize: 4 | 8, regions: readonly Region[]) {
    this.#cache = cache;
    this.pointerSize = pointerSize;
    this.#regions = [...regions];
  }

  /** Adds a region behind all others; ignored where it lies outside the address space. */
  add(region: Region): void {
    const end = region.address + BigInt(Math.max(0, region.size));
    if (region.size <= 0 || end > (this.pointerSize === 8 ? 1n << 64n : 1n << 32n)) return;
    this.#regions.push(region);
    this.#map = null;
  }

  readInto(address: Va, into: Uint8Array): number {
    const lo = Number(BigInt.asUintN(32, address));
    const hi = this.#high(address);
    if (hi < 0 || into.length === 0) return 0;
    const map = this.#segments();
    let at = map.find(hi, lo);
    if (at < 0) return 0;
    let start = map.distance(at, hi, lo);
    let done = 0;
    for (;;) {
      const wanted = Math.min(map.size(at) - start, into.length - done);
      const got = this.#cache.read(map.offset(at) + start, into, done, wanted);
      done += got;
      if (got < wanted || done === into.length || !map.touchesNext(at)) return done;
      start = 0;
      at++;
    }
  }

  gapAt(address: Va): MemoryGap | null {
    const reason = this.#reason(address);
    return reason === null ? null : { address: va(address), reason };
  }

  #reason(address: Va): GapReason | null {
    const lo = Number(BigInt.asUintN(32, address));
    const hi = this.#high(address);
    if (hi < 0) return { kind: 'non-canonical' };
    const map = this.#segments();
    const at = map.find(hi, lo);
    if (at < 0) {
      const sign = hi >>> (map.wide ? 24 : 15);
      const canonical = sign === 0 || sign === (map.wide ? 0xff : 0x1ffff);
      return canonical || this.pointerSize === 4 ? { kind: 'not-in-dump' } : { kind: 'non-canonical' };
    }
    const offset = map.offset(at) + map.distance(at, hi, lo);
    return offset < this.#cache.size ? null : { kind: 'truncated', offset };
  }

  /** As in paged memory: 32-bit addresses may come sign-extended. */
  #high(address: Va): number {
    const hi = Number(BigInt.asUintN(32, address >> 32n));
    if (this.pointerSize === 8) return hi;
    return hi === 0 || (hi === 0xffffffff && (address & 0x80000000n) !== 0n) ? 0 : -1;
  }

  #segments(): SegmentMap {
    this.#map ??= new SegmentMap(this.#regions);
    return this.#map;
  }
}
