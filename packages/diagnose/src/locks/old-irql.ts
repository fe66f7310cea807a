/**
 * Is OldIrql of the waiter's own entry what the acquire saved, or what lay on the stack before? KeAcquireInStackQueuedSpinLock
 * saves the level before it waits; its AtDpcLevel form never writes the field.
 */
import { va } from '@dumpscope/core';
import type { Target } from '@dumpscope/debugger';
import { calledAddress } from '../facts/function-graph.ts';
import { savesOldIrqlBefore } from './call-effect.ts';
import type { Waiter } from './holder-place.ts';

/** Frames above the loop that may be the acquire itself. */
const MAX_FRAMES_UP = 3;

/** Null where no function on the way to the loop could be followed from its entry. */
export function oldIrqlSaved(target: Target, waiter: Waiter, loopFrame: number, header: bigint): boolean | null {
  for (let index = loopFrame; index <= loopFrame + MAX_FRAMES_UP; index++) {
    const frame = waiter.frames[index];
    if (frame === undefined) break;
    const module = target.moduleAt(frame.pc);
    const known = module?.functionAt(Number(frame.pc - module.base)) ?? null;
    const start =
      calledAddress(target, waiter.frames, index) ??
      (module === undefined || known === null || known.from === 'export' ? null : module.base + BigInt(known.start));
    const saved = start === null ? null : savesOldIrqlBefore(target, start, va(header));
    if (saved !== null) return saved;
  }
  return null;
}
