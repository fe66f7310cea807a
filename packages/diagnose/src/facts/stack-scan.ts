/** Search of all stacks for two neighbouring pointer-sized words: how entries of queued locks are found that no register names. */
import type { Target } from '@dumpscope/debugger';
import type { KnownStack } from './stacks.ts';

export interface ScanCoverage {
  readonly stacks: number;
  /** Stacks of which every page was there. */
  readonly whole: number;
}

export interface ScanResult {
  readonly hits: readonly bigint[];
  readonly coverage: ScanCoverage;
}

const PAGE = 0x1000;
const MAX_HITS = 64;

/**
 * Addresses `a` on any stack where word [a] equals `first` (or any, when null) and word [a + pointer] equals `second`
 * in all bits but those below pointer alignment. Reads page by page into one buffer; missing pages are counted, not guessed.
 */
export function scanForPair(
  target: Target,
  stacks: readonly KnownStack[],
  first: bigint | null,
  second: bigint,
): ScanResult {
  const hits: bigint[] = [];
  let whole = 0;
  const wide = target.pointerSize === 8;
  const flags = target.pointerSize - 1;
  const low = (Number(second & 0xffff_ffffn) & ~flags) >>> 0;
  const high = Number(second >> 32n);
  const firstLow = first === null ? 0 : Number(first & 0xffff_ffffn);
  const firstHigh = first === null ? 0 : Number(first >> 32n);
  const buffer = new Uint8Array(0x40000);
  for (const stack of stacks) {
    let complete = true;
    const size = Math.min(Number(stack.base - stack.limit), buffer.length);
    for (let at = 0; at < size; ) {
      const run = readRun(target, stack.limit + BigInt(at), buffer.subarray(at, size));
      if (run < size - at) complete = false;
      if (run > 0) search(at, at + run, stack.limit);
      // Go on behind the missing page.
      at = run < size - at ? Math.floor((at + run) / PAGE + 1) * PAGE : size;
    }
    if (complete) whole++;
  }
  return { hits, coverage: { stacks: stacks.length, whole } };

  function search(from: number, to: number, base: bigint): void {
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    if (wide) {
      for (let i = from + 8; i + 8 <= to; i += 8) {
        if (view.getUint32(i + 4, true) !== high || (view.getUint32(i, true) & ~flags) >>> 0 !== low) continue;
        if (first !== null && (view.getUint32(i - 8, true) !== firstLow || view.getUint32(i - 4, true) !== firstHigh))
          continue;
        if (hits.length < MAX_HITS) hits.push(base + BigInt(i - 8));
      }
    } else {
      for (let i = from + 4; i + 4 <= to; i += 4) {
        if ((view.getUint32(i, true) & ~flags) >>> 0 !== low) continue;
        if (first !== null && view.getUint32(i - 4, true) !== firstLow) continue;
        if (hits.length < MAX_HITS) hits.push(base + BigInt(i - 4));
      }
    }
  }
}

function readRun(target: Target, address: bigint, into: Uint8Array): number {
  return target.memory.readInto(address as never, into);
}
