/** Flow graphs of functions around an address, built once each. */

import { va, vaAdd } from '@dumpscope/core';
import { buildGraph, type FlowGraph, type Instruction } from '@dumpscope/cpu';
import type { Frame, Target } from '@dumpscope/debugger';
import { functionChunks } from './function-chunks.ts';

const graphs = new WeakMap<Target, Map<bigint, FlowGraph | null>>();

/** A function reaches over at most this many bytes where nothing tells its end. */
const OPEN_END = 0x4000;

/**
 * Graph of the function that holds `pc`; null where its start is not known or its code cannot be read. `called` is where
 * the caller's call instruction goes: a function's start that needs no name.
 */
export function functionGraph(target: Target, pc: bigint, called: bigint | null = null): FlowGraph | null {
  const module = target.moduleAt(pc);
  if (module === undefined) return null;
  const found = module.functionAt(Number(pc - module.base));
  // An export far below is not this function: what the caller called is nearer.
  const named = found === null ? null : vaAdd(module.base, found.start);
  const plausible =
    called !== null && called <= pc && pc - called < BigInt(OPEN_END) && target.moduleAt(called) === module;
  const start = plausible && (named === null || found?.from === 'export') ? va(called) : named;
  if (start === null) return null;
  let cache = graphs.get(target);
  if (cache === undefined) {
    cache = new Map();
    graphs.set(target, cache);
  }
  let graph = cache.get(start);
  if (graph === undefined) {
    const ranges =
      found?.end == null || start !== named
        ? [{ start, end: vaAdd(start, OPEN_END) }]
        : functionChunks(target, module, found.start, found.end, pc);
    const built = buildGraph(target.code, target.disassembler, { roots: [start], fromEntry: true, ranges });
    graph = built.blocks.length === 0 ? null : built;
    cache.set(start, graph);
  }
  return graph;
}

/**
 * Start of the function of frame `index`: found by its code, or where the call goes that created the frame, direct or
 * through a pointer at a fixed address.
 */
export function calledAddress(target: Target, frames: readonly Frame[], index: number): bigint | null {
  const frame = frames[index];
  const caller = frames[index + 1];
  if (frame?.codeStart != null) return frame.codeStart;
  if (caller === undefined || frame?.trapFrame != null) return null;
  // Near calls with a direct target are five bytes long, those through an absolute or RIP-relative pointer six.
  for (const length of [5, 6]) {
    const at = va(caller.pc - BigInt(length));
    const bytes = target.code(at, length);
    const call = bytes === null ? null : target.disassembler.decode(bytes, 0, at);
    if (call === null || call.length !== length) continue;
    if (call.flow === 'call') return call.target;
    const operand = call.operands[0];
    if (call.flow !== 'indirect-call' || operand?.kind !== 'memory' || (operand.base !== null && !operand.ripRelative))
      continue;
    return target.memory.pointer(BigInt.asUintN(target.pointerSize * 8, operand.displacement)) ?? null;
  }
  return null;
}

/** The call that a frame is in: the instruction that ends where the callee returns to. */
export function callInstruction(graph: FlowGraph, returnAddress: bigint): Instruction | null {
  for (const block of graph.blocks) {
    for (const instruction of block.instructions) {
      if (instruction.address + BigInt(instruction.length) === returnAddress) {
        return instruction.flow === 'call' || instruction.flow === 'indirect-call' ? instruction : null;
      }
    }
  }
  return null;
}

/** Place in the graph where a frame stands: its call, or its own instruction for the interrupted one. */
export function placeInGraph(graph: FlowGraph, frame: Frame): Instruction | null {
  const call = callInstruction(graph, frame.pc);
  if (call !== null && frame.trust !== 'context' && frame.trust !== 'trap-frame') return call;
  for (const block of graph.blocks)
    for (const instruction of block.instructions) if (instruction.address === va(frame.pc)) return instruction;
  return call;
}
