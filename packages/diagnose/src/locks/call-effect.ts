import type { FlowGraph, Instruction } from '@dumpscope/cpu';
import type { Frame, Target } from '@dumpscope/debugger';
import type { LockEffect } from './must-hold.ts';

export function lockEffects(
  _t: Target,
  _g: FlowGraph,
  _f: Frame,
  _lock: bigint,
  _handle: bigint | null,
): (instruction: Instruction) => LockEffect {
  return () => 'none';
}
