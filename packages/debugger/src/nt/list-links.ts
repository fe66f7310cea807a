import { type Va, va } from '@dumpscope/core';
import { targetAddress } from '../expressions/scope.ts';
import type { Target } from '../target/model.ts';

/** One link of a LIST_ENTRY ring that does not fit its neighbour. */
export interface LinkFault {
  /**
   * `back-link`: Blink is not the entry before. `circle`: Flink leads back into the list, past its head. `wild`: Flink is
   * no kernel address. `foreign`: the entry is in no object of the kind that the list holds.
   */
  readonly kind: 'back-link' | 'circle' | 'wild' | 'foreign';
  readonly entry: Va;
  /** Address of the pointer that is wrong. */
  readonly slot: Va;
  readonly value: Va;
  /** What it should be, where one value can be; null elsewhere. */
  readonly expected: Va | null;
}

export interface LinkCheck {
  readonly entries: number;
  readonly faults: readonly LinkFault[];
  /** `unreadable` is no fault: what is not in the dump contradicts nothing. */
  readonly end: 'head' | 'unreadable' | 'fault' | 'limit' | 'no-list';
}

const MAX_FAULTS = 8;

/**
 * Follows a list from its head by Flink and compares every Blink with the entry that led to it. `isMember` says whether an
 * entry lies in an object of the right kind; null where that cannot be read. A head of zeros was never initialised.
 */
export function checkLinks(
  target: Target,
  head: bigint,
  limit: number,
  isMember: (entry: Va) => boolean | null = () => null,
): LinkCheck {
  const size = target.pointerSize;
  const links = new Uint8Array(2 * size);
  const view = new DataView(links.buffer);
  // Two functions and no `va`: V8 11 (Node 20) aborts when it optimizes a truncation of one or the other in this loop.
  const pointerAt: (offset: number) => Va =
    size === 8
      ? (offset) => view.getBigUint64(offset, true) as Va
      : (offset) => BigInt(view.getUint32(offset, true)) as Va;
  const faults: LinkFault[] = [];
  const fault = (found: LinkFault): void => {
    if (faults.length < MAX_FAULTS) faults.push(found);
  };
  const start = targetAddress(head, size);
  if (target.memory.readInto(start, links) !== links.length) return { entries: 0, faults, end: 'unreadable' };
  let next = pointerAt(0);
  const last = pointerAt(size);
  if (next === 0n && last === 0n) return { entries: 0, faults, end: 'no-list' };
  const seen = new Set<bigint>([start]);
  let at = start;
  for (let entries = 0; ; entries++) {
    if (next === start) {
      if (last !== at)
        fault({ kind: 'back-link', entry: start, slot: va(start + BigInt(size)), value: last, expected: at });
      return { entries, faults, end: 'head' };
    }
    if (entries >= limit) return { entries, faults, end: 'limit' };
    if (!isKernel(size, next)) {
      fault({ kind: 'wild', entry: at, slot: at, value: next, expected: null });
      return { entries, faults, end: 'fault' };
    }
    if (seen.has(next)) {
      fault({ kind: 'circle', entry: at, slot: at, value: next, expected: null });
      return { entries, faults, end: 'fault' };
    }
    if (target.memory.readInto(next, links) !== links.length) return { entries, faults, end: 'unreadable' };
    if (isMember(next) === false) {
      fault({ kind: 'foreign', entry: next, slot: at, value: next, expected: null });
      return { entries, faults, end: 'fault' };
    }
    const back = pointerAt(size);
    if (back !== at)
      fault({ kind: 'back-link', entry: next, slot: va(next + BigInt(size)), value: back, expected: at });
    seen.add(next);
    at = next;
    next = pointerAt(0);
  }
}

/** With /3GB (x86) user space ends at C0000000; 80000000 is the safe lower bound. */
function isKernel(size: 4 | 8, address: bigint): boolean {
  return size === 4 ? address >= 0x80000000n : address >= 0xffff000000000000n;
}
