/** A loop around an interrupted PC as the rules see it: what its exits wait for, and whether they can be taken. */
import type { Instruction } from '@dumpscope/cpu';
import type { Module } from '@dumpscope/debugger';
import type { CounterArray } from './counter-array.ts';

export interface WaitCell {
  readonly address: bigint;
  readonly size: number;
  /** Captured value, null where the dump lacks it. */
  readonly value: bigint | null;
  /** Bits that the condition looks at; null for all. */
  readonly mask: bigint | null;
  /** Why it could not be read; null when it could. */
  readonly gap: string | null;
}

export interface ExitView {
  /** Address of the branch that leaves. */
  readonly branch: bigint;
  /** `leaves when ([a07be204] & 1) == 0`. */
  readonly condition: string;
  /** `bit 0 of [a07be204] clear`, where the condition is one bit of one cell. */
  readonly needs: string | null;
  readonly cells: readonly WaitCell[];
  /** Would it be taken with what was captured? */
  readonly taken: boolean | null;
  /** No instruction of the loop changes what it depends on, registers and cells alike. */
  readonly invariant: boolean;
  /** A store of the loop may reach one of its cells. */
  readonly mayBeStored: boolean;
}

export type LoopShape =
  | 'queued-wait'
  | 'word-wait'
  | 'shared-exclusive-wait'
  | 'chain-valid-wait'
  | 'poll'
  | 'walk'
  | 'counter'
  /** Compares time stamps: it ends by itself. */
  | 'time-wait'
  | 'other';

/** A releaser of a queued lock whose successor has exchanged the tail and not linked itself. */
export interface ChainWait {
  readonly entry: bigint;
  readonly lock: bigint;
  readonly tail: bigint;
}

export interface LoopView {
  readonly start: bigint;
  /** Where every turn passes: the target of the back edge. */
  readonly header: bigint;
  readonly end: bigint;
  readonly instructionCount: number;
  /** In address order. */
  readonly instructions: readonly Instruction[];
  readonly functionName: string | null;
  readonly module: Module | null;
  /** Frame of the walk in which the loop is: 0 the interrupted code itself, above it callers that call a helper. */
  readonly frameIndex: number;
  readonly exits: readonly ExitView[];
  readonly shape: LoopShape;
  /** The lock word, where the loop takes it with an atomic instruction. */
  readonly lockCell: WaitCell | null;
  /** How a reader/writer spin lock is asked for, and what its word says is in the way; null for other loops. */
  readonly readerWriter: {
    readonly mode: 'exclusive' | 'shared';
    readonly waitsFor: 'writer' | 'readers' | 'writer-or-waiting-writer' | null;
  } | null;
  readonly chain: ChainWait | null;
  /** The loop goes over one counter for each processor and waits until all are zero. */
  readonly readerCounters: CounterArray | null;
  /** Abstract execution from the captured state: repeats a state, leaves after so many iterations, or is unknown. */
  readonly execution: {
    readonly end: 'cycle' | 'exit' | 'unknown';
    readonly iterations: number | null;
    readonly text: string;
    /** Calls of the loop that could not be followed are taken to return and to change nothing that decides. */
    readonly assumesCalls: boolean;
  };
  readonly stores: number;
  /** It pauses or has a locked instruction: code that counts on other processors. */
  readonly awaitsOthers: boolean;
  /** Every way through the loop was followed. */
  readonly complete: boolean;
  /** Does EFLAGS in the context equal what the last test leaves for the captured values? */
  readonly flags: { readonly agree: boolean | null; readonly text: string };
}
