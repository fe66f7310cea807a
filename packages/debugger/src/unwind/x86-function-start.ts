/** Starts of x86 functions that nothing names: what compilers and linkers leave between one function and the next. */
import { type Va, va } from '@dumpscope/core';
import type { CodeReader } from '@dumpscope/cpu';

/** How far a function is looked for above a place in it. */
const REACH = 0x1000;
const MAX_STARTS = 24;

const INT3 = 0xcc;
const NOP = 0x90;

/**
 * Addresses at or below `pc` behind padding (int3 or nop, as MSVC and clang leave it) that itself lies behind an
 * instruction which goes nowhere on, nearest first. Cold blocks of a function look the same: the caller checks the stack.
 */
export function startsBefore(code: CodeReader, pc: bigint): Va[] {
  let reach = REACH;
  let bytes: Uint8Array | null = null;
  while (bytes === null && reach >= 0x40) {
    bytes = code(va(pc - BigInt(reach)), reach);
    if (bytes === null) reach >>= 1;
  }
  const starts: Va[] = [];
  if (bytes === null) return starts;
  for (let i = bytes.length - 1; i > 8 && starts.length < MAX_STARTS; i--) {
    if (isPadding(bytes[i]) || !isPadding(bytes[i - 1])) continue;
    let end = i - 1;
    while (end > 6 && isPadding(bytes[end])) end--;
    if (leavesForGood(bytes, end)) starts.push(va(pc - BigInt(bytes.length - i)));
  }
  return starts;
}

function isPadding(byte: number | undefined): boolean {
  return byte === INT3 || byte === NOP;
}

/** A return, a jump or a call that never returns may end at `last`. */
function leavesForGood(bytes: Uint8Array, last: number): boolean {
  const at = (back: number): number => bytes[last - back] ?? 0;
  return (
    at(0) === 0xc3 ||
    (at(2) === 0xc2 && at(0) === 0) ||
    at(1) === 0xeb ||
    at(4) === 0xe9 ||
    at(4) === 0xe8 ||
    (at(5) === 0xff && (at(4) === 0x25 || at(4) === 0x15))
  );
}
