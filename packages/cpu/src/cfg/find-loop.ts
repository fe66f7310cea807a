import type { Va } from '@dumpscope/core';
import type { CodeReader, Disassembler } from '../instruction.ts';
import { buildGraph, type CodeRange } from './build-graph.ts';
import { type FlowGraph, isBoundary, type Leave } from './flow-graph.ts';
import { innermostLoop, type Loop } from './loops.ts';

export interface LoopHints {
  /** The function's chunks by .pdata, cold ones included; the first starts at the entry. */
  readonly ranges?: readonly CodeRange[];
  /** The function's start by symbol or export, when there are no ranges. */
  readonly start?: Va;
  /** Bounds the exploration; see {@link buildGraph}. */
  readonly maxInstructions?: number;
  readonly noReturn?: (target: Va) => boolean;
}

export interface LoopAround {
  readonly graph: FlowGraph;
  /** The innermost loop that contains pc; follow `parent` for the enclosing ones. Null: pc is in no loop that can be seen. */
  readonly loop: Loop | null;
  /**
   * How pc was found to be an instruction: `entry`: decoding from the function's start arrives at it; `pc-only`: the
   * processor's own word, no start known; `mismatch`: decoding from the start does not arrive at it, so the graph begins at pc.
   */
  readonly boundary: 'entry' | 'pc-only' | 'mismatch';
  /** Unknown successors: when not empty, "no loop" is not proven. */
  readonly gaps: readonly Leave[];
}

/**
 * The smallest closed loop around pc. With the function's start known its whole graph is used; without it, or when the
 * start's bytes are missing, all paths forward from pc are followed: a loop comes back to pc by itself.
 */
export function findLoopAround(
  code: CodeReader,
  disassembler: Disassembler,
  pc: Va,
  hints: LoopHints = {},
): LoopAround {
  const shared = {
    ...(hints.maxInstructions === undefined ? {} : { maxInstructions: hints.maxInstructions }),
    ...(hints.noReturn === undefined ? {} : { noReturn: hints.noReturn }),
  };
  const entry = hints.ranges?.[0]?.start ?? hints.start;
  let boundary: LoopAround['boundary'] = 'pc-only';
  if (entry !== undefined) {
    const ranges = hints.ranges === undefined ? {} : { ranges: hints.ranges };
    const whole = buildGraph(code, disassembler, { ...shared, ...ranges, roots: [entry], fromEntry: true });
    if (isBoundary(whole, pc)) {
      return { graph: whole, loop: innermostLoop(whole, pc), boundary: 'entry', gaps: whole.gaps };
    }
    // Not reached: an unresolved switch or a missing page may hide it; decoded across it, the start is wrong.
    const crossed = whole.blocks.some((b) => b.start < pc && pc < b.end);
    if (crossed) boundary = 'mismatch';
  }
  const graph = buildGraph(code, disassembler, { ...shared, roots: [pc], fromEntry: false });
  return { graph, loop: innermostLoop(graph, pc), boundary, gaps: graph.gaps };
}
