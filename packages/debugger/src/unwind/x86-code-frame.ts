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

interface Walked {
  /** Bytes that the function at an address pops. */
  readonly pops: Map<bigint, number | null>;
  /** What the walk from a start to a place found, by `start:place`. */
  readonly states: Map<string, X86FrameState | null>;
}

const MAX_STATES = 20000;
const walked = new WeakMap<UnwindPorts, Walked>();

function walkedOf(ports: UnwindPorts): Walked {
  let known = walked.get(ports);
  if (known === undefined) walked.set(ports, (known = { pops: new Map(), states: new Map() }));
  return known;
}

/** Answers are kept: a step asks for the same start several times, and threads stand at the same waits. */
export function frameAt(ports: UnwindPorts, start: bigint, place: bigint | null): X86FrameState | null {
  const { disassembler } = ports;
  if (disassembler === undefined || place === null) return null;
  const { pops, states } = walkedOf(ports);
  const key = `${start}:${place}`;
  const known = states.get(key);
  if (known !== undefined) return known;
  const state = x86FrameAt(disassembler, ports.code, start, place, (call) => {
    const target = calledFunction(ports, 'x86', call.address + BigInt(call.length));
    if (target === null) return null;
    let popped = pops.get(target);
    if (popped === undefined) {
      popped = poppedBy(disassembler, ports.code, target);
      pops.set(target, popped);
    }
    return popped;
  });
  if (states.size > MAX_STATES) states.clear();
  states.set(key, state);
  return state;
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
  const agrees = (state: X86FrameState): boolean =>
    state.kind === 'depth' ? ((esp + BigInt(state.depth)) & MASK) === slot : ebp !== null && ebp + 4n === slot;
  const firstThatAgrees = (starts: readonly (bigint | null)[]): { start: bigint; state: X86FrameState } | null => {
    for (const start of starts) {
      const state = start === null ? null : frameAt(ports, start, place);
      if (start !== null && state !== null && agrees(state)) return { start, state };
    }
    return null;
  };
  const named = [ports.functionStart(pc), calledNear(ports, Number(step.registers.get('eip') ?? 0n), pc)];
  let found = firstThatAgrees(named);
  if (found === null && named.every((candidate) => candidate === null) && place !== null)
    found = firstThatAgrees(startsBefore(ports.code, pc));
  const values = new Map(step.registers);
  for (const name of PRESERVED_X86) {
    if (told.includes(name)) continue;
    const at = found?.state.saved.get(name);
    const saved = at === undefined ? undefined : ports.memory.u32((slot - BigInt(at)) & MASK);
    if (saved !== undefined) values.set(name, BigInt(saved));
    else if (found === null || at !== undefined || found.state.lost.has(name)) values.delete(name);
  }
  return { ...step, registers: values, codeStart: found?.start ?? null };
}
