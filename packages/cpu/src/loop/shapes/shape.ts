import type { CarriedRegister, ExitAnalysis, ExitCondition, LoopStore, WaitCell } from '../analysis.ts';
import type { LoopContext } from '../analyze-loop.ts';
import { cellTest } from '../condition.ts';
import type { Load } from '../expression.ts';
import type { Path } from '../paths.ts';
import type { Protocol } from '../protocol.ts';

export interface ShapeInput {
  readonly context: LoopContext;
  readonly exits: readonly ExitAnalysis[];
  readonly stores: readonly LoopStore[];
  readonly carried: readonly CarriedRegister[];
  readonly waits: readonly WaitCell[];
  readonly exitPaths: readonly Path[];
}

/** Recognises one kind of loop by what it reads, tests and writes, or says null. */
export type Shape = (input: ShapeInput) => Protocol | null;

export interface TestOfCell {
  readonly condition: ExitCondition;
  readonly test: NonNullable<ExitCondition['test']>;
  readonly load: Load;
}

/** The tests of one memory cell that lie on the way to an exit. */
export function cellTests(input: ShapeInput): TestOfCell[] {
  const result: TestOfCell[] = [];
  for (const exit of input.exits)
    for (const conditions of exit.alternatives)
      for (const condition of conditions) {
        const { test } = condition;
        const load = testedLoad(condition);
        if (test && load) result.push({ condition, test, load });
      }
  return result;
}

function testedLoad({ condition }: ExitCondition): Load | null {
  const direct = cellTest(condition)?.cell;
  if (direct || condition.kind !== 'compare') return direct ?? null;
  const { left } = condition;
  if (left.kind === 'load') return left;
  return left.kind === 'operation' && left.left.kind === 'load' ? left.left : null;
}

export function pointerSize(input: ShapeInput): 4 | 8 {
  return input.context.graph.arch === 'x86' ? 4 : 8;
}
