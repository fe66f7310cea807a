/** Pointers into the kernel that live frames of stacks hold. */
import { va } from '@dumpscope/core';
import type { Target, Thread } from '@dumpscope/debugger';
import type { Diagnosis } from '../engine/diagnosis.ts';
import { knownStacks } from './stacks.ts';

/** Live part of a stack that is looked at; waits of real threads are within some KB of the stack's base. */
const MAX_LIVE = 0x8000;
const buffer = new Uint8Array(MAX_LIVE);
const view = new DataView(buffer.buffer);

/** Calls `visit` with every aligned kernel address in the live part of a waiting thread's stack, until it says true. */
export function stackPointers(target: Target, thread: Thread, visit: (pointer: bigint) => boolean): void {
  const { kernelStack, stackBase, stackLimit } = thread;
  if (kernelStack === null || stackBase === null || stackLimit === null) return;
  if (kernelStack < stackLimit || kernelStack >= stackBase) return;
  const length = target.memory.readInto(
    kernelStack,
    buffer.subarray(0, Math.min(MAX_LIVE, Number(stackBase - kernelStack))),
  );
  const size = target.pointerSize;
  const seen = new Set<number>();
  for (let at = 0; at + size <= length; at += size) {
    const low = view.getUint32(at, true);
    const high = size === 8 ? view.getUint32(at + 4, true) : 0;
    if ((low & (size - 1)) !== 0 || !isKernel(size, low, high)) continue;
    const key = high * 0x1_0000_0000 + low;
    if (seen.has(key)) continue;
    seen.add(key);
    if (visit((BigInt(high) << 32n) | BigInt(low))) return;
  }
}

/** The upper half: from 80000000 on 32 bits, the canonical upper half on 64. */
function isKernel(size: 4 | 8, low: number, high: number): boolean {
  return size === 4 ? low >= 0x8000_0000 : high >= 0xffff_8000;
}

export interface StackHit {
  readonly at: bigint;
  readonly thread: bigint;
}

export interface StackHits {
  readonly hits: ReadonlyMap<bigint, readonly StackHit[]>;
  /** Stacks of threads of which a live part was not read: not in the dump, or longer than what is looked at. */
  readonly partly: number;
}

/** Where live frames of threads hold one of `addresses`, in one pass over all stacks. */
export function addressesOnStacks(diagnosis: Diagnosis, addresses: readonly bigint[]): StackHits {
  const { target } = diagnosis;
  const wanted = new Map<number, bigint[]>();
  // Few words of a stack are wanted ones: a bit for each hash keeps the rest out of the map.
  const maybe = new Uint8Array(HASHES);
  for (const address of addresses) {
    const low = Number(address & 0xffff_ffffn);
    maybe[(low >>> 3) & (HASHES - 1)] = 1;
    const same = wanted.get(low);
    if (same === undefined) wanted.set(low, [address]);
    else same.push(address);
  }
  const hits = new Map<bigint, StackHit[]>();
  let partly = 0;
  const size = target.pointerSize;
  for (const stack of diagnosis.fact(knownStacks)) {
    if (stack.thread === null) continue;
    if (stack.liveFrom === null || stack.liveFrom < stack.limit || stack.liveFrom >= stack.base) {
      partly++;
      continue;
    }
    const length = target.memory.readInto(
      va(stack.liveFrom),
      buffer.subarray(0, Math.min(MAX_LIVE, Number(stack.base - stack.liveFrom))),
    );
    if (BigInt(length) < stack.base - stack.liveFrom) partly++;
    for (let at = 0; at + size <= length; at += size) {
      const low = view.getUint32(at, true);
      if (maybe[(low >>> 3) & (HASHES - 1)] !== 1) continue;
      const same = wanted.get(low);
      if (same === undefined) continue;
      const high = size === 8 ? view.getUint32(at + 4, true) : 0;
      for (const address of same) {
        if (Number(address >> 32n) !== high) continue;
        const hit = { at: stack.liveFrom + BigInt(at), thread: stack.thread };
        const known = hits.get(address);
        if (known === undefined) hits.set(address, [hit]);
        else if (known.length < MAX_HITS) known.push(hit);
      }
    }
  }
  return { hits, partly };
}

const MAX_HITS = 256;
const HASHES = 0x10000;
