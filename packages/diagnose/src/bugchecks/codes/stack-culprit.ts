/** Blame and evidence from a stack walk for bug checks that name no code themselves. */
import type { Frame, Registers } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { reachedStart } from '../../facts/walk-end.ts';
import { type Blame, blameFrame, foundBy } from '../frames.ts';
import { kernelOnly, outsideFrame, type Skipped } from '../outside-frame.ts';

export interface Culprit {
  readonly frame: Frame | null;
  readonly blame: readonly Blame[];
  /** The walk came to the start of the stack, so that no frame means no driver. */
  readonly walked: boolean;
  /** The walk; empty without registers to start from. */
  readonly frames: readonly Frame[];
}

/** First frame outside nt and hal (and what else is skipped), with its evidence. */
export function culpritOn(
  diagnosis: Diagnosis,
  registers: Registers | null,
  evidence: Evidence,
  role: string,
  skipped: Skipped = kernelOnly,
): Culprit {
  const { target } = diagnosis;
  if (registers === null) return { frame: null, blame: [], walked: false, frames: [] };
  const trace = target.walkStack(registers);
  const { frames } = trace;
  const walked = reachedStart(trace);
  const frame = outsideFrame(target, trace, evidence, skipped);
  if (frame === null) return { frame, blame: [], walked, frames };
  const reason = `first frame outside ${skipped.what}; ${foundBy(frames, frame)}`;
  return { frame, blame: [blameFrame(target, frame, role, reason)], walked, frames };
}

/** Context of the processor that bugchecked: the interrupted one where something was interrupted for it. */
export function bugcheckRegisters(diagnosis: Diagnosis): Registers | null {
  const processor = diagnosis.target.processors.find((p) => p.contextTrust === 'bugchecking');
  return processor?.interrupted ?? processor?.registers ?? null;
}
