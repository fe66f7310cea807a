import type { Arch, Dump, Memory, Va } from '@dumpscope/core';
import { type FieldFinder, StructReader } from './fields.ts';
import { judgeIdle } from './idle.ts';
import { findInterrupted, type InterruptedContext, isFreezeName } from './interrupted.ts';
import { interruptedIrql } from './irql.ts';
import type {
  Bugcheck,
  ContextTrust,
  Irql,
  Name,
  Processor,
  Registers,
  StackRange,
  StackTrace,
  Thread,
} from './model.ts';
import {
  type FreezeState,
  freezeState,
  headerContext,
  ipiState,
  judgeContext,
  type SavedContext,
  savedContext,
} from './processor-context.ts';
import { isUserMode } from './registers.ts';
import { inStack, processorStacks, threadStack } from './stacks.ts';

/** What a processor's description asks of the target. */
export interface ProcessorWorld {
  readonly dump: Dump;
  readonly arch: Arch;
  readonly memory: Memory;
  readonly fields: FieldFinder;
  readonly bugcheck: Bugcheck | null;
  readonly bugcheckHappened: boolean;
  readonly blocks: readonly (Va | null)[];
  readonly triageNumber: number | null;
  thread(address: bigint): Thread | null;
  nameOf(address: bigint): Name;
  isCode(address: bigint): boolean;
  stackAt(address: bigint): StackRange | null;
  walk(start: Registers): StackTrace;
  scanForTrapFrame(sp: Va): Va | null;
  trapFrame(address: bigint): Registers | null;
  contextRecord(address: bigint): Registers | null;
  processors(): readonly KernelProcessor[];
}

/** Frames that are looked at for a trap frame, or for the idle loop. */
export const INTERRUPT_WALK = 64;

export class KernelProcessor implements Processor {
  readonly number: number;
  readonly prcb: Va;
  readonly #world: ProcessorWorld;
  readonly #saved: SavedContext;
  readonly #reader: StructReader;
  #interrupted: InterruptedContext | null | undefined;
  #irql: Irql | null | undefined;
  #idle: { idle: boolean | null; reason: string } | undefined;
  #stacks: StackRange[] | undefined;

  constructor(world: ProcessorWorld, number: number, prcb: Va, saved: SavedContext) {
    this.#world = world;
    this.number = number;
    this.prcb = prcb;
    this.#saved = saved;
    this.#reader = new StructReader(world.memory, world.fields, '_KPRCB', prcb);
  }

  get currentThread(): Va | null {
    return this.#reader.pointer('CurrentThread');
  }

  get nextThread(): Va | null {
    return this.#reader.pointer('NextThread');
  }

  get idleThreadAddress(): Va | null {
    return this.#reader.pointer('IdleThread');
  }

  get idleThread(): boolean | null {
    const current = this.currentThread;
    const idle = this.idleThreadAddress;
    return current === null || idle === null ? null : current === idle;
  }

  get dpcRoutineActive(): boolean | null {
    const value = this.#reader.field('DpcRoutineActive');
    return value === null ? null : value !== 0n;
  }

  get contextTrust(): ContextTrust {
    return this.#saved.trust;
  }

  get contextReason(): string {
    return this.#saved.reason;
  }

  get registers(): Registers | null {
    return this.#saved.registers;
  }

  /** A member of the KPRCB as a number or pointer; null where absent or unreadable. */
  field(path: string): bigint | null {
    return this.#reader.field(path);
  }

  fieldAddress(path: string): Va | null {
    return this.#reader.fieldAddress(path);
  }

  get stacks(): readonly StackRange[] {
    if (this.#stacks !== undefined) return this.#stacks;
    const { arch, memory, fields } = this.#world;
    const out: StackRange[] = [];
    const current = this.currentThread;
    const idle = this.idleThreadAddress;
    for (const address of [current, idle]) {
      if (address === null || out.some((range) => range.thread === address)) continue;
      const thread = this.#world.thread(address);
      const range =
        thread === null ? null : threadStack(thread, arch, this.number, address === idle ? 'idle' : 'thread');
      if (range !== null) out.push(range);
    }
    out.push(...processorStacks({ arch, memory, fields }, this.prcb, this.number));
    this.#stacks = out;
    return out;
  }

  #stackOf(address: bigint): StackRange | null {
    return this.stacks.find((range) => inStack(range, address)) ?? this.#world.stackAt(address);
  }

  #interruption(): InterruptedContext | null {
    if (this.#interrupted !== undefined) return this.#interrupted;
    const world = this.#world;
    const registers = this.registers;
    if (registers === null) return (this.#interrupted = null);
    const memory = world.memory;
    this.#interrupted = findInterrupted({
      arch: world.arch,
      memory,
      registers,
      trust: this.contextTrust,
      bugcheck: world.bugcheck,
      stack: this.#stackOf(registers.sp)?.kind ?? 'unknown',
      inFreezeCode: this.#inFreezeCode(registers),
      walk: () => world.walk(registers),
      scanForTrapFrame: () => world.scanForTrapFrame(registers.sp),
      trapFrame: (address) => world.trapFrame(address),
      contextRecord: (address) => world.contextRecord(address),
      handlerKind: (handlerPc, trapPc) => {
        const name = world.nameOf(handlerPc).symbol?.display ?? '';
        if (/^Ki(FastCallEntry|SystemService|ServiceExit|SystemCall)/.test(name)) return 2;
        if (/^Ki\w*(Interrupt|Chained|Floating)\w*Dispatch|^KiIpi|^Hal\w*Interrupt/.test(name)) return 0;
        if (/^KiTrap|^Kt?(Page|General|Double)\w*Fault/.test(name)) return 1;
        // Zw functions enter the kernel by int 2e or by a call of the very handler.
        const before = memory.bytes(trapPc - 5n, 5);
        if (before === undefined) return null;
        if (before[3] === 0xcd && before[4] === 0x2e) return 2;
        const delta = new DataView(before.buffer, before.byteOffset, 5).getInt32(1, true);
        const target = BigInt.asUintN(32, trapPc + BigInt(delta));
        return before[0] === 0xe8 && target <= handlerPc && handlerPc - target < 0x800n ? 2 : null;
      },
      isCode: (address) => world.isCode(address),
      inAnyStack: (address) => world.stackAt(address) !== null,
    });
    return this.#interrupted;
  }

  /**
   * The freeze loop by its name; without names, a kernel PC that a frozen busy processor shares with another frozen
   * processor busy with a different thread, or that stands where an idle one was frozen: a busy thread is in no idle loop.
   */
  #inFreezeCode(registers: Registers): boolean {
    if (this.contextTrust === 'bugchecking' || isUserMode(registers)) return false;
    const name = this.#world.nameOf(registers.pc);
    if (name.symbol !== null) return isFreezeName(name.symbol.display);
    if (name.module === null || !['nt', 'hal'].includes(name.module.name)) return false;
    if (this.idleThread !== false) return false;
    return this.#world
      .processors()
      .some(
        (other) =>
          other !== this &&
          other.contextTrust === 'frozen' &&
          (other.idleThread === false
            ? other.currentThread !== this.currentThread && other.registers?.pc === registers.pc
            : other.idleThread === true &&
              other.dpcRoutineActive === false &&
              other.registers !== null &&
              distance(other.registers.pc, registers.pc) < FREEZE_LOOP),
      );
  }

  get interrupted(): Registers | null {
    return this.#interruption()?.registers ?? null;
  }

  get interruptedFrom(): string | null {
    return this.#interruption()?.from ?? null;
  }

  /** Trap frame of the interrupted code; null where its context was saved as such. */
  get interruptedTrapFrame(): Va | null {
    return this.#interruption()?.trapFrame ?? null;
  }

  get irql(): Irql | null {
    if (this.#irql !== undefined) return this.#irql;
    const world = this.#world;
    const interrupted = this.#interruption();
    const stack = interrupted === null ? 'unknown' : (this.#stackOf(interrupted.registers.sp)?.kind ?? 'unknown');
    const stale = this.contextTrust === 'stale' || this.contextTrust === 'missing';
    this.#irql = interruptedIrql({
      arch: world.arch,
      memory: world.memory,
      prcb: this.#reader,
      trust: this.contextTrust,
      interrupted: stale ? null : interrupted,
      bugcheck: world.bugcheck,
      stack: stale ? 'unknown' : stack,
      dpcActive: this.dpcRoutineActive,
      userMode: !stale && interrupted !== null && isUserMode(interrupted.registers),
      dispatchedBy: interrupted?.handler == null ? null : (world.nameOf(interrupted.handler).symbol?.display ?? null),
      interruptIrqlOffset: world.fields.find('_KINTERRUPT', 'Irql')?.offset ?? null,
      interruptVectorOffset: world.fields.find('_KINTERRUPT', 'Vector')?.offset ?? null,
      x86IrqlOffset: world.arch === 'x86' ? (world.fields.find('_KTRAP_FRAME', 'PreviousIrql')?.offset ?? null) : null,
    });
    return this.#irql;
  }

  #judgeIdle(): { idle: boolean | null; reason: string } {
    if (this.#idle !== undefined) return this.#idle;
    const world = this.#world;
    const interrupted = this.interrupted;
    const name = interrupted === null ? null : world.nameOf(interrupted.pc);
    const idleAddress = this.idleThreadAddress;
    const idleStack = this.stacks.find((range) => range.thread === idleAddress) ?? null;
    const candidate = this.idleThread === true && this.dpcRoutineActive === false && interrupted !== null;
    const named = name !== null && (name.symbol !== null || name.module?.name === 'nt');
    const callers =
      candidate && named && name?.module?.debugInfo !== null && interrupted !== null
        ? world
            .walk(interrupted)
            .frames.slice(1, 12)
            .map((frame) => world.nameOf(frame.pc).symbol?.display ?? '')
            .filter((text) => text !== '')
        : [];
    this.#idle = judgeIdle({
      idleThread: this.idleThread,
      dpcActive: this.dpcRoutineActive,
      registers: interrupted,
      trust: this.contextTrust,
      stackKind: interrupted === null ? 'unknown' : (this.#stackOf(interrupted.sp)?.kind ?? 'unknown'),
      idleStack,
      module: name?.module?.name ?? null,
      isKernel: name?.module?.name === 'nt' || name?.module?.name === 'hal',
      symbol: name?.symbol?.display ?? null,
      callers,
      sharedPc: candidate
        ? world
            .processors()
            .filter(
              (other) =>
                other !== this &&
                other.idleThread === true &&
                other.dpcRoutineActive === false &&
                other.registers?.pc === interrupted?.pc,
            ).length
        : 0,
    });
    return this.#idle;
  }

  get idle(): boolean | null {
    return this.#judgeIdle().idle;
  }

  get idleReason(): string {
    return this.#judgeIdle().reason;
  }
}

interface Candidate {
  readonly number: number;
  readonly prcb: Va;
  readonly registers: Registers | null;
  readonly freeze: FreezeState;
}

/**
 * The processor that bugchecked, best evidence first: the one whose raw block the triage dump holds; whose saved
 * context is the header's (pc and sp); whose current thread's, DPC or interrupt stack holds the header's stack pointer;
 * the freeze owner, or the only one that is not frozen while others are; else the first. Null where blocks are missing and
 * all that are there were frozen: it is one of the missing ones.
 */
function findBugchecking(
  world: ProcessorWorld,
  candidates: readonly Candidate[],
): { number: number; how: string } | null {
  if (world.triageNumber !== null)
    return { number: world.triageNumber, how: 'the triage dump holds its processor block' };
  const header = headerContext(world.dump);
  if (header !== null) {
    for (const candidate of candidates)
      if (candidate.registers?.pc === header.pc && candidate.registers.sp === header.sp)
        return { number: candidate.number, how: 'its saved context is the header CONTEXT' };
    for (const candidate of candidates) {
      // Who writes the dump freezes the others and is not frozen itself.
      if (candidate.freeze.state === ipiState.frozen) continue;
      const reader = new StructReader(world.memory, world.fields, '_KPRCB', candidate.prcb);
      const current = reader.pointer('CurrentThread');
      const thread = current === null ? null : world.thread(current);
      const ranges = [
        ...(thread === null ? [] : [threadStack(thread, world.arch, candidate.number)]),
        ...processorStacks(world, candidate.prcb, candidate.number),
      ];
      for (const range of ranges)
        if (range !== null && inStack(range, header.sp))
          return { number: candidate.number, how: `the header's stack pointer lies in its ${range.kind} stack` };
    }
  }
  const owner = candidates.find((candidate) => candidate.freeze.state === ipiState.freezeOwner);
  if (owner !== undefined) return { number: owner.number, how: 'IpiFrozen says that it owns the freeze' };
  const frozen = candidates.filter((candidate) => candidate.freeze.state === ipiState.frozen);
  const running = candidates.filter((candidate) => candidate.freeze.state === ipiState.running);
  const [only] = running;
  if (frozen.length > 0 && running.length === 1 && only !== undefined)
    return { number: only.number, how: 'the only processor that is not frozen' };
  const missing = world.blocks.some((block) => block === null);
  if (missing && candidates.length > 0 && frozen.length === candidates.length) return null;
  const first = candidates.find((candidate) => candidate.freeze.state !== ipiState.frozen) ?? candidates[0];
  return { number: first?.number ?? 0, how: 'nothing tells which one it was: the first' };
}

export interface ProcessorList {
  readonly processors: readonly KernelProcessor[];
  readonly current: number;
}

export function makeProcessors(world: ProcessorWorld): ProcessorList {
  const candidates: Candidate[] = [];
  for (const [number, prcb] of world.blocks.entries()) {
    if (prcb === null) continue;
    const reader = new StructReader(world.memory, world.fields, '_KPRCB', prcb);
    candidates.push({
      number,
      prcb,
      registers: savedContext({ dump: world.dump, memory: world.memory, fields: world.fields }, prcb),
      freeze: freezeState(reader),
    });
  }
  const anyFrozen = candidates.some((candidate) => candidate.freeze.state === ipiState.frozen);
  const owner = world.bugcheckHappened ? findBugchecking(world, candidates) : null;
  const header = headerContext(world.dump);
  const processors = candidates.map((candidate) => {
    let saved = judgeContext(candidate.registers, candidate.freeze, anyFrozen, world.bugcheckHappened);
    if (owner !== null && candidate.number === owner.number) {
      const registers = header ?? candidate.registers;
      saved = {
        registers,
        trust: registers === null ? 'missing' : 'bugchecking',
        reason: registers === null ? 'neither the header nor its block holds a context' : owner.how,
      };
    }
    return new KernelProcessor(world, candidate.number, candidate.prcb, saved);
  });
  return { processors, current: owner?.number ?? processors[0]?.number ?? 0 };
}

/** The wait of a frozen processor is a pause, a compare and a jump. */
const FREEZE_LOOP = 0x10n;

function distance(a: bigint, b: bigint): bigint {
  return a > b ? a - b : b - a;
}
