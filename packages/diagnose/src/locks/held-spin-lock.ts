/**
 * Does a stack hold a spin lock, whichever? Asked where no byte records the IRQL: who has taken one and not released it is
 * at DISPATCH_LEVEL or above. Only acquires that raise the level themselves count: pushlocks and mutexes are also words that
 * a call makes held, and those of the AtDpcLevel kind cannot be told from them by their code.
 */
import { type Va, va } from '@dumpscope/core';
import { buildGraph, type FlowGraph, type Instruction } from '@dumpscope/cpu';
import type { Frame, Target } from '@dumpscope/debugger';
import { calledAddress, functionGraph, placeInGraph } from '../facts/function-graph.ts';
import { acquiresForItsCaller, calledWith, lockEffects, sameRegister } from './call-effect.ts';
import { holdAt } from './must-hold.ts';

/** Deeper stacks are not searched: what is missed leaves the level unknown. */
const MAX_FRAMES = 64;
/** Task priority register of the local APIC, where the x86 HALs of the time before Vista map it. */
const TPR = 0xfffe_0080n;
/** Its value at DISPATCH_LEVEL. */
const TPR_DISPATCH = 0x41n;
/** KPCR.Irql of x86. */
const PCR_IRQL = 0x24n;
const DISPATCH_LEVEL = 2n;

/** True where some frame stands between an acquire that raises the level and its release, on every path of its code. */
export function holdsSpinLock(target: Target, frames: readonly Frame[]): boolean {
  for (const [index, frame] of frames.slice(0, MAX_FRAMES).entries()) {
    let graph = functionGraph(target, frame.pc, calledAddress(target, frames, index));
    let place = graph === null ? null : placeInGraph(graph, frame);
    if (graph !== null && place === null) {
      graph = pastBreakpoints(target, graph, frame.pc);
      place = placeInGraph(graph, frame);
    }
    if (graph === null || place === null) continue;
    for (const { lock, handle } of locksTaken(target, graph, frame, place))
      if (holdAt(graph, place.address, lockEffects(target, graph, frame, lock, handle))?.held === 'on-all-paths')
        return true;
  }
  return false;
}

/** Bytes of a function that were not reached are looked for in this reach of its start. */
const REACH = 0x4000n;
const INT3 = 0xcc;
const NOP = 0x90;

/**
 * The frame shows that its place is reached, though no way leads there: a debugger's breakpoints, or code filled with them,
 * lie between, behind which execution goes on.
 */
function pastBreakpoints(target: Target, graph: FlowGraph, pc: bigint): FlowGraph {
  const start = graph.roots[0] ?? va(pc);
  const read = (address: Va, length: number): Uint8Array | null =>
    target.code(address, length)?.map((byte) => (byte === INT3 ? NOP : byte)) ?? null;
  const ranges = [{ start, end: va(pc > start && pc - start < REACH ? pc + 0x20n : start + 1n) }];
  return buildGraph(read, target.disassembler, { roots: [start], fromEntry: true, ranges });
}

interface Taken {
  readonly lock: bigint;
  readonly handle: bigint | null;
}

function locksTaken(target: Target, graph: FlowGraph, frame: Frame, place: Instruction): Taken[] {
  const scope = { target, graph, frame: frame.registers };
  const taken: Taken[] = [];
  for (const block of graph.blocks)
    for (const instruction of block.instructions) {
      if (instruction === place || (instruction.flow !== 'call' && instruction.flow !== 'indirect-call')) continue;
      const { callee, values } = calledWith(scope, instruction);
      if (typeof callee !== 'bigint' || !raisesLevel(target, va(callee))) continue;
      const [first, second, third] = values;
      // x86 __fastcall passes two in registers, __stdcall begins with the third here.
      const lock = first ?? third ?? null;
      if (lock === null) continue;
      if (acquiresForItsCaller(target, callee, false)) taken.push({ lock, handle: null });
      else if (second != null && acquiresForItsCaller(target, callee, true)) taken.push({ lock, handle: second });
    }
  return taken;
}

const raising = new WeakMap<Target, Map<Va, boolean>>();

/** The function itself writes the level: CR8, KPCR.Irql or the TPR. */
function raisesLevel(target: Target, callee: Va): boolean {
  let cache = raising.get(target);
  if (cache === undefined) {
    cache = new Map();
    raising.set(target, cache);
  }
  let raises = cache.get(callee);
  if (raises === undefined) {
    const code = functionGraph(target, callee, callee)?.blocks.flatMap((block) => block.instructions) ?? [];
    raises = code.some((_, index) => writesLevel(code, index));
    cache.set(callee, raises);
  }
  return raises;
}

/**
 * The instruction at `index` writes DISPATCH_LEVEL, as a number or in a register that the code just before sets to it. Other
 * levels are none of a spin lock: a fast mutex raises to APC_LEVEL. A TPR holds the priority class, which differs by HAL.
 */
function writesLevel(code: readonly Instruction[], index: number): boolean {
  const [to, from] = code[index]?.operands ?? [];
  if (code[index]?.mnemonic !== 'mov' || to === undefined || from === undefined) return false;
  if (to.kind === 'memory') {
    if (to.base !== null || to.index !== null) return false;
    if (to.segment !== 'fs')
      return BigInt.asUintN(32, to.displacement) === TPR && from.kind === 'immediate' && from.value === TPR_DISPATCH;
    if (to.displacement !== PCR_IRQL) return false;
  } else if (to.kind !== 'register' || to.register !== 'cr8') return false;
  if (from.kind === 'immediate') return from.value === DISPATCH_LEVEL;
  if (from.kind !== 'register') return false;
  const setter = code
    .slice(0, index)
    .findLast(({ writes }) => writes.some((name) => sameRegister(name, from.register)));
  const value = setter?.mnemonic === 'mov' ? setter.operands[1] : undefined;
  return value?.kind === 'immediate' && value.value === DISPATCH_LEVEL;
}
