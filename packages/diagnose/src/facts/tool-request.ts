/**
 * A dump that a tool asked for under a code of its own: its driver calls KeBugCheck when user mode asks it to (crash.exe:
 * 69696969, Manual Dump page, part 41a). Told by shape: no code of Windows, parameters all zero, the call straight from a
 * driver in a system call, nothing interrupted and nothing faulted.
 */
import { type Frame, isUserMode, type Module, type Processor, type Target } from '@dumpscope/debugger';
import { isKernelOrHal } from '../bugchecks/frames.ts';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { isManualCode } from './dump-taker.ts';

export interface ToolRequest {
  readonly processor: Processor;
  /** The driver's frame that called. */
  readonly frame: Frame;
  readonly driver: Module;
  /** The stack leads down to user mode; false where the walk broke off before. */
  readonly fromUserMode: boolean;
}

export const toolRequest: FactKey<ToolRequest | null> = defineFact('tool request', ({ target }: Diagnosis) => {
  const { bugcheck } = target;
  if (bugcheck === null || isManualCode(bugcheck.baseCode) || bugcheck.parameters.some((value) => value !== 0n))
    return null;
  // Windows names its codes; the largest that it raises from a check of its own is DEADDEAD, for a dump on request.
  if (bugcheck.name !== null && bugcheck.baseCode !== 0xdeaddead && bugcheck.baseCode < 0x10000) return null;
  const processor = target.processors.find((p) => p.contextTrust === 'bugchecking');
  if (processor?.registers == null || processor.interrupted?.pc !== processor.registers.pc) return null;
  const { frames } = target.walkStack(processor.registers);
  const index = frames.findIndex((frame) => !isKernelFrame(target, frame));
  const frame = frames[index];
  const driver = frame === undefined ? undefined : target.moduleAt(frame.pc);
  if (frame === undefined || driver === undefined || index === 0 || isUserMode(frame.registers)) return null;
  // A trap frame on the way would be an interrupt or exception; the one at the end is that of the system call.
  const trap = frames.findIndex((candidate) => candidate.trapFrame !== null);
  if (trap >= 0 && trap < index) return null;
  const behind = trap < 0 ? undefined : frames[trap + 1];
  const below = trap < 0 ? null : (target.trapFrame(frames[trap]?.trapFrame ?? 0n) ?? null);
  const fromUserMode = (behind !== undefined && isUserMode(behind.registers)) || (below !== null && isUserMode(below));
  return trap >= 0 && !fromUserMode ? null : { processor, frame, driver, fromUserMode };
});

function isKernelFrame(target: Target, frame: Frame): boolean {
  const module = target.moduleAt(frame.pc);
  return module !== undefined && isKernelOrHal(target, module);
}
