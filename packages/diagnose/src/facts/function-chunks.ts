/**
 * The parts of a function. Optimised images keep what seldom runs apart: a cold chunk far away whose .pdata entry is
 * chained to the function's own. A loop may lie in both, so a graph of the primary part alone would not see it close.
 */
import { type Rva, type Va, vaAdd } from '@dumpscope/core';
import { buildGraph, type CodeRange } from '@dumpscope/cpu';
import type { Module, Target } from '@dumpscope/debugger';

/** Chunks of one function beyond the primary one; real ones have one or two. */
const MAX_CHUNKS = 16;

const known = new WeakMap<Target, Map<bigint, readonly CodeRange[]>>();

/** Ranges of the function at `start`..`end`, the primary one first; `at` is an address known to belong to it. */
export function functionChunks(target: Target, module: Module, start: Rva, end: Rva, at: bigint): readonly CodeRange[] {
  let cache = known.get(target);
  if (cache === undefined) {
    cache = new Map();
    known.set(target, cache);
  }
  const primary = vaAdd(module.base, start);
  let ranges = cache.get(primary);
  if (ranges === undefined) {
    ranges = explore(target, module, start, { start: primary, end: vaAdd(module.base, end) });
    cache.set(primary, ranges);
  }
  if (ranges.some((range) => at >= range.start && at < range.end)) return ranges;
  // A chunk that no decoded jump leads to: only its own .pdata entry says whose it is.
  const own = chunkAt(module, start, at);
  return own === null ? ranges : [...ranges, own];
}

function explore(target: Target, module: Module, start: Rva, primary: CodeRange): readonly CodeRange[] {
  const ranges: CodeRange[] = [primary];
  for (let grown = true; grown && ranges.length < MAX_CHUNKS; ) {
    grown = false;
    const graph = buildGraph(target.code, target.disassembler, { roots: [primary.start], fromEntry: true, ranges });
    for (const { kind, to } of graph.gaps) {
      if (kind !== 'outside' || to === null || ranges.length >= MAX_CHUNKS) continue;
      if (ranges.some((range) => to >= range.start && to < range.end)) continue;
      const chunk = chunkAt(module, start, to);
      if (chunk === null) continue;
      ranges.push(chunk);
      grown = true;
    }
  }
  return ranges;
}

/** The chunk that holds an address, where it is chained to the function at `start`. */
function chunkAt(module: Module, start: Rva, address: Va | bigint): CodeRange | null {
  if (address < module.base || address >= module.base + BigInt(module.size)) return null;
  const found = module.functionAt(Number(address - module.base));
  if (found === null || found.from !== 'pdata' || found.start !== start || found.piece == null) return null;
  return { start: vaAdd(module.base, found.piece.begin), end: vaAdd(module.base, found.piece.end) };
}
