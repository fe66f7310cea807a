/** Where the entry or frame that holds a lock lies, seen from the processor that waits for it. */
import type { Frame, Processor, Registers, Target, Thread } from '@dumpscope/debugger';
import type { KnownStack } from '../facts/stacks.ts';

export type HolderPlace =
  /** In the part of the waiter's own stack that older frames still use. `trapFrame`: between the two lies an interrupt. */
  | {
      readonly kind: 'own-live';
      readonly aboveSp: bigint;
      readonly belowBase: bigint | null;
      readonly trapFrame: bigint | null;
    }
  /** In the waiter's own stack, below every frame: whoever put it there has returned. */
  | { readonly kind: 'own-dead'; readonly belowSp: bigint }
  /** On another stack of the same processor: the thread that a DPC interrupted, or a DPC or ISR stack. */
  | { readonly kind: 'same-processor'; readonly stack: KnownStack; readonly live: boolean | null }
  | {
      readonly kind: 'other-processor';
      readonly processor: Processor;
      readonly stack: KnownStack;
      readonly live: boolean | null;
    }
  | {
      readonly kind: 'other-thread';
      readonly thread: Thread;
      readonly stack: KnownStack;
      readonly live: boolean | null;
    }
  | { readonly kind: 'prcb'; readonly processor: number; readonly index: number }
  /** On no known stack. `near`: the waiter's own stack bounds are unknown, and it lies close to its stack pointer. */
  | { readonly kind: 'elsewhere'; readonly near: boolean };

export interface Waiter {
  readonly processor: Processor;
  readonly registers: Registers;
  /** Frames from the waiting code to the stack's base. */
  readonly frames: readonly Frame[];
  readonly stack: KnownStack | null;
}

/** Kernel stacks are at most 0x12000 bytes on x64. */
const STACK_REACH = 0x12000n;

export function placeOf(target: Target, waiter: Waiter, address: bigint, stack: KnownStack | null): HolderPlace {
  const own = waiter.stack;
  const sp = waiter.registers.sp;
  if (own !== null && address >= own.limit && address < own.base) {
    if (address < sp) return { kind: 'own-dead', belowSp: sp - address };
    const crossed = waiter.frames.find(
      (frame) => frame.trapFrame !== null && frame.trapFrame > sp && frame.trapFrame < address,
    );
    return {
      kind: 'own-live',
      aboveSp: address - sp,
      belowBase: own.base - address,
      trapFrame: crossed?.trapFrame ?? null,
    };
  }
  if (own === null && address >= sp) {
    // The thread, and with it the stack's bounds, could not be read: frames of the walk still show what is live.
    const last = waiter.frames.find(
      (frame) => frame.extent !== null && address >= frame.extent.low && address < frame.extent.high,
    );
    if (last !== undefined) {
      const crossed = waiter.frames.find(
        (frame) => frame.trapFrame !== null && frame.trapFrame > sp && frame.trapFrame < address,
      );
      return { kind: 'own-live', aboveSp: address - sp, belowBase: null, trapFrame: crossed?.trapFrame ?? null };
    }
  }
  if (stack === null) {
    const distance = address > sp ? address - sp : sp - address;
    return { kind: 'elsewhere', near: own === null && distance < STACK_REACH };
  }
  // Frames of one walk may join several stacks (DPC over thread): the entry is live if a frame of this walk holds it.
  const onChain = waiter.frames.some(
    (frame) => frame.extent !== null && address >= frame.extent.low && address < frame.extent.high,
  );
  const thread = waiter.processor.currentThread;
  if (onChain || stack.processor === waiter.processor.number || (stack.thread !== null && stack.thread === thread)) {
    return { kind: 'same-processor', stack, live: onChain ? true : liveIn(stack, address) };
  }
  const other = target.processors.find(
    (p) =>
      p.number !== waiter.processor.number &&
      (p.number === stack.runningOn ||
        p.number === stack.processor ||
        (stack.thread !== null && p.currentThread === stack.thread)),
  );
  if (other !== undefined) return { kind: 'other-processor', processor: other, stack, live: liveIn(stack, address) };
  const holder = stack.thread === null ? null : target.thread(stack.thread);
  if (holder !== null) return { kind: 'other-thread', thread: holder, stack, live: liveIn(stack, address) };
  return { kind: 'elsewhere', near: false };
}

function liveIn(stack: KnownStack, address: bigint): boolean | null {
  return stack.liveFrom === null ? null : address >= stack.liveFrom;
}
