/** Who only took the dump: the frames between the bugcheck and the trap frame of the code that was interrupted for it. */
import type { Frame, Module, Processor } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';

export interface DumpTaker {
  readonly processor: Processor;
  readonly frames: readonly Frame[];
  /** Trap frame behind which the interrupted code is. */
  readonly trapFrame: bigint;
  /** Modules of those frames other than the kernel and the HAL, nearest to the bugcheck first. */
  readonly drivers: readonly Module[];
}

/** Bugchecks that somebody or some tool asks for, with all-zero or tool-set arguments (bug check reference). */
const manualCodes: ReadonlySet<number> = new Set([0xe2, 0x80, 0x161]);

export function isManualCode(code: number): boolean {
  return manualCodes.has(code);
}

export const dumpTaker: FactKey<DumpTaker | null> = defineFact('dump taker', ({ target }: Diagnosis) => {
  const processor = target.processors.find((p) => p.contextTrust === 'bugchecking');
  if (
    processor?.registers == null ||
    processor.interrupted === null ||
    processor.interrupted.pc === processor.registers.pc
  )
    return null;
  const trace = target.walkStack(processor.registers);
  const last = trace.frames.findIndex(
    (frame) => frame.trapFrame !== null && frame.trapFrame === processor.interrupted?.address,
  );
  if (last < 0) return null;
  const frames = trace.frames.slice(0, last + 1);
  const drivers: Module[] = [];
  for (const frame of frames) {
    const module = target.moduleAt(frame.pc);
    if (module === undefined || module === target.kernel || isHal(module) || drivers.includes(module)) continue;
    drivers.push(module);
  }
  const trapFrame = frames.at(-1)?.trapFrame;
  return trapFrame == null ? null : { processor, frames, trapFrame, drivers };
});

/** The HAL carries interrupts and never acts for itself; it is one image name on every build up to 1909, and in nt later. */
function isHal(module: Module): boolean {
  return /^hal/i.test(module.imageName);
}
