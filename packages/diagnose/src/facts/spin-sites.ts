/** Processors that cannot leave a loop with what the dump holds, and the loop of each. */

import { type Va, va, vaAdd } from '@dumpscope/core';
import { type CpuState, findLoopAround, type Loop, type LoopAround, run } from '@dumpscope/cpu';
import type { Frame, Processor, Registers, Target } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import type { Waiter } from '../locks/holder-place.ts';
import { capturedMemory, controlRegionOf, cpuState, programOf } from './cpu-state.ts';
import { isManualCode } from './dump-taker.ts';
import { functionChunks } from './function-chunks.ts';
import { callInstruction } from './function-graph.ts';
import type { LoopView } from './loop-view.ts';
import { knownStacks, stackHolding } from './stacks.ts';
import { viewLoop } from './view-loop.ts';

export interface SpinSite {
  readonly waiter: Waiter;
  readonly loop: LoopView;
}

export interface Unexamined {
  readonly processor: Processor;
  readonly why: string;
}

/** A leaf helper called from a loop is followed up this many frames. */
const MAX_FRAMES_UP = 4;
/** Instructions that the helpers between may still run before they return. */
const MAX_RETURN_STEPS = 100_000;

interface Examination {
  readonly sites: readonly SpinSite[];
  readonly unexamined: readonly Unexamined[];
}

const examination: FactKey<Examination> = defineFact('loops of processors', (diagnosis: Diagnosis) => {
  const sites: SpinSite[] = [];
  const unexamined: Unexamined[] = [];
  for (const processor of diagnosis.target.processors) {
    if (processor.idle === true) continue;
    const registers = processor.interrupted;
    if (registers === null) {
      unexamined.push({ processor, why: processor.contextReason });
      continue;
    }
    const hidden = hiddenBehindBugcheck(diagnosis, processor);
    if (hidden !== null) {
      unexamined.push({ processor, why: hidden });
      continue;
    }
    if (faultedAt(diagnosis, processor, registers.pc)) continue;
    const found = examine(diagnosis, processor, registers);
    if ('why' in found) unexamined.push({ processor, why: found.why });
    else sites.push(...found.sites);
  }
  return { sites, unexamined };
});

export const spinSites: FactKey<readonly SpinSite[]> = defineFact(
  'spin sites',
  (diagnosis) => diagnosis.fact(examination).sites,
);

export const unexaminedProcessors: FactKey<readonly Unexamined[]> = defineFact(
  'unexamined processors',
  (diagnosis) => diagnosis.fact(examination).unexamined,
);

/** The bugcheck is about the very instruction that this processor stood at: it faulted there, whatever loop is around it. */
function faultedAt({ target }: Diagnosis, processor: Processor, pc: bigint): boolean {
  if (processor.contextTrust !== 'bugchecking' || target.bugcheck === null) return false;
  return isManualCode(target.bugcheck.baseCode) ? false : target.bugcheck.parameters.includes(pc);
}

/**
 * A dump on request interrupts code that has nothing to do with it. When that code's context was not found, what is left
 * is the dump path itself, and judging that would clear whoever was interrupted.
 */
function hiddenBehindBugcheck(diagnosis: Diagnosis, processor: Processor): string | null {
  const { target } = diagnosis;
  const code = target.bugcheck?.baseCode;
  if (processor.contextTrust !== 'bugchecking' || code === undefined || !isManualCode(code)) return null;
  if (
    processor.registers === null ||
    processor.interrupted === null ||
    processor.interrupted.pc !== processor.registers.pc
  )
    return null;
  return `the code that was interrupted for the dump was not found behind the bugcheck (${target.walkStack(processor.registers).endText})`;
}

function examine(
  diagnosis: Diagnosis,
  processor: Processor,
  registers: Registers,
): { sites: SpinSite[] } | { why: string } {
  const { target } = diagnosis;
  const trace = target.walkStack(registers);
  const stack = stackHolding(diagnosis.fact(knownStacks), registers.sp) ?? null;
  const waiter: Waiter = { processor, registers, frames: trace.frames, stack };
  if (target.memory.gap(registers.pc, 1) !== null)
    return { why: `the code at ${target.nameOf(registers.pc).text} is not in the dump` };
  // A loop that waits for the time to pass ends by itself: what matters is whether a loop around its call does.
  let stall: LoopView | null = null;
  for (const frame of trace.frames.slice(0, MAX_FRAMES_UP + 1)) {
    // Behind a trap frame other code was interrupted: its loops are no callers of this one.
    if (frame.index > 0 && trace.frames[frame.index - 1]?.trapFrame != null) break;
    const around = loopAround(target, frame);
    if (around === null) continue;
    const state =
      frame.index === 0
        ? registers
        : (returnedTo(target, processor, registers, frame) ?? { ...frame.registers, pc: around.pc });
    const view = (loop: Loop): LoopView | null => viewLoop(target, around, loop, frame, state, processor.prcb);
    for (let loop = around.loop; loop !== null; loop = loop.parent) {
      const found = view(loop);
      if (found === null) continue;
      if (found.shape === 'time-wait') stall ??= found;
      else if (holds(found)) {
        const closed = found.execution.end === 'exit' ? closedAround(loop, view) : null;
        return { sites: [{ waiter, loop: closed ?? found }] };
      } else if (found.execution.end === 'exit') stall = null;
    }
  }
  return { sites: stall === null ? [] : [{ waiter, loop: stall }] };
}

/**
 * Registers when the helpers below a frame have come back to it, by running them from the captured state: the volatile
 * ones too, which unwinding cannot give. Null where the way back depends on what is not known, or writes to memory.
 */
function returnedTo(target: Target, processor: Processor, registers: Registers, frame: Frame): Registers | null {
  const base = cpuState(registers, controlRegionOf(target, processor.prcb));
  if (base === null) return null;
  let state: CpuState = base;
  // A run ends with the return of the function that it began in: one for each frame on the way.
  for (let level = 0; level < frame.index; level++) {
    const result = run(programOf(target), state, capturedMemory(target), { maxSteps: MAX_RETURN_STEPS });
    if (result.end !== 'exit' || result.wrote) return null;
    state = { ...base, pc: result.to, registers: result.registers, flags: null };
  }
  const sp = state.registers.get(target.arch === 'x64' ? 'rsp' : 'esp');
  // The same function may be further out, too: only this frame's stack pointer makes it this frame.
  if (state.pc !== frame.pc || sp === undefined || sp !== frame.sp) return null;
  return { ...registers, values: state.registers, pc: frame.pc, sp: va(sp), flags: null, source: 'executed' };
}

/** What leaves an inner loop may come straight back: the smallest loop around it that is never left. */
function closedAround(inner: Loop, view: (loop: Loop) => LoopView | null): LoopView | null {
  for (let outer = inner.parent; outer !== null; outer = outer.parent) {
    const found = view(outer);
    if (found !== null && found.execution.end === 'cycle' && !found.execution.assumesCalls) return found;
  }
  return null;
}

/** Worth a judgement: a wait for a lock, or nothing shows that the loop ends by itself. */
function holds(loop: LoopView): boolean {
  return (
    loop.execution.end !== 'exit' || loop.shape === 'queued-wait' || loop.lockCell !== null || waitsForQueueBit(loop)
  );
}

/** A wait for bit 0 of a pointer-sized cell: a queue entry whose bit has been cleared by now still counts as one. */
function waitsForQueueBit(loop: LoopView): boolean {
  return loop.stores === 0 && loop.exits.some((exit) => exit.invariant && exit.cells.some((cell) => cell.mask === 1n));
}

function loopAround(target: Target, frame: Frame): (LoopAround & { readonly pc: Va }) | null {
  const pc = frame.index === 0 ? frame.pc : callBefore(target, frame.pc);
  if (pc === null) return null;
  const module = target.moduleAt(pc);
  const bounds = module?.functionAt(Number(pc - module.base));
  const hints =
    module === undefined || bounds == null
      ? {}
      : bounds.end === null
        ? { start: vaAdd(module.base, bounds.start) }
        : { ranges: functionChunks(target, module, bounds.start, bounds.end, pc) };
  return { ...findLoopAround(target.code, target.disassembler, pc, hints), pc };
}

/** The call instruction that ends at a return address, from the function's own decoding. */
function callBefore(target: Target, returnAddress: bigint): Va | null {
  const module = target.moduleAt(returnAddress);
  const bounds = module?.functionAt(Number(returnAddress - module.base));
  if (module === undefined || bounds == null) return null;
  const start = vaAdd(module.base, bounds.start);
  const around = findLoopAround(
    target.code,
    target.disassembler,
    start,
    bounds.end === null
      ? { start }
      : { ranges: functionChunks(target, module, bounds.start, bounds.end, returnAddress) },
  );
  return callInstruction(around.graph, returnAddress)?.address ?? null;
}

/** The processor waits for a lock, or repeats one state for ever; a loop whose end is unknown may be work. */
export function isStuck({ loop }: SpinSite): boolean {
  return (
    (loop.execution.end === 'cycle' && !loop.execution.assumesCalls) ||
    loop.lockCell !== null ||
    loop.shape === 'queued-wait' ||
    waitsForQueueBit(loop)
  );
}
