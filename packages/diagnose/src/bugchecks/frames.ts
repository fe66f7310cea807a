/** Who is on the stack outside the kernel, and how far the walk can be believed. */
import type { Frame, FrameTrust, Module, Target } from '@dumpscope/debugger';
import { json } from '../engine/words.ts';
import type { Finding } from '../report/report.ts';

export type Blame = Finding['blame'][number];

/** The kernel and the HAL act for others. */
export function isKernelOrHal(target: Target, module: Module | undefined): boolean {
  return module !== undefined && (module === target.kernel || /^(hal|ntoskrnl|ntkr)/i.test(module.imageName));
}

/** The HAL in a triage dump without exports is a few pages; its name is the same everywhere. */
export function firstOutside(
  target: Target,
  frames: readonly Frame[],
  skip: (module: Module) => boolean = () => false,
): Frame | null {
  for (const frame of frames) {
    const module = target.moduleAt(frame.pc);
    if (module === undefined) continue;
    if (!isKernelOrHal(target, module) && !skip(module)) return frame;
  }
  return null;
}

const words: Readonly<Record<FrameTrust, string>> = {
  context: 'captured context',
  'trap-frame': 'trap frame',
  'unwind-data': 'unwind data',
  'frame-data': 'frame data',
  leaf: 'leaf rule',
  'frame-pointer': 'frame pointers',
  scan: 'a scan of the stack without unwind data',
};

const order: readonly FrameTrust[] = [
  'context',
  'trap-frame',
  'unwind-data',
  'frame-data',
  'leaf',
  'frame-pointer',
  'scan',
];

/** The weakest step between the first frame and `index`: what a statement about that frame rests on. */
export function trustTo(frames: readonly Frame[], index: number): FrameTrust {
  let worst = 0;
  for (const frame of frames.slice(0, index + 1)) worst = Math.max(worst, order.indexOf(frame.trust));
  return order[worst] ?? 'scan';
}

export function trustText(trust: FrameTrust): string {
  return words[trust];
}

/** Clause for a blame entry; a scanned frame may be what an older call left behind. */
export function foundBy(frames: readonly Frame[], frame: Frame): string {
  const trust = trustTo(frames, frames.indexOf(frame));
  return trust === 'scan'
    ? 'found by a scan of the stack without unwind data: it may be what an older call left there'
    : `the walk to it rests on ${trustText(trust)}`;
}

export function blameFrame(target: Target, frame: Frame, role: string, reason: string): Blame {
  const module = target.moduleAt(frame.pc);
  return {
    module: module?.name ?? '?',
    function: target.nameOf(frame.pc).text,
    role,
    reason,
    address: json(frame.pc),
  };
}
