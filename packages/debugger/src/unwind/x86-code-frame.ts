/** What the code of a function says about its x86 frame: where it stands, where the return address is, what it has saved. */
import { va } from '@dumpscope/core';
import { callBefore } from './call-check.ts';
import type { RegisterMap, Step, UnwindPorts } from './ports.ts';
import { calledFunction } from './return-check.ts';
import { startsBefore } from './x86-function-start.ts';
import { PRESERVED_X86, poppedBy, type X86FrameState, x86FrameAt } from './x86-prologue.ts';

/** What a walk knows about the frame that it steps out of. */
export interface X86Context {
  /** pc is the interrupted instruction itself. */
  readonly interrupted: boolean;
  /** Bytes of arguments that the callee popped from this frame's pushes (`.cbCalleeParams`). */
  readonly calleeParams: number;
  /** ChildEBP of the frame below (called by this one). */
  readonly previousChildEbp: bigint | null;
}

const MASK = 0xffffffffn;

/** Start of the function that the call before `word` calls, where that can be the function of `pc`. */
export function calledNear(ports: UnwindPorts, word: number | undefined, pc: bigint): bigint | null {
  if (word === undefined || word < 0x10000 || ports.place(BigInt(word)) !== 'code') return null;
  const called = calledFunction(ports, 'x86', BigInt(word));
  return called !== null && called <= pc && pc - called < 0x1000n ? called : null;
}

/** The instruction that a frame stands at: the interrupted one, or the call that it is in; null where that is not seen. */
export function standsAt(ports: UnwindPorts, pc: bigint, context: X86Context): bigint | null {
  if (context.interrupted) return pc;
  for (const length of [7, 6, 5, 3, 2]) {
    const bytes = ports.code(va(pc - BigInt(length)), length);
    const call = bytes === null ? null : callBefore(bytes, 'x86');
    if (call !== null) return pc - BigInt(call.length);
  }
  return null;
}

const popped = new WeakMap<UnwindPorts, Map<bigint, number | null>>();

export function frameAt(ports: UnwindPorts, start: bigint, place: bigint | null): X86FrameState | null {
  const { disassembler } = ports;
  if (disassembler === undefined || place === null) return null;
  const known = popped.get(ports) ?? new Map<bigint, number | null>();
  popped.set(ports, known);
  return x86FrameAt(disassembler, ports.code, start, place, (call) => {
    const target = calledFunction(ports, 'x86', call.address + BigInt(call.length));
    if (target === null) return null;
    let pops = known.get(target);
    if (pops === undefined) {
      pops = poppedBy(disassembler, ports.code, target);
      known.set(target, pops);
    }
    return pops;
  });
}

/**
 * ebx, esi and edi of the caller: where the callee saved them, unchanged where it has not written them, unknown where its
 * code does not tell. The value that the callee has in them is never taken for the caller's.
 */
export function preserveRegisters(
  ports: UnwindPorts,
  registers: RegisterMap,
  step: Step,
  context: X86Context,
  told: readonly string[] = [],
): Step {
  if (step.kind !== 'caller' || step.returnSlot === null) return step;
  const slot = step.returnSlot;
  const pc = registers.get('eip') ?? 0n;
  const esp = registers.get('esp') ?? 0n;
  const ebp = registers.get('ebp') ?? null;
  const place = standsAt(ports, pc, context);
  const agrees = (found: X86FrameState): boolean =>
    found.kind === 'depth' ? ((esp + BigInt(found.depth)) & MASK) === slot : ebp !== null && ebp + 4n === slot;
  const stateFrom = (start: bigint | null): X86FrameState | null => {
    const found = start === null ? null : frameAt(ports, start, place);
    return found !== null && agrees(found) ? found : null;
  };
  const named = [ports.functionStart(pc), calledNear(ports, Number(step.registers.get('eip') ?? 0n), pc)];
  let start = named.find((candidate) => stateFrom(candidate) !== null) ?? null;
  if (start === null && named.every((candidate) => candidate === null) && place !== null)
    start = startsBefore(ports.code, pc).find((candidate) => stateFrom(candidate) !== null) ?? null;
  const state = stateFrom(start);
  const values = new Map(step.registers);
  for (const name of PRESERVED_X86) {
    if (told.includes(name)) continue;
    const at = state?.saved.get(name);
    const saved = at === undefined ? undefined : ports.memory.u32((slot - BigInt(at)) & MASK);
    if (saved !== undefined) values.set(name, BigInt(saved));
    else if (state == null || at !== undefined || state.lost.has(name)) values.delete(name);
  }
  return { ...step, registers: values, codeStart: start };
}
