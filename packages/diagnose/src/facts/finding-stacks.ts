/** Stacks that findings are about: of the processors and threads that they name. */
import { type StackRange, type StackTrace, threadRegisters } from '@dumpscope/debugger';
import type { Diagnosis } from '../engine/diagnosis.ts';
import { address, argument } from '../engine/words.ts';
import type { Finding } from '../report/report.ts';

export interface FindingStack {
  /** `processor 0`, `thread 830c07c0`. */
  readonly of: string;
  readonly processor: number | null;
  readonly thread: bigint | null;
  readonly command: string;
  readonly trace: StackTrace;
  /** Bounds of the stack that the walk starts in; null where they could not be read. */
  readonly range: StackRange | null;
}

/** More than these, and the report would be about stacks. */
const MAX_STACKS = 16;
const MAX_FRAMES = 128;

/** Each stack once, in the order of the findings. */
export function findingStacks({ target }: Diagnosis, findings: readonly Finding[]): readonly FindingStack[] {
  const out = new Map<string, FindingStack>();
  for (const finding of findings) {
    if (out.size >= MAX_STACKS) break;
    const processor = target.processors.find(({ number }) => number === finding.processor);
    const thread = finding.thread === null ? null : BigInt(finding.thread);
    const start =
      processor !== undefined ? processor.interrupted : thread === null ? null : threadRegisters(target, thread);
    if (start === null) continue;
    const of = processor !== undefined ? `processor ${processor.number}` : `thread ${address(target, thread ?? 0n)}`;
    if (out.has(of)) continue;
    out.set(of, {
      of,
      processor: processor?.number ?? null,
      thread: processor?.currentThread ?? thread,
      command: processor !== undefined ? `~${processor.number}s; k` : `!thread ${argument(target, thread ?? 0n)}`,
      trace: target.walkStack(start, { limit: MAX_FRAMES }),
      range: target.stackAt(start.sp),
    });
  }
  return [...out.values()];
}
