import type { Va } from '@dumpscope/core';
import type { Instruction } from '../instruction.ts';

/** Why control leaves the part of the code that the graph covers. */
export type LeaveKind =
  | 'return'
  /** An indirect jump whose targets are not known. */
  | 'indirect'
  /** A direct jump or fall-through out of the given ranges: a tail call or another function. */
  | 'outside'
  /** The bytes at the target cannot be read. */
  | 'unreadable'
  /** ud2, int3, int 29h and other instructions that do not continue. */
  | 'stop'
  /** The bytes at the target are no instruction. */
  | 'invalid'
  /** The size limit of the graph was reached. */
  | 'limit';

export interface Leave {
  readonly kind: LeaveKind;
  /** The instruction that control leaves from. */
  readonly from: Va;
  readonly to: Va | null;
  readonly edge: EdgeKind;
}

export type EdgeKind = 'next' | 'taken' | 'jump';

export interface Edge {
  readonly kind: EdgeKind;
  /** Index into {@link FlowGraph.blocks}. */
  readonly block: number;
}

/** A basic block: entered at its first instruction, left after its last. */
export interface Block {
  readonly index: number;
  readonly start: Va;
  /** Exclusive. */
  readonly end: Va;
  readonly instructions: readonly Instruction[];
  readonly successors: readonly Edge[];
  readonly predecessors: readonly number[];
  readonly leaves: readonly Leave[];
}

export interface FlowGraph {
  readonly arch: 'x86' | 'x64' | 'arm64';
  /** Where the exploration began: the function's start, or the given address when that is unknown. */
  readonly roots: readonly Va[];
  /** True when the root is a known function start. */
  readonly fromEntry: boolean;
  /** In address order. */
  readonly blocks: readonly Block[];
  /** Every leave that is not a return or a stop: what the graph does not know. */
  readonly gaps: readonly Leave[];
  /** Two decodings of the same bytes: one of the paths is not code, or the code jumps into an instruction. */
  readonly overlaps: readonly Va[];
}

/** The block that has an instruction starting at `address`, or undefined. */
export function blockAt(graph: FlowGraph, address: bigint): Block | undefined {
  return graph.blocks.find(
    (b) => address >= b.start && address < b.end && b.instructions.some((i) => i.address === address),
  );
}

/** True when the graph has an instruction starting at `address`. */
export function isBoundary(graph: FlowGraph, address: bigint): boolean {
  return blockAt(graph, address) !== undefined;
}
