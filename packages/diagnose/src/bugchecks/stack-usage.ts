/** What filled a stack: who uses how much of it, and whether the same calls come back again and again. */
import { va } from '@dumpscope/core';
import type { Frame, Registers, StackRange, Target } from '@dumpscope/debugger';

export interface Usage {
  readonly name: string;
  readonly frames: number;
  readonly bytes: number;
}

export interface Recursion {
  /** Names of one round, innermost first. */
  readonly round: readonly string[];
  readonly frames: readonly Frame[];
  readonly times: number;
}

export interface StackUsage {
  readonly frames: readonly Frame[];
  readonly endText: string;
  /** By bytes, largest first: functions where names are known, else modules. */
  readonly modules: readonly Usage[];
  /** A gap that a scan leaves is no frame: those count only where the step to the caller is more than a guess. */
  readonly largest: { readonly name: string; readonly bytes: number } | null;
  readonly recursion: Recursion | null;
}

const MAX_PERIOD = 16;
const MIN_TIMES = 4;

/**
 * Walks from the registers at the overflow. Where the stack pointer already lies in the guard page, whose bytes are
 * nowhere, the walk starts again at the limit.
 */
export function stackUsage(target: Target, registers: Registers, stack: StackRange): StackUsage {
  const range: StackRange = { ...stack, limit: registers.sp < stack.limit ? va(registers.sp & ~0xfffn) : stack.limit };
  let trace = target.walkStack(registers, { stack: range });
  if (trace.frames.length <= 2 && registers.sp < stack.limit) {
    const name = registers.arch === 'x86' ? 'esp' : registers.arch === 'x64' ? 'rsp' : 'sp';
    const values = new Map(registers.values).set(name, stack.limit);
    const again = target.walkStack({ ...registers, values, sp: stack.limit }, { stack: range });
    if (again.frames.length > trace.frames.length) trace = again;
  }
  const frames = trace.frames.filter((frame) => frame.sp >= range.limit && frame.sp < stack.base);
  const sized = frames.map((frame, i) => {
    const next = frames[i + 1]?.sp ?? stack.base;
    return { frame, bytes: next > frame.sp ? Number(next - frame.sp) : 0 };
  });
  const sums = new Map<string, { frames: number; bytes: number }>();
  for (const { frame, bytes } of sized) {
    const name = target.moduleAt(frame.pc)?.name ?? 'no module';
    const sum = sums.get(name) ?? { frames: 0, bytes: 0 };
    sums.set(name, { frames: sum.frames + 1, bytes: sum.bytes + bytes });
  }
  const top = sized.reduce<(typeof sized)[number] | null>((best, item, i) => {
    const caller = frames[i + 1];
    if (caller === undefined || caller.trust === 'scan') return best;
    return best === null || item.bytes > best.bytes ? item : best;
  }, null);
  return {
    frames,
    endText: trace.endText,
    modules: [...sums].map(([name, sum]) => ({ name, ...sum })).sort((a, b) => b.bytes - a.bytes),
    largest: top === null ? null : { name: target.nameOf(top.frame.pc).text, bytes: top.bytes },
    recursion: recursionOf(target, frames),
  };
}

/** The shortest round of return addresses that repeats over the longest stretch. */
export function recursionOf(target: Target, frames: readonly Frame[]): Recursion | null {
  let best: { start: number; period: number; times: number } | null = null;
  for (let period = 1; period <= MAX_PERIOD; period++) {
    let run = 0;
    for (let i = 0; i + period < frames.length; i++) {
      run = frames[i]?.pc === frames[i + period]?.pc ? run + 1 : 0;
      const times = Math.floor(run / period) + 1;
      const covered = times * period;
      if (run >= period && times >= MIN_TIMES && (best === null || covered > best.times * best.period * 1.25))
        best = { start: i - run + 1, period, times };
    }
  }
  if (best === null) return null;
  const round = frames.slice(best.start, best.start + best.period);
  return { round: round.map((frame) => target.nameOf(frame.pc).text), frames: round, times: best.times };
}
