/** One key for one defect, from what is the same on every machine that has the same binaries: modules and RVAs of frames. */
import { hex } from '@dumpscope/core';
import type { Frame, Target } from '@dumpscope/debugger';
import type { Signature } from './report.ts';

/** Frames of one module that follow one another; more would tell apart callers of the same defect. */
const MAX_FRAMES = 4;

/** Program counters from frame `index` outwards, as long as they stay in its module and no interrupt lies between. */
export function runFrom(target: Target, frames: readonly Frame[], index: number): readonly bigint[] {
  const first = frames[index];
  const module = first === undefined ? undefined : target.moduleAt(first.pc);
  if (first === undefined || module === undefined) return [];
  const run: bigint[] = [];
  for (const frame of frames.slice(index, index + MAX_FRAMES)) {
    // A scanned frame may be what an older call left behind: another machine would not have it.
    if (target.moduleAt(frame.pc) !== module || (run.length > 0 && frame.trust === 'scan')) break;
    run.push(frame.pc);
    if (frame.trapFrame !== null) break;
  }
  return run;
}

/**
 * `dispatch-level-spin|netkvm.sys-5a1f0c22-1f000|8443/92a5/9477/9b7c`: image name, timestamp and size of image say which
 * binary, wherever it was loaded and whatever symbols there are. Runs of several modules or processors are sorted, so
 * that the order of processors does not matter. Null where no run lies in a known module.
 */
export function signatureOf(target: Target, pattern: string, runs: readonly (readonly bigint[])[]): Signature | null {
  const parts = new Map<string, Signature['parts'][number]>();
  for (const run of runs) {
    const module = run[0] === undefined ? undefined : target.moduleAt(run[0]);
    if (module === undefined) continue;
    const rvas = run.map((pc) => hex(pc - module.base));
    const stamp = module.timeDateStamp === null ? '?' : (module.timeDateStamp >>> 0).toString(16).padStart(8, '0');
    const key = `${module.imageName.toLowerCase()}-${stamp}-${module.size.toString(16)}|${rvas.map((rva) => rva.slice(2)).join('/')}`;
    parts.set(key, { image: module.imageName, timeDateStamp: module.timeDateStamp, size: module.size, rvas });
  }
  const keys = [...parts.keys()].sort();
  if (keys.length === 0) return null;
  return {
    key: [pattern, ...keys].join('|'),
    parts: keys.flatMap((key) => parts.get(key) ?? []),
  };
}
