/** Whether a stack overflowed: where the fault and the stack pointer lie against the bounds of the stack in use. */
import type { StackRange, Target } from '@dumpscope/debugger';
import type { Fault } from './fault-context.ts';

export interface StackOverflow {
  readonly stack: StackRange;
  readonly sp: bigint | null;
  /** The access that went over the limit; null where it could not be recomputed. */
  readonly address: bigint | null;
  /** Bytes below the limit: of the access, else of the stack pointer (negative: still above). */
  readonly below: bigint;
  readonly by: 'access' | 'sp';
}

/** A guard page lies below every kernel stack; one frame may step over it. */
const REACH = 0x4000n;
/** So little room left that the next call or push crosses the limit. */
const ROOM = 0x40n;

/** The stack whose limit `address` has just crossed or nearly reached, the thread's first. */
function stackJustAbove(target: Target, stacks: readonly StackRange[], address: bigint): StackRange | null {
  const near = stacks.filter((stack) => address < stack.limit + ROOM && address >= stack.limit - REACH);
  // The guard page of one stack may be followed by another stack: an address inside some stack is no overflow of its neighbour.
  const inside = target.stackAt(address);
  return (
    near
      .filter((stack) => inside === null || (inside.base === stack.base && inside.limit === stack.limit))
      .sort((a, b) => (a.thread === null ? 1 : 0) - (b.thread === null ? 1 : 0))[0] ?? null
  );
}

/** Stacks in use by a processor: its thread's, DPC's and interrupt's; a fault runs on one of them. */
export function stacksOf(fault: Fault): readonly StackRange[] {
  return fault.processor?.stacks.filter((stack) => stack.kind !== 'double-fault' && stack.kind !== 'nmi') ?? [];
}

/**
 * `sp` and `access` at the fault. Overflow needs an access below the limit, or a stack pointer at or below it; a fault
 * with the stack pointer well inside the stack is none, whatever the bug check.
 */
export function overflowOf(
  target: Target,
  stacks: readonly StackRange[],
  sp: bigint | null,
  access: bigint | null,
): StackOverflow | null {
  if (access !== null) {
    const stack = stackJustAbove(target, stacks, access);
    if (stack !== null && access < stack.limit) {
      const ownSp = sp === null || (sp >= stack.limit - REACH && sp <= stack.base);
      if (ownSp) return { stack, sp, address: access, below: stack.limit - access, by: 'access' };
    }
  }
  if (sp !== null) {
    const stack = stackJustAbove(target, stacks, sp);
    if (stack !== null) return { stack, sp, address: access, below: stack.limit - sp, by: 'sp' };
  }
  return null;
}
