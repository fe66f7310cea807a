/** The first frame of a stack outside the kernel, as evidence: of a fault's stack and of bug checks that name no code. */
import type { Frame, Module, StackTrace, Target } from '@dumpscope/debugger';
import type { Evidence } from '../engine/evidence.ts';
import { argument } from '../engine/words.ts';
import { reachedStart } from '../facts/walk-end.ts';
import { firstOutside, trustText, trustTo } from './frames.ts';

export interface Skipped {
  /** Modules that carry others' calls as the kernel does. */
  readonly skip: (module: Module) => boolean;
  /** `nt, hal and the graphics port`. */
  readonly what: string;
}

export const kernelOnly: Skipped = { skip: () => false, what: 'nt and hal' };

/** First frame outside nt and hal (and what else is skipped); null where the walk met none. */
export function outsideFrame(
  target: Target,
  trace: StackTrace,
  evidence: Evidence,
  { skip, what }: Skipped = kernelOnly,
): Frame | null {
  const { frames } = trace;
  const frame = firstOutside(target, frames, skip);
  if (frame === null) {
    const claim = `no frame of the stack lies outside ${what}`;
    if (reachedStart(trace)) evidence.fact(claim, 'true', 'k', 'stack walk');
    else evidence.fact(`${claim}, as far as it was walked: ${trace.endText}`, 'undetermined', 'k', 'stack walk');
    return null;
  }
  const index = frames.indexOf(frame);
  const trust = trustTo(frames, index);
  const slot = index === 0 ? null : frames[index - 1]?.returnSlot;
  const claim = `the first frame outside ${what} is ${target.nameOf(frame.pc).text}, frame ${index}, by ${trustText(trust)}`;
  const outcome = trust === 'scan' ? 'undetermined' : 'true';
  if (slot == null) evidence.fact(claim, outcome, 'k', `stack walk, ${trust}`);
  else evidence.memory(claim, outcome, slot, target.pointerSize, `dps ${argument(target, slot)} l1`);
  return frame;
}
