/** Every kernel stack that the dump leads to, and what of it is live. */
import type { Processor, StackRange } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';

export interface KnownStack extends StackRange {
  /**
   * Lowest live byte: the interrupted stack pointer of the processor that runs on it, or KernelStack of a thread that
   * does not run. Null where neither is known, as for a thread that runs on a processor which cannot be read.
   */
  readonly liveFrom: bigint | null;
  /** Processor whose interrupted stack pointer lies in it. */
  readonly runningOn: number | null;
}

/** Stacks above this are taken as corrupt bounds; Windows' largest kernel stack is 0x12000 (x64 large stack), IST and DPC stacks are smaller. */
const MAX_STACK = 0x40000;

/** KTHREAD.State: the thread runs, and its KernelStack is of its last switch. */
export const RUNNING = 2;

export const knownStacks: FactKey<readonly KnownStack[]> = defineFact('known stacks', ({ target }: Diagnosis) => {
  const found = new Map<string, KnownStack>();
  const add = (range: StackRange, kernelStack: bigint | null): void => {
    const size = range.base - range.limit;
    if (size <= 0n || size > BigInt(MAX_STACK)) return;
    const key = `${range.base.toString(16)}-${range.limit.toString(16)}`;
    const running = processorIn(target.processors, range);
    const live = running?.interrupted?.sp ?? kernelStack;
    const known: KnownStack = { ...range, liveFrom: live, runningOn: running?.number ?? null };
    const before = found.get(key);
    if (before === undefined || (before.liveFrom === null && live !== null)) found.set(key, known);
  };
  for (const processor of target.processors) for (const stack of processor.stacks) add(stack, null);
  for (const thread of target.threads()) {
    if (thread.stackBase === null || thread.stackLimit === null) continue;
    add(
      {
        kind: 'thread',
        base: thread.stackBase,
        limit: thread.stackLimit,
        processor: null,
        thread: thread.address,
        source: '_KTHREAD.StackBase, StackLimit',
      },
      thread.state === RUNNING ? null : thread.kernelStack,
    );
  }
  return [...found.values()];
});

function processorIn(processors: readonly Processor[], range: StackRange): Processor | undefined {
  return processors.find(
    (p) => p.interrupted !== null && p.interrupted.sp >= range.limit && p.interrupted.sp <= range.base,
  );
}

/** The stack that holds `address`; thread stacks before overlapping per-processor ones. */
export function stackHolding(stacks: readonly KnownStack[], address: bigint): KnownStack | undefined {
  const holding = stacks.filter((stack) => address >= stack.limit && address < stack.base);
  return (
    holding.find((stack) => stack.runningOn !== null) ?? holding.find((stack) => stack.thread !== null) ?? holding[0]
  );
}
