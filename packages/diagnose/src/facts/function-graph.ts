/** Flow graphs of functions around an address, built once each. */

import { va, vaAdd } from '@dumpscope/core';
import { buildGraph, type FlowGraph, type Instruction } from '@dumpscope/cpu';
import type { Frame, Target } from '@dumpscope/debugger';

const graphs = new WeakMap<Target, Map<bigint, FlowGraph | null>>();

/** A function reaches over at most this many bytes where nothing tells its end. */
const OPEN_END = 0x4000;

/** Graph of the function that holds `pc`; null where its start is not known or its code cannot be read. */
export function functionGraph(target: Target, pc: bigint): FlowGraph | null {
  const module = target.moduleAt(pc);
  const found = module?.functionAt(Number(pc - module.base));
  if (module === undefined || found == null) return null;
  const start = vaAdd(module.base, found.start);
  let cache = graphs.get(target);
  if (cache === undefined) {
    cache = new Map();
    graphs.set(target, cache);
  }
  let graph = cache.get(start);
  if (graph === undefined) {
    const end = found.end === null ? vaAdd(start, OPEN_END) : vaAdd(module.base, found.end);
    const built = buildGraph(target.code, target.disassembler, {
      roots: [start],
      fromEntry: true,
      ranges: [{ start, end }],
    });
    graph = built.blocks.length === 0 ? null : built;
    cache.set(start, graph);
  }
  return graph;
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
