/** How the spinning thread came to hold the lock already: recursion or a missed release, whichever a live frame shows. */
import type { Frame, Registers, Target } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { address } from '../../engine/words.ts';
import { calledAddress, functionGraph, placeInGraph } from '../../facts/function-graph.ts';
import type { SpinSite } from '../../facts/spin-sites.ts';
import { lockEffects } from '../../locks/call-effect.ts';
import { holdAt } from '../../locks/must-hold.ts';
import type { Judgement } from './judgement.ts';

/** The frame of the spinning stack whose memory holds `where`; null where no frame's extent is known to. */
export function frameHolding(site: SpinSite, where: bigint): Frame | null {
  return (
    site.waiter.frames.find(
      (frame) => frame.extent !== null && where >= frame.extent.low && where < frame.extent.high,
    ) ?? null
  );
}

/** The frame of another stack whose memory holds `where`, with its walk; nothing where none does. */
export function frameElsewhere(
  target: Target,
  start: Registers | null,
  where: bigint,
): Pick<Judgement, 'holderFrame' | 'holderWalk'> | null {
  const frames = start === null ? [] : target.walkStack(start).frames;
  const frame = frames.find(({ extent }) => extent !== null && where >= extent.low && where < extent.high);
  return frame === undefined ? null : { holderFrame: frame, holderWalk: frames };
}

/** One sentence: recursion where code between an acquire and its release stands in a live frame, else both are named. */
export function mechanism(
  diagnosis: Diagnosis,
  frames: readonly Frame[],
  lock: bigint,
  handle: bigint,
  frame: Frame | null,
): string {
  const { target } = diagnosis;
  const both = (why: string): string => `Mechanism: recursion or a missed release; ${why}.`;
  if (frame === null) return both(`no frame is known whose memory holds ${address(target, handle)}`);
  const name = target.nameOf(frame.pc).text;
  const graph = functionGraph(target, frame.pc, calledAddress(target, frames, frame.index));
  const place = graph === null ? null : placeInGraph(graph, frame);
  if (graph === null || place === null)
    return both(`the code of ${name}, whose frame holds the entry, could not be read`);
  const state = holdAt(graph, place.address, lockEffects(target, graph, frame, lock, handle));
  if (state?.held === 'on-all-paths') {
    return `Mechanism: recursion. ${name} took the lock at ${address(target, state.acquiredAt[0] ?? 0n)} with the entry in its own frame, and on every path to where it stands it has not released it.`;
  }
  if (state?.held === 'on-some-paths') return both(`${name} holds the lock on some paths to where it stands`);
  return both(`${name}, whose frame holds the entry, shows no acquire of it before where it stands`);
}
