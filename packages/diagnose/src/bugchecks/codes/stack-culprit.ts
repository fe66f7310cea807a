/** Blame and evidence from a stack walk for bug checks that name no code themselves. */
import type { Frame, Module, Registers } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { argument } from '../../engine/words.ts';
import { type Blame, blameFrame, firstOutside, foundBy, trustText, trustTo } from '../frames.ts';

export interface Culprit {
  readonly frame: Frame | null;
  readonly blame: readonly Blame[];
}

export interface Skipped {
  /** Modules that carry others' calls as the kernel does. */
  readonly skip: (module: Module) => boolean;
  /** `nt, hal and the graphics port`. */
  readonly what: string;
}

const kernelOnly: Skipped = { skip: () => false, what: 'nt and hal' };

/** First frame outside nt and hal (and what else is skipped), with its evidence. */
export function culpritOn(
  diagnosis: Diagnosis,
  registers: Registers | null,
  evidence: Evidence,
  role: string,
  skipped: Skipped = kernelOnly,
): Culprit {
  const { target } = diagnosis;
  if (registers === null) return { frame: null, blame: [] };
  const { frames } = target.walkStack(registers);
  const frame = firstOutside(target, frames, skipped.skip);
  if (frame === null) {
    evidence.fact(`no frame of the stack lies outside ${skipped.what}`, 'true', 'k', 'stack walk');
    return { frame: null, blame: [] };
  }
  const index = frames.indexOf(frame);
  const trust = trustTo(frames, index);
  const slot = index === 0 ? null : frames[index - 1]?.returnSlot;
  const claim = `the first frame outside ${skipped.what} is ${target.nameOf(frame.pc).text}, frame ${index}, by ${trustText(trust)}`;
  if (slot == null) evidence.fact(claim, trust === 'scan' ? 'undetermined' : 'true', 'k', 'stack walk');
  else
    evidence.memory(
      claim,
      trust === 'scan' ? 'undetermined' : 'true',
      slot,
      target.pointerSize,
      `dps ${argument(target, slot)} l1`,
    );
  return {
    frame,
    blame: [blameFrame(target, frame, role, `first frame outside ${skipped.what}; ${foundBy(frames, frame)}`)],
  };
}

/** Context of the processor that bugchecked: the interrupted one where something was interrupted for it. */
export function bugcheckRegisters(diagnosis: Diagnosis): Registers | null {
  const processor = diagnosis.target.processors.find((p) => p.contextTrust === 'bugchecking');
  return processor?.interrupted ?? processor?.registers ?? null;
}
