/** Frames of a thread that does not run, or of the processor that runs it; walked once. */
import { type Frame, threadRegisters } from '@dumpscope/debugger';
import { firstOutside } from '../bugchecks/frames.ts';
import type { Diagnosis } from '../engine/diagnosis.ts';

export interface ThreadFrames {
  readonly frames: readonly Frame[];
  /** First frame outside the kernel and the HAL: who called for what the thread does. */
  readonly outside: Frame | null;
  /** Why there are no frames; null where there are. */
  readonly missing: string | null;
}

const walked = new WeakMap<Diagnosis, Map<bigint, ThreadFrames>>();

export function threadFrames(diagnosis: Diagnosis, thread: bigint): ThreadFrames {
  let known = walked.get(diagnosis);
  if (known === undefined) walked.set(diagnosis, (known = new Map()));
  let found = known.get(thread);
  if (found === undefined) known.set(thread, (found = walk(diagnosis, thread)));
  return found;
}

function walk({ target }: Diagnosis, address: bigint): ThreadFrames {
  const none = (missing: string): ThreadFrames => ({ frames: [], outside: null, missing });
  const processor = target.processors.find(({ currentThread }) => currentThread === address);
  if (processor !== undefined) {
    if (processor.interrupted === null) return none(processor.contextReason);
    const { frames } = target.walkStack(processor.interrupted);
    return { frames, outside: firstOutside(target, frames), missing: null };
  }
  const thread = target.thread(address);
  if (thread?.field('KernelStackResident') === 0n) return none('its kernel stack is not resident');
  const registers = threadRegisters(target, address);
  if (registers === null) return none('its kernel stack is not in the dump');
  const { frames } = target.walkStack(registers);
  return { frames, outside: firstOutside(target, frames), missing: null };
}
