import { type Arch, type Memory, type Va, va } from '@dumpscope/core';
import type { Bugcheck, ContextTrust, Registers, StackKind, StackTrace } from './model.ts';
import { isUserMode } from './registers.ts';

/** What a processor was executing before the freeze, the bugcheck or the dump interrupt. */

export interface InterruptedContext {
  readonly registers: Registers;
  readonly from: string;
  /** Trap frame that holds the interrupted state; null for a context as saved. */
  readonly trapFrame: Va | null;
  /** The trap frame belongs to an interrupt (IRQL was raised by it), not to an exception of the code itself. */
  readonly byInterrupt: boolean;
  /** pc of the handler whose frame holds the trap frame; null where there is none. */
  readonly handler: Va | null;
  /** KINTERRUPT that the dispatcher passed to the service routine, first argument of the frame below it (x86). */
  readonly interruptObject: Va | null;
}

export interface InterruptInput {
  readonly arch: Arch;
  readonly memory: Memory;
  readonly registers: Registers;
  readonly trust: ContextTrust;
  readonly bugcheck: Bugcheck | null;
  readonly stack: StackKind;
  /** The PC is code that freezes processors, by name or because other busy processors stand at the same instruction. */
  readonly inFreezeCode: boolean;
  walk(): StackTrace;
  /** A trap frame of kernel code on the stack of `registers`, by its shape; null when none stands out. */
  scanForTrapFrame(): Va | null;
  trapFrame(address: bigint): Registers | null;
  contextRecord(address: bigint): Registers | null;
  /**
   * What the handler at `handlerPc` is for, where the trap frame does not say (x86): 0 interrupt, 1 exception, 2 system
   * service; null where it cannot be told.
   */
  handlerKind(handlerPc: bigint, trapPc: bigint): number | null;
  /** A pc that is code of a module. */
  isCode(address: bigint): boolean;
  /** An address inside some known stack. */
  inAnyStack(address: bigint): boolean;
}

/** Functions in which a processor waits while another one writes the dump. */
const FREEZE =
  /^(KiFreezeTargetExecution|KxFreezeExecution|KiProcessNMI|KiCheckForFreezeExecution|KiNmiInterrupt|KxNmiInterrupt|KiNmiInterruptStart|KiIpiInterrupt\w*|KiIpiProcessRequests|KiSendFreeze|KiSaveProcessorState|HalpPerformNmi\w*|KiFreeze\w*|KiIpiServiceRoutine)$/;

export function isFreezeName(name: string): boolean {
  return FREEZE.test(name);
}

/** Bug checks whose parameters name the record of the failing code: context or trap frame, by parameter. */
const records: Readonly<Record<number, readonly ['context' | 'trap', number]>> = {
  59: ['context', 2], // 3B SYSTEM_SERVICE_EXCEPTION: parameter 3
  126: ['context', 3], // 7E SYSTEM_THREAD_EXCEPTION_NOT_HANDLED
  36: ['context', 2], // 24 NTFS_FILE_SYSTEM: parameter 2 exception record, 3 context
  35: ['context', 2], // 23 FAT_FILE_SYSTEM
  39: ['context', 2], // 27 RDR_FILE_SYSTEM
  142: ['trap', 2], // 8E KERNEL_MODE_EXCEPTION_NOT_HANDLED: parameter 3
  313: ['trap', 1], // 139 KERNEL_SECURITY_CHECK_FAILURE: parameter 2
};

function plausible(input: InterruptInput, registers: Registers | null): registers is Registers {
  if (registers === null) return false;
  if (isUserMode(registers)) return true;
  return input.isCode(registers.pc) && (input.inAnyStack(registers.sp) || registers.sp > 0x80000000n);
}

/** ExceptionActive of an x64 trap frame (+2B) and of an ARM64 one (+0): 0 interrupt, 1 exception, 2 system service. */
function activity(input: InterruptInput, trapFrame: bigint): number | null {
  if (input.arch === 'x86') return null;
  const value = input.memory.u8(trapFrame + (input.arch === 'x64' ? 0x2bn : 0n));
  return value === undefined || value > 2 ? null : value;
}

/** The context to analyse. Null only where not even the saved context is there. */
export function findInterrupted(input: InterruptInput): InterruptedContext {
  const { registers, bugcheck } = input;
  const asSaved = (from: string): InterruptedContext => ({
    registers,
    from,
    trapFrame: null,
    byInterrupt: false,
    handler: null,
    interruptObject: null,
  });
  if (input.trust === 'bugchecking' && bugcheck !== null) {
    const record = records[bugcheck.baseCode];
    if (record !== undefined) {
      const address = bugcheck.parameters[record[1]] ?? 0n;
      const found =
        address === 0n ? null : record[0] === 'context' ? input.contextRecord(address) : input.trapFrame(address);
      if (plausible(input, found)) {
        if (found.pc === registers.pc && found.sp === registers.sp) return asSaved('context');
        return {
          registers: found,
          from: `${record[0] === 'context' ? 'context record' : 'trap frame'} ${address.toString(16)}, bug check parameter ${record[1] + 1}`,
          trapFrame: record[0] === 'trap' ? (address as Va) : null,
          byInterrupt: false,
          handler: null,
          interruptObject: null,
        };
      }
    }
    // The header may hold the context of the exception itself (1000007E): then nothing is on top of it.
    const [, second] = bugcheck.parameters;
    if (record !== undefined && second === registers.pc) return asSaved('context');
    const trap = firstTrap(input);
    if (trap !== null) return trap;
    const found = RAISED_IN_INTERRUPT.has(bugcheck.baseCode) ? scannedTrap(input) : null;
    return found ?? asSaved('context');
  }
  if (isUserMode(registers)) return asSaved('context, user mode');
  // Frozen by NMI: the processor's own state lies below the frame that the NMI pushed.
  if (input.stack === 'nmi' || input.inFreezeCode) {
    const trap = firstTrap(input);
    if (trap !== null)
      return { ...trap, from: `${trap.from}, below ${input.stack === 'nmi' ? 'the NMI' : 'the freeze'}` };
  }
  return asSaved('context');
}

/** Bug checks that an ISR, an NMI or the clock raises: something was interrupted for them, wherever its frame is. */
const RAISED_IN_INTERRUPT: ReadonlySet<number> = new Set([0xe2, 0x80, 0x133, 0x101, 0x1ca, 0x1cf, 0x1db]);

/** The walk broke off before it: a trap frame by its shape alone. */
function scannedTrap(input: InterruptInput): InterruptedContext | null {
  const at = input.scanForTrapFrame();
  const registers = at === null ? null : input.trapFrame(at);
  if (at === null || registers === null || !input.isCode(registers.pc)) return null;
  return {
    registers,
    from: `${registers.source} found by its shape on the stack`,
    trapFrame: at,
    byInterrupt: true,
    handler: null,
    interruptObject: null,
  };
}

/** KINTERRUPT begins with Type 22 and its size, 1e4 bytes on XP and less than twice that on any x86 kernel. */
function interruptObject(input: InterruptInput, address: bigint | null): Va | null {
  if (input.arch !== 'x86' || address === null || input.memory.u16(address) !== 22) return null;
  const size = input.memory.u16(address + 2n) ?? 0;
  return size === 0 || (size >= 0x80 && size <= 0x400) ? va(address) : null;
}

/** The first trap frame on the way up: kernel PC, or user PC reached by an interrupt or exception. */
function firstTrap(input: InterruptInput): InterruptedContext | null {
  const trace = input.walk();
  for (const [i, frame] of trace.frames.entries()) {
    if (frame.trapFrame === null) continue;
    const below = trace.frames[i + 1];
    const registers = input.trapFrame(frame.trapFrame);
    if (registers === null || below === undefined) return null;
    const active = activity(input, frame.trapFrame) ?? input.handlerKind(frame.pc, registers.pc);
    // A system call, from user mode or by Zw functions from the kernel, is no interruption: its code called
    // KeBugCheckEx itself.
    if (active === 2) return null;
    if (isUserMode(registers)) {
      if (active === null) return null;
    } else if (!input.isCode(registers.pc)) return null;
    // Unwinding recovered the non-volatile registers that an x64 trap frame lacks.
    const merged: Registers = {
      ...registers,
      values: new Map([...below.registers.values, ...registers.values]),
    };
    return {
      registers: merged,
      from: `${registers.source} found ${frame.trust === 'scan' || below.trust === 'scan' ? 'by scanning the stack' : 'by unwinding'}`,
      trapFrame: frame.trapFrame,
      byInterrupt: active === null ? true : active === 0,
      handler: frame.pc,
      interruptObject: interruptObject(input, trace.frames[i - 1]?.args[0] ?? null),
    };
  }
  return null;
}
