/**
 * Who holds a lock whose word does not say: frames, on any stack that can be walked, that stand between an acquire and
 * its release by the code's own data flow. Falling strength: the spinning stack itself, running processors, threads that
 * do not run. Visibility is counted, because "nobody" means nothing while stacks are unread.
 */
import {
  type Frame,
  type Processor,
  type StackTrace,
  type Target,
  type Thread,
  threadRegisters,
} from '@dumpscope/debugger';
import type { Diagnosis } from '../engine/diagnosis.ts';
import { calledAddress, functionGraph, placeInGraph } from '../facts/function-graph.ts';
import { type SpinSite, spinSites } from '../facts/spin-sites.ts';
import { RUNNING } from '../facts/stacks.ts';
import { reachedStart } from '../facts/walk-end.ts';
import { acquiresForItsCaller, lockEffects } from './call-effect.ts';
import type { Waiter } from './holder-place.ts';
import { type HoldState, holdAt } from './must-hold.ts';
import { isKernelAddress } from './queue-entry.ts';

export interface Holder {
  readonly by: 'self' | 'processor' | 'thread';
  readonly processor: Processor | null;
  readonly thread: Thread | null;
  readonly frame: Frame;
  /** The walk that the frame is part of. */
  readonly frames: readonly Frame[];
  readonly held: 'on-all-paths' | 'on-some-paths';
  readonly acquiredAt: bigint | null;
  /** Interrupt between the holding frame and the waiting code, for `self`. */
  readonly trapFrame: bigint | null;
}

export interface HolderSearch {
  readonly holders: readonly Holder[];
  readonly processorsSeen: number;
  readonly processorsTotal: number;
  readonly stacksSeen: number;
  readonly stacksTotal: number;
  /** The dump lists every thread that there was. */
  readonly threadsListed: boolean;
  /**
   * Frames that may hold the lock: of drivers on the waiter's own stack whose code does not tell, and of any stack where
   * what would tell is not in the dump.
   */
  readonly unclear: readonly Frame[];
}

/** Nothing that could hold the lock is out of sight. */
export function sawEverything(search: HolderSearch): boolean {
  return (
    search.threadsListed &&
    search.processorsSeen === search.processorsTotal &&
    search.stacksSeen === search.stacksTotal &&
    search.unclear.length === 0
  );
}

/** Threads beyond this are counted as unseen rather than walked; 20,000 threads of a hung server fit. */
const MAX_THREADS = 40_000;

const searches = new WeakMap<Waiter, Map<bigint, HolderSearch>>();

/** Walks every stack once for each waiter and lock; the answer is kept. */
export function findHolders(diagnosis: Diagnosis, waiter: Waiter, lock: bigint, waitingFrame: number): HolderSearch {
  let known = searches.get(waiter);
  if (known === undefined) {
    known = new Map();
    searches.set(waiter, known);
  }
  let search = known.get(lock);
  if (search === undefined) {
    search = searchHolders(diagnosis, waiter, lock, waitingFrame);
    known.set(lock, search);
  }
  return search;
}

function searchHolders(diagnosis: Diagnosis, waiter: Waiter, lock: bigint, waitingFrame: number): HolderSearch {
  const { target } = diagnosis;
  const holders: Holder[] = [];
  const unclear: Frame[] = [];
  const stateIn = (frames: readonly Frame[], index: number): HoldState | null => {
    const frame = frames[index];
    if (frame === undefined) return null;
    const graph = functionGraph(target, frame.pc, calledAddress(target, frames, index));
    const place = graph === null ? null : placeInGraph(graph, frame);
    if (graph === null || place === null) return null;
    return holdAt(graph, place.address, lockEffects(target, graph, frame, lock, null));
  };
  const holdsIn = (
    frames: readonly Frame[],
    index: number,
  ): { held: Holder['held']; acquiredAt: bigint | null } | null => {
    const state = stateIn(frames, index);
    if (state !== null && state.held !== 'no' && state.held !== 'unclear')
      return { held: state.held, acquiredAt: state.acquiredAt[0] ?? null };
    const frame = frames[index];
    if (frame === undefined || unclear.includes(frame)) return null;
    // Code of a driver that is not in the dump, or calls what is not: it may hold the lock all the same.
    const hidden = state === null || state.unreadable.length > 0;
    if (state?.held === 'unclear' || (hidden && isDriverCode(target, frame.pc))) unclear.push(frame);
    return null;
  };

  // The waiter's own stack: frames older than the one whose call is the acquire itself.
  let trapFrame: bigint | null = null;
  const asking = askingFrame(target, waiter.frames, waitingFrame);
  for (const frame of waiter.frames) {
    const found = frame.index > asking ? holdsIn(waiter.frames, frame.index) : null;
    if (found !== null)
      holders.push({
        by: 'self',
        processor: waiter.processor,
        thread: null,
        frame,
        frames: waiter.frames,
        ...found,
        trapFrame,
      });
    else if (frame.index > asking && !isKernelCode(target, frame.pc)) {
      const state = stateIn(waiter.frames, frame.index);
      if ((state === null || state.unknown.length > 0) && !unclear.includes(frame)) unclear.push(frame);
    }
    if (frame.trapFrame !== null) trapFrame = frame.trapFrame;
  }

  let processorsSeen = processorWalked(target, waiter.processor, target.walkStack(waiter.registers)) ? 1 : 0;
  for (const processor of target.processors) {
    if (processor.number === waiter.processor.number) continue;
    if (processor.interrupted === null || processor.contextTrust === 'stale' || processor.contextTrust === 'missing')
      continue;
    const trace = target.walkStack(processor.interrupted);
    if (processorWalked(target, processor, trace)) processorsSeen++;
    const { frames } = trace;
    // Frames of an acquire that waits for this same lock: a failed attempt looks like one that succeeded on some path.
    const waiting = diagnosis
      .fact(spinSites)
      .find((site) => site.waiter.processor === processor && waitsFor(site, lock));
    const first = waiting === undefined ? -1 : askingFrame(target, frames, waiting.loop.frameIndex);
    for (const [index, frame] of frames.entries()) {
      if (index <= first) continue;
      const found = holdsIn(frames, index);
      if (found !== null)
        holders.push({ by: 'processor', processor, thread: null, frame, frames, ...found, trapFrame: null });
    }
  }

  // A switched-out idle thread was between two turns of the idle loop, which holds nothing.
  const aside = new Set(
    target.processors.flatMap((processor) => [processor.currentThread, processor.idleThreadAddress]),
  );
  const threads = target.threads().filter((thread) => !aside.has(thread.address));
  let stacksSeen = 0;
  for (const thread of threads.slice(0, MAX_THREADS)) {
    // What a running thread's KernelStack says is of its last switch; its processor is one that is not here.
    const start = thread.state === RUNNING ? null : threadRegisters(target, thread.address);
    if (start === null) continue;
    const trace = target.walkStack(start);
    if (wasWalked(target, trace, thread, false)) stacksSeen++;
    const { frames } = trace;
    for (const [index, frame] of frames.entries()) {
      const found = holdsIn(frames, index);
      if (found !== null)
        holders.push({ by: 'thread', processor: null, thread, frame, frames, ...found, trapFrame: null });
    }
  }
  return {
    holders,
    processorsSeen,
    processorsTotal: Math.max(target.processors.length, target.dump.header.numberProcessors),
    stacksSeen,
    stacksTotal: threads.length,
    threadsListed: threadsListed(target),
    unclear,
  };
}

/** Also where the loop was not recognised as a lock's: it waits for the same cell. */
function waitsFor({ loop }: SpinSite, lock: bigint): boolean {
  return loop.lockCell?.address === lock || loop.exits.some((exit) => exit.cells.some((cell) => cell.address === lock));
}

/**
 * The outermost frame of the acquire that waits: functions that come back with the lock held when it is free only ask for
 * it, also where they have taken a part of it (the writer's bit, while readers leave).
 */
function askingFrame(target: Target, frames: readonly Frame[], waitingFrame: number): number {
  let index = waitingFrame;
  for (;;) {
    const start = frames[index + 1] === undefined ? null : startOf(target, frames, index + 1);
    if (start === null || frames[index]?.trapFrame != null || !acquiresForItsCaller(target, start, false)) return index;
    index++;
  }
}

function startOf(target: Target, frames: readonly Frame[], index: number): bigint | null {
  const pc = frames[index]?.pc;
  const graph = pc === undefined ? null : functionGraph(target, pc, calledAddress(target, frames, index));
  return graph?.roots[0] ?? null;
}

/** Code of a module in the kernel's half that is neither the kernel nor the HAL. */
function isDriverCode(target: Target, pc: bigint): boolean {
  return isKernelAddress(target, pc) && target.moduleAt(pc) !== undefined && !isKernelCode(target, pc);
}

/** The kernel and the HAL call drivers with no lock of theirs held. */
function isKernelCode(target: Target, pc: bigint): boolean {
  const module = target.moduleAt(pc);
  return module !== undefined && (module === target.kernel || /^(hal|ntoskrnl|ntkr)/i.test(module.imageName));
}

/** A zero return address further down than this is no thread's start: extended state is saved above the first frame. */
const TOP_OF_STACK = 0x1000n;

/**
 * The walk went from known code to the start of the thread's own stack: no frame is missing for want of memory or unwind
 * data. One that ends on a DPC's or interrupt's stack has not seen the thread below, unless that is the idle thread.
 */
function wasWalked(target: Target, trace: StackTrace, thread: Thread | null, idle: boolean): boolean {
  const { frames } = trace;
  const first = frames[0];
  const last = frames.at(-1);
  if (first === undefined || last === undefined || target.moduleAt(first.pc) === undefined) return false;
  if (!reachedStart(trace)) return false;
  if (trace.endReason === 'user-mode') return true;
  // On x64 a frame is found by scanning only where unwind data is missing: registers behind it are not those of its code.
  if (!idle && target.arch === 'x64' && frames.some(({ trust }) => trust === 'scan')) return false;
  if (idle || thread?.stackBase == null || thread.stackLimit === null) return true;
  return last.sp <= thread.stackBase && last.sp >= thread.stackLimit && thread.stackBase - last.sp <= TOP_OF_STACK;
}

function processorWalked(target: Target, processor: Processor, trace: StackTrace): boolean {
  const { currentThread } = processor;
  const thread = currentThread === null ? null : target.thread(currentThread);
  return wasWalked(target, trace, thread, currentThread !== null && currentThread === processor.idleThreadAddress);
}

/** Every processor that the header counts is there to be looked at. */
export function allProcessorsKnown(target: Target): boolean {
  return target.processors.length >= target.dump.header.numberProcessors;
}

/** Every list of processes and threads came back to its head; a triage dump keeps next to none of them. */
export function threadsListed(target: Target): boolean {
  if (target.dump.triage !== null) return false;
  return !target.limits.some(
    ({ what }) => what === 'processes' || what === 'PsActiveProcessHead' || what.startsWith('the threads of process'),
  );
}
