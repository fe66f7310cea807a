/** In what a lock is embedded: the object whose base register the caller added an offset to. */
import type { Target } from '@dumpscope/debugger';
import { calledAddress, callInstruction, functionGraph } from '../facts/function-graph.ts';
import type { Waiter } from './holder-place.ts';
import { resolveBefore } from './resolve-value.ts';

export interface Container {
  readonly object: bigint;
  readonly offset: bigint;
  /** `lea ecx,[edi+1Ch] at a1342745` or `edi of the interrupted context`. */
  readonly by: string;
  readonly instruction: { readonly address: bigint; readonly length: number } | null;
}

const firstArgument: Readonly<Record<string, readonly string[]>> = {
  x86: ['ecx', 'edx'],
  x64: ['rcx', 'rdx'],
  arm64: ['x0', 'x1'],
};
/** An embedded lock lies within this much of its object's start. */
const MAX_OFFSET = 0x1000n;

export function containerOf(target: Target, waiter: Waiter, loopFrame: number, lock: bigint): Container | null {
  // The instruction of a caller that computed the argument: the stronger derivation.
  for (const frame of waiter.frames.slice(loopFrame + 1, loopFrame + 5)) {
    const graph = functionGraph(target, frame.pc, calledAddress(target, waiter.frames, frame.index));
    const call = graph === null ? null : callInstruction(graph, frame.pc);
    if (graph === null || call === null) continue;
    for (const register of firstArgument[target.arch] ?? []) {
      const resolved = resolveBefore({ target, graph, frame: frame.registers }, call, register);
      if (resolved === null || resolved.value !== lock || resolved.base === null || resolved.base.displacement <= 0n)
        continue;
      const step = resolved.steps.find((instruction) => instruction.mnemonic === 'lea') ?? resolved.steps[0];
      if (step === undefined) continue;
      const text = target.disassembler.format(step);
      return {
        object: resolved.base.value,
        offset: resolved.base.displacement,
        by: `${text.mnemonic} ${text.operands} at ${target.nameOf(step.address).text}`,
        instruction: { address: step.address, length: step.length },
      };
    }
  }
  // A preserved register that points a little below the lock: what its caller kept as the object.
  for (const register of target.arch === 'x86'
    ? ['edi', 'esi', 'ebx']
    : ['rdi', 'rsi', 'rbx', 'r12', 'r13', 'r14', 'r15']) {
    const value = waiter.registers.values.get(register);
    if (value === undefined || value >= lock || lock - value >= MAX_OFFSET) continue;
    if (waiter.stack !== null && value >= waiter.stack.limit && value < waiter.stack.base) continue;
    return { object: value, offset: lock - value, by: `${register} of the interrupted context`, instruction: null };
  }
  return null;
}
