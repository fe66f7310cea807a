/**
 * The LIST_ENTRY behind a failed list check (0x139 with 3): which link does not lead back. The check compares
 * Flink->Blink and Blink->Flink with the entry (removal), or one of them (insertion), and keeps the entry in a register.
 */
import type { Registers, Target } from '@dumpscope/debugger';
import { isCanonical, kernelStart } from '../address-view.ts';
import { differingBit } from '../bit-flips.ts';

export interface ListLink {
  /** Address of the back link: Flink->Blink or Blink->Flink. */
  readonly at: bigint;
  readonly name: 'Flink->Blink' | 'Blink->Flink';
  /** Null where it cannot be read. */
  readonly value: bigint | null;
  readonly holds: boolean | null;
  /** The one bit in which it differs from the entry. */
  readonly bit: number | null;
}

export interface BrokenEntry {
  readonly entry: bigint;
  readonly register: string;
  readonly flink: bigint;
  readonly blink: bigint;
  readonly forward: ListLink;
  readonly backward: ListLink;
  readonly kind: 'one-bit' | 'removed' | 'one-link' | 'bad-link';
}

const rank: Readonly<Record<BrokenEntry['kind'], number>> = {
  'one-bit': 0,
  removed: 1,
  'one-link': 2,
  'bad-link': 3,
};

function link(target: Target, entry: bigint, neighbour: bigint, name: ListLink['name']): ListLink {
  const at = name === 'Flink->Blink' ? neighbour + BigInt(target.pointerSize) : neighbour;
  const value = isPointer(target, neighbour) ? (target.memory.pointer(at) ?? null) : null;
  return {
    at,
    name,
    value,
    holds: value === null ? null : value === entry,
    bit: value === null ? null : differingBit(value, entry),
  };
}

/**
 * One bit off, and no address of anything that is there: neighbours in one allocation may differ in one bit and still be
 * two good pointers.
 */
function flipped(target: Target, item: ListLink): boolean {
  if (item.bit === null || item.value === null) return false;
  return !isPointer(target, item.value) || target.memory.gap(item.value, 1) !== null;
}

function isPointer(target: Target, value: bigint): boolean {
  return value >= kernelStart(target) && isCanonical(target, value) && value % BigInt(target.pointerSize) === 0n;
}

/** What is wrong with the entry at `entry`; null where it is no list entry, or nothing that can be read is wrong. */
export function judgeEntry(target: Target, entry: bigint, register: string): BrokenEntry | null {
  if (!isPointer(target, entry)) return null;
  const flink = target.memory.pointer(entry);
  const blink = target.memory.pointer(entry + BigInt(target.pointerSize));
  if (flink === undefined || blink === undefined) return null;
  const forward = link(target, entry, flink, 'Flink->Blink');
  const backward = link(target, entry, blink, 'Blink->Flink');
  const found = (kind: BrokenEntry['kind']): BrokenEntry => ({
    entry,
    register,
    flink,
    blink,
    forward,
    backward,
    kind,
  });
  const broken = forward.holds === false || backward.holds === false;
  if ((flipped(target, forward) && backward.holds !== false) || (flipped(target, backward) && forward.holds !== false))
    return found('one-bit');
  if (
    forward.holds === false &&
    backward.holds === false &&
    forward.value === blink &&
    backward.value === flink &&
    flink !== blink
  )
    return found('removed');
  if (broken && (forward.holds === true || backward.holds === true)) {
    const member =
      forward.holds === false ? linksOn(target, flink, 'Flink->Blink') : linksOn(target, blink, 'Blink->Flink');
    return found(member === false ? 'bad-link' : 'one-link');
  }
  // One neighbour confirms the entry, the other link leads nowhere.
  if (forward.holds === true && !isPointer(target, blink)) return found('bad-link');
  if (backward.holds === true && !isPointer(target, flink)) return found('bad-link');
  return null;
}

/** Does the neighbour hang together with the entry beyond it? Null where that cannot be read. */
function linksOn(target: Target, neighbour: bigint, name: ListLink['name']): boolean | null {
  const at = name === 'Flink->Blink' ? neighbour : neighbour + BigInt(target.pointerSize);
  const beyond = target.memory.pointer(at);
  return beyond === undefined ? null : link(target, neighbour, beyond, name).holds === true;
}

/** Best candidate among the registers. */
export function brokenEntry(target: Target, registers: Registers): BrokenEntry | null {
  let best: BrokenEntry | null = null;
  for (const [name, value] of registers.values) {
    if (!/^(r[a-z0-9]+|e[a-z]{2}|x\d+)$/.test(name) || /^[re](ip|sp)$/.test(name)) continue;
    const judged = judgeEntry(target, value, name);
    if (judged !== null && (best === null || rank[judged.kind] < rank[best.kind])) best = judged;
  }
  return best;
}
