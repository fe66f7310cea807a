import { describeGap, type Memory, type MemoryGap, PAGE_SIZE, va } from '@dumpscope/core';
import type { Session } from '../command.ts';
import { sessionMemory } from '../session/session.ts';

/** Bytes of a range with holes: `present[i]` is 1 where `bytes[i]` was read. */
export interface MemoryBlock {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly present: Uint8Array;
  /** The first gap, null when everything is there. */
  readonly gap: MemoryGap | null;
}

/** Something to read a block from: virtual memory, or physical memory behind the same shape. */
export interface BlockReader {
  readInto(address: bigint, into: Uint8Array): number;
  gapAt(address: bigint): MemoryGap | null;
  /** Bytes to skip after a gap before trying again: pages, or single bytes where a dump holds fragments. */
  readonly granularity: number;
}

export function virtualReader(session: Session, memory: Memory = sessionMemory(session)): BlockReader {
  return {
    readInto: (address, into) => memory.readInto(va(address), into),
    gapAt: (address) => memory.gapAt(va(address)),
    // A triage dump holds blocks of any size at any address.
    granularity: session.target.dump.triage === null ? PAGE_SIZE : 1,
  };
}

export function physicalReader(session: Session): BlockReader {
  const physical = session.target.dump.physical;
  return {
    readInto: (address, into) =>
      physical === null || address > 0xf_ffff_ffff_ffffn
        ? 0
        : physical.readInto(Number(address) as Parameters<typeof physical.readInto>[0], into),
    gapAt: (address) => ({ address: va(address), reason: { kind: 'not-in-dump', pa: Number(address) } }),
    granularity: PAGE_SIZE,
  };
}

export function readBlock(reader: BlockReader, address: bigint, length: number): MemoryBlock {
  const bytes = new Uint8Array(length);
  const present = new Uint8Array(length);
  let gap: MemoryGap | null = null;
  let at = 0;
  while (at < length) {
    const got = reader.readInto(address + BigInt(at), bytes.subarray(at));
    present.fill(1, at, at + got);
    at += got;
    if (at >= length) break;
    const missing = address + BigInt(at);
    gap ??= reader.gapAt(missing);
    const step = reader.granularity - Number(missing % BigInt(reader.granularity));
    at += step;
  }
  return { address, bytes, present, gap };
}

/** True where all of `[at, at + size)` was read. */
export function isPresent(block: MemoryBlock, at: number, size: number): boolean {
  for (let i = at; i < at + size; i++) if (block.present[i] !== 1) return false;
  return true;
}

export function gapText(gap: MemoryGap | null): string | null {
  return gap === null ? null : describeGap(gap);
}
