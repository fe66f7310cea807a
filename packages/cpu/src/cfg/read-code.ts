import { type Va, vaAdd } from '@dumpscope/core';
import type { CodeReader, Disassembler, Instruction } from '../instruction.ts';

/** Bytes at `address`: up to `length`, fewer before a gap, null when not even the first is there. */
export function readLeading(code: CodeReader, address: Va, length: number): Uint8Array | null {
  const all = code(address, length);
  if (all !== null && all.length > 0) return all;
  // A reader may refuse a range that ends in a gap: find the longest prefix.
  for (let low = length >> 1; low > 0; low >>= 1) {
    let part = code(address, low);
    if (part === null || part.length === 0) continue;
    for (let n = low + 1; n < low * 2 && n < length; n++) {
      const longer = code(address, n);
      if (longer === null || longer.length < n) break;
      part = longer;
    }
    return part;
  }
  return null;
}

/** Decodes the instruction at `address`; null when its bytes cannot be read. */
export function decodeAt(code: CodeReader, disassembler: Disassembler, address: Va): Instruction | null {
  const bytes = readLeading(code, address, disassembler.maxLength);
  return bytes === null ? null : disassembler.decode(bytes, 0, address);
}

/** The address after an instruction, wrapped to the architecture's address width. */
export function nextAddress(disassembler: Disassembler, instruction: Instruction): Va {
  const next = vaAdd(instruction.address, instruction.length);
  return disassembler.arch === 'x86' ? (BigInt.asUintN(32, next) as Va) : next;
}

/**
 * Decodes up to `count` instructions that end exactly at `address` (`ub`). x86 code cannot be read backwards: every start
 * within `count * maxLength` bytes before is decoded forward, and the chain that most starts fall into is taken.
 * Returns fewer when no chain reaches further back or bytes are missing.
 */
export function decodeBackward(
  code: CodeReader,
  disassembler: Disassembler,
  address: Va,
  count: number,
): Instruction[] {
  const step = disassembler.arch === 'arm64' ? 4 : 1;
  const reach = Math.min(count * disassembler.maxLength, 512);
  const memo = new Map<number, Instruction | null>();
  const decode = (back: number): Instruction | null => {
    let found = memo.get(back);
    if (found === undefined) {
      found = decodeAt(code, disassembler, vaAdd(address, -back));
      memo.set(back, found);
    }
    return found;
  };
  // votes[b]: how many starts reach the boundary `address - b` and then `address` itself.
  const votes = new Map<number, number>();
  for (let start = step; start <= reach; start += step) {
    const chain: number[] = [];
    let back = start;
    while (back > 0) {
      const instruction = decode(back);
      if (!instruction?.valid) break;
      chain.push(back);
      back -= instruction.length;
    }
    if (back === 0) for (const b of chain) votes.set(b, (votes.get(b) ?? 0) + 1);
  }
  const result: Instruction[] = [];
  let end = 0;
  while (result.length < count) {
    let best = -1;
    for (let length = 1; length <= disassembler.maxLength; length++) {
      const instruction = votes.has(end + length) ? decode(end + length) : null;
      if (instruction?.length !== length) continue;
      if (best < 0 || (votes.get(end + length) ?? 0) > (votes.get(end + best) ?? 0)) best = length;
    }
    const instruction = best < 0 ? null : decode(end + best);
    if (!instruction) break;
    result.unshift(instruction);
    end += best;
  }
  return result;
}
