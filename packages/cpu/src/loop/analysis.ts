import type { Va } from '@dumpscope/core';
import type { Loop, LoopExit } from '../cfg/loops.ts';
import type { RunResult } from '../execute/run.ts';
import type { Register } from '../instruction.ts';
import type { Condition, Relation } from './condition.ts';
import type { Expression } from './expression.ts';
import type { Protocol } from './protocol.ts';
import type { FlagWitness } from './witness.ts';

/** A memory cell that an exit depends on. */
export interface LoopCell {
  /** The address in the captured state; null when a register of it is not known or changes from turn to turn. */
  readonly address: Va | null;
  readonly size: 1 | 2 | 4 | 8;
  /** The address as the code forms it: `eax+4`. */
  readonly expression: string;
  /** The base register and displacement, where the address has that form. */
  readonly base: { readonly register: Register; readonly value: bigint | null; readonly displacement: bigint } | null;
  /** `invariant`: the same cell every turn; `carried`: it moves; `indirect`: a pointer in memory leads to it. */
  readonly kind: 'invariant' | 'carried' | 'indirect' | 'unknown';
  /** What it holds in the dump; null when it could not be read or has no one address. */
  readonly value: bigint | null;
}

/** One condition on the way to an exit. */
export interface ExitCondition {
  /** The branch that decides it. */
  readonly at: Va;
  readonly condition: Condition;
  /** `([a07be204] & 1) == 0`. */
  readonly text: string;
  /** With the captured values; null when they do not tell. */
  readonly holds: boolean | null;
  /** When the condition tests one cell against a constant: `(cell & mask) relation value`. */
  readonly test: {
    readonly cell: LoopCell;
    readonly mask: bigint;
    readonly relation: Relation;
    readonly value: bigint;
  } | null;
  readonly cells: readonly LoopCell[];
  /** Registers it depends on that stay the same, and those that change from turn to turn. */
  readonly invariant: readonly Register[];
  readonly carried: readonly Register[];
}

export interface ExitAnalysis {
  readonly exit: LoopExit;
  /** The exit is taken when all conditions of one alternative hold; an empty alternative is always taken. */
  readonly alternatives: readonly (readonly ExitCondition[])[];
  /** With the captured values: true, false, or null when they do not tell. */
  readonly taken: boolean | null;
  /** `leaves when ([a07be204] & 1) == 0`. */
  readonly text: string;
}

/** A store in the loop. */
export interface LoopStore {
  readonly at: Va;
  readonly expression: string;
  readonly address: Va | null;
  readonly size: number;
  readonly atomic: boolean;
  /** Whether it can change a cell that an exit depends on. */
  readonly reaches: 'no' | 'may' | 'must';
  /** For `must`: the value it leaves, in terms of the iteration's beginning; null when not known. */
  readonly value: string | null;
}

/** A register that changes from turn to turn and that an exit depends on or that goes around the loop. */
export interface CarriedRegister {
  readonly register: Register;
  readonly captured: bigint | null;
  /** What a turn makes of it, one for each distinct way: `[rax]`, `ecx-1`. */
  readonly updates: readonly string[];
  readonly expressions: readonly Expression[];
}

/** A cell that somebody else must change, and to what. */
export interface WaitCell {
  readonly cell: LoopCell;
  readonly mask: bigint;
  readonly relation: Relation;
  readonly value: bigint;
  readonly text: string;
}

export interface LoopAnalysis {
  readonly loop: Loop;
  readonly exits: readonly ExitAnalysis[];
  readonly stores: readonly LoopStore[];
  readonly calls: readonly { readonly at: Va; readonly target: Va | null }[];
  readonly carried: readonly CarriedRegister[];
  readonly witness: FlagWitness;
  /**
   * What must change from outside for the loop to end: the tests of invariant cells that do not hold now. Empty when an
   * exit is open now, or when the exits do not depend on memory alone.
   */
  readonly waits: readonly WaitCell[];
  readonly protocol: Protocol;
  /** What execution from the captured state does when nobody else writes. */
  readonly execution: RunResult;
  /**
   * When calls in the loop kept `execution` from an answer: the answer under the assumption that they return and change
   * nothing but the volatile registers (`skipped` names them). Else null.
   */
  readonly assumingCalls: RunResult | null;
  /** False when some ways through the loop were not followed, so that exits or stores may be missing. */
  readonly complete: boolean;
  /** One line: what keeps the loop going. */
  readonly text: string;
}
