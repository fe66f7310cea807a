import type { Va } from '@dumpscope/core';
import type { Register } from '../instruction.ts';
import type { LoopCell } from './analysis.ts';

/** What kind of wait or walk a loop is, decided by what it reads and tests and never by names. */
export type Protocol =
  /** Waits for the WAIT bit of its own queue entry to be cleared by the predecessor. */
  | {
      readonly kind: 'queued-handoff';
      /** Own queue entry (its Next field), and its Lock field, which is the tested cell. */
      readonly entry: Va;
      readonly lockField: Va;
      readonly lockFieldValue: bigint;
      readonly lock: Va;
      /** Facts that make it a queue entry, each read from memory. */
      readonly links: readonly QueueLink[];
      /** Registers whose value is the predecessor's entry: its Next is our entry. */
      readonly predecessors: readonly { readonly register: Register; readonly entry: Va }[];
    }
  /** A releaser waits for its successor to link itself: own Next is still null. */
  | {
      readonly kind: 'chain-valid';
      readonly entry: Va;
      readonly lock: Va | null;
      readonly tail: Va | null;
      readonly links: readonly QueueLink[];
    }
  /** Waits for a word to become free and takes it with an atomic instruction. */
  | {
      readonly kind: 'plain-lock';
      readonly lock: Va | null;
      readonly cell: LoopCell;
      /** `test-and-set`: the atomic instruction is the test; else it follows a plain read. */
      readonly form: 'test-and-set' | 'test-and-test-and-set';
      /** The atomic instruction, which may lie in the enclosing loop or at the exit. */
      readonly atomicAt: Va;
      readonly value: bigint | null;
    }
  /** A 32-bit reader/writer spin lock: bit 31 held exclusively, bit 30 a writer waits, the rest readers. */
  | {
      readonly kind: 'ex-spin-lock';
      readonly lock: Va | null;
      readonly cell: LoopCell;
      readonly mode: 'exclusive' | 'shared';
      /** What it waits for at the moment, by the captured word. */
      readonly waitsFor: 'writer' | 'readers' | 'writer-or-waiting-writer' | null;
      readonly value: bigint | null;
    }
  /** Waits for a value in memory that no atomic instruction of its own takes: an IPI's acknowledgement, a flag, a count. */
  | { readonly kind: 'memory-wait'; readonly cell: LoopCell; readonly until: string }
  /** The same on a cell that is not in the dump: a device register, or a page that was not saved. */
  | { readonly kind: 'poll'; readonly cell: LoopCell; readonly until: string }
  /** Follows pointers: `next` is the offset of the link in an element. */
  | {
      readonly kind: 'list-walk';
      readonly register: Register;
      readonly linkOffset: bigint;
      readonly end: string;
      readonly keyed: boolean;
    }
  /** Two indices in memory that must meet; the loop moves one of them. */
  | { readonly kind: 'ring'; readonly moved: LoopCell; readonly other: LoopCell }
  /** A register that moves by a constant to a bound. */
  | {
      readonly kind: 'counter';
      readonly register: Register;
      readonly step: bigint;
      readonly until: string;
      /** Turns left from the captured value by arithmetic; null when not determinable. */
      readonly remaining: bigint | null;
    }
  /** Compares time stamps. */
  | { readonly kind: 'time-wait'; readonly at: Va }
  | { readonly kind: 'unclassified'; readonly why: string };

export interface QueueLink {
  readonly claim: string;
  readonly address: Va;
  readonly size: number;
  readonly value: bigint;
}
