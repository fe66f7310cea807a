/** Who sent the processor to a place that is no code: the return address on top of the stack and the call before it. */
import { va } from '@dumpscope/core';
import type { Instruction } from '@dumpscope/cpu';
import type { Target } from '@dumpscope/debugger';
import type { Diagnosis } from '../engine/diagnosis.ts';
import type { Evidence } from '../engine/evidence.ts';
import { address, argument, json } from '../engine/words.ts';
import { instructionText } from './fault-text.ts';
import type { FaultView } from './fault-view.ts';
import { type Blame, isKernelOrHal } from './frames.ts';

export interface CallerStory {
  /** Where the call returns to, `X+0x12`; null where nobody can be told. */
  readonly by: string | null;
  readonly blame: readonly Blame[];
  tell(evidence: Evidence): readonly string[];
}

/** The call instruction that ends at `end`, tried at every length of a near call; null where bytes are missing or none fits. */
export function callEndingAt(target: Target, end: bigint): Instruction | null {
  if (target.arch === 'arm64') return null;
  for (let length = 2; length <= 8; length++) {
    const start = end - BigInt(length);
    const bytes = target.memory.bytes(start, length);
    if (bytes === undefined) continue;
    const instruction = target.disassembler.decode(bytes, 0, va(start));
    if (instruction?.length === length && (instruction.flow === 'call' || instruction.flow === 'indirect-call'))
      return instruction;
  }
  return null;
}

export function callerStory(diagnosis: Diagnosis, view: FaultView): CallerStory {
  const { target } = diagnosis;
  const { registers } = view.fault;
  const nobody: CallerStory = { by: null, blame: [], tell: () => [] };
  if (registers === null || view.verdict === 'mid-instruction') return nobody;
  const slot = registers.sp;
  const back = target.memory.pointer(slot);
  const module = back === undefined ? undefined : target.moduleAt(back);
  // The pc still stands at the branch where a non-canonical target refused it.
  const atBranch = view.pc?.place?.kind === 'module' && !(view.execute && view.pc.address === view.subject?.address);
  if (atBranch || back === undefined || module === undefined) {
    return {
      ...nobody,
      tell: (evidence) => {
        if (atBranch) return [];
        evidence.memory(
          `the top of the stack is ${back === undefined ? 'not readable' : 'no return address into a module'}: it was no call, or the stack pointer is lost`,
          back === undefined ? 'undetermined' : 'true',
          slot,
          target.pointerSize,
          `dps ${argument(target, slot)} l1`,
        );
        return ['Nothing on top of the stack says who went there.'];
      },
    };
  }
  const call = callEndingAt(target, back);
  const name = target.nameOf(back).text;
  const kernel = isKernelOrHal(target, module);
  const direct = call !== null && call.flow === 'call';
  return {
    by: direct ? null : name,
    blame: direct
      ? []
      : [
          {
            module: module.name,
            function: name,
            role: kernel ? 'carrier' : 'caller',
            reason:
              call === null
                ? 'its return address is on top of the stack; the code before it is not in the dump'
                : `its ${call.flow === 'indirect-call' ? 'indirect ' : ''}call is the last one before the fault`,
            address: json(back),
          },
        ],
    tell: (evidence) => {
      evidence.memory(
        `the top of the stack is the return address ${name}`,
        'true',
        slot,
        target.pointerSize,
        `dps ${argument(target, slot)} l1`,
      );
      if (call === null) return [`The top of the stack returns to ${name}; the code before it is not in the dump.`];
      evidence.memory(
        `the instruction before it is ${instructionText(target, call)}`,
        'true',
        call.address,
        call.length,
        `u ${argument(target, call.address)} l1`,
      );
      if (direct)
        return [
          `The top of the stack returns to ${name}, behind a direct call to ${target.nameOf(call.target ?? 0n).text}: that function had already begun.`,
        ];
      return [
        `It was called by \`${instructionText(target, call)}\` at ${address(target, call.address)}, before ${name}.`,
      ];
    },
  };
}
