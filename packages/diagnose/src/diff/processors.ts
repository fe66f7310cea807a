/** What each processor did between two dumps. */
import type { Report, ReportProcessor } from '../report/report.ts';
import type { Moved, ProcessorDiff, ThreadDiff } from './diff.ts';

interface Range {
  readonly low: bigint;
  readonly high: bigint;
}

export function compareProcessors(
  first: Report,
  second: Report,
  threads: readonly ThreadDiff[],
  elapsed: number | null,
): ProcessorDiff[] {
  const before = new Map(first.processors.map((processor) => [processor.number, processor]));
  const byAddress = new Map(threads.map((thread) => [thread.thread, thread]));
  return second.processors.map((after) => {
    const own = before.get(after.number);
    const thread = after.thread === null ? undefined : byAddress.get(after.thread);
    const loops = [...loopsOf(first, after.number), ...loopsOf(second, after.number)];
    const stack = own === undefined ? null : compareStacks(own, after);
    return {
      number: after.number,
      thread: { first: own?.thread ?? null, second: after.thread },
      pc: { first: own?.pc ?? null, second: after.pc },
      symbol: { first: own?.symbol ?? null, second: after.symbol },
      irql: { first: own?.irql ?? null, second: after.irql },
      idle: { first: own?.idle ?? null, second: after.idle },
      stack,
      ...(elapsed === 0 ? { moved: null, why: 'no time passed' } : judge(own, after, stack, thread, loops)),
    };
  });
}

function loopsOf(report: Report, processor: number): Range[] {
  return report.findings
    .filter((finding) => finding.processor === processor && finding.loop !== null)
    .map((finding) => ({ low: BigInt(finding.loop?.start ?? 0), high: BigInt(finding.loop?.end ?? 0) }));
}

/** By addresses: two dumps of one boot have their modules in one place. */
function compareStacks(first: ReportProcessor, second: ReportProcessor): ProcessorDiff['stack'] {
  if (first.stack.length === 0 || second.stack.length === 0) return null;
  const callers = (processor: ReportProcessor): string =>
    processor.stack
      .slice(1)
      .map((frame) => frame.pc)
      .join();
  if (first.stack.length !== second.stack.length || callers(first) !== callers(second)) return 'different';
  return first.stack[0]?.pc === second.stack[0]?.pc ? 'same' : 'same-callers';
}

function judge(
  first: ReportProcessor | undefined,
  second: ReportProcessor,
  stack: ProcessorDiff['stack'],
  thread: ThreadDiff | undefined,
  loops: readonly Range[],
): { moved: Moved; why: string } {
  if (first === undefined) return { moved: null, why: 'not in the first dump' };
  if (first.contextTrust === 'stale' || second.contextTrust === 'stale')
    return { moved: null, why: 'a context is stale: of an earlier moment than its dump' };
  if (first.thread === null || second.thread === null) return { moved: null, why: 'its thread could not be read' };
  if (first.thread !== second.thread) return { moved: true, why: 'runs another thread' };
  if (first.idle === true && second.idle === true) return { moved: null, why: 'idle in both' };
  if (thread === undefined) return { moved: null, why: 'its thread could not be compared' };
  if (thread.change === 'new') return { moved: true, why: 'its thread is another one at the same address' };
  // The idle thread is switched to and from on a processor that works; DPCs over it are not counted as switches.
  if (thread.change === 'switched')
    return { moved: true, why: `its thread was switched ${count(thread.contextSwitches)} in between` };
  if (stack === null) return { moved: null, why: 'a stack could not be walked' };
  if (stack === 'different') return { moved: true, why: 'the same thread is in other calls' };
  if (thread.contextSwitches === null) return { moved: null, why: 'context switches could not be read' };
  const inLoop = loops.some((loop) => inside(first.pc, loop) && inside(second.pc, loop));
  if (stack === 'same-callers' && !inLoop)
    return { moved: null, why: 'the same thread under the same callers, at another place' };
  return {
    moved: false,
    why: `the same thread, not switched in between, ${inLoop ? 'in the same loop' : 'at the same address'} under the same callers`,
  };
}

function inside(pc: string | null, loop: Range): boolean {
  return pc !== null && BigInt(pc) >= loop.low && BigInt(pc) < loop.high;
}

function count(times: number | null): string {
  return times === null ? 'an unknown number of times' : times === 1 ? 'once' : `${times} times`;
}
