import type { ContextTrust, Registers, StackKind, StackRange } from './model.ts';
import { isUserMode } from './registers.ts';

/**
 * Whether a processor idles: CurrentThread is IdleThread, DpcRoutineActive is 0, and PC or stack is in the idle loop.
 * DPCs and interrupts run over the idle thread, so that the first alone clears nobody.
 */

/** Drivers whose only code that an idle thread runs is the processor's idle state. */
const idleDrivers = /^(amdppm|intelppm|processr|viac7|crusoe|amdk6|amdk7|amdk8|p3|qcppm|qcpep|armpep|intelpep)$/i;
const idleNames =
  /^(KiIdleLoop|KiIdleSchedule|KiRetireDpcList.*Idle|PoIdle|PopIdle\w*|Pop?Processor\w*Idle\w*|PpmIdle\w*|HalProcessorIdle|HalpProcessorIdle|HalpYieldProcessor|HvlProcessorIdle|KiSystemStartup|C1Halt|AcpiC\d+Idle\w*|MwaitIdle\w*)$/;

/** What a module is called whose name is not in the dump: it may be the kernel. */
const UNNAMED = /^image_[0-9a-f]+$/;

/** The idle loop is shallow: the deepest seen (19041, amdppm below PpmIdleExecuteTransition) lies 0xa08 below the base. */
const IDLE_DEPTH = 0x1000n;

export interface IdleInput {
  readonly idleThread: boolean | null;
  readonly dpcActive: boolean | null;
  readonly registers: Registers | null;
  readonly trust: ContextTrust;
  readonly stackKind: StackKind;
  /** Stack of the idle thread, where it is known. */
  readonly idleStack: StackRange | null;
  /** Module and function of the PC. */
  readonly module: string | null;
  readonly isKernel: boolean;
  readonly symbol: string | null;
  /** Functions that the stack returns to, innermost first; empty where names are not known. */
  readonly callers: readonly string[];
  /** Other processors over their idle threads, without a DPC, at this very PC. */
  readonly sharedPc: number;
}

export function judgeIdle(input: IdleInput): { readonly idle: boolean | null; readonly reason: string } {
  if (input.idleThread === null) return { idle: null, reason: 'CurrentThread or IdleThread cannot be read' };
  if (!input.idleThread) return { idle: false, reason: 'it runs a thread of its own' };
  if (input.dpcActive === true) return { idle: false, reason: 'a DPC runs over the idle thread' };
  if (input.registers === null) return { idle: null, reason: 'idle thread, but its context is not in the dump' };
  if (input.trust === 'stale') return { idle: null, reason: 'idle thread, but its context is stale' };
  if (input.dpcActive === null) return { idle: null, reason: 'idle thread, DpcRoutineActive cannot be read' };
  if (isUserMode(input.registers)) return { idle: false, reason: 'idle thread with a user-mode PC: inconsistent' };
  if (input.stackKind === 'dpc' || input.stackKind === 'isr')
    return {
      idle: false,
      reason: `idle thread interrupted: the stack is the ${input.stackKind === 'dpc' ? 'DPC' : 'interrupt'} stack`,
    };
  if (input.symbol !== null && idleNames.test(input.symbol))
    return { idle: true, reason: `idle thread, no DPC, PC in ${input.symbol}` };
  if (input.module !== null && idleDrivers.test(input.module))
    return { idle: true, reason: `idle thread, no DPC, PC in ${input.module}` };
  const caller = input.callers.find((name) => idleNames.test(name));
  if (caller !== undefined) return { idle: true, reason: `idle thread, no DPC, called from ${caller}` };
  const { idleStack, registers } = input;
  const shallow =
    idleStack !== null &&
    registers.sp < idleStack.base &&
    registers.sp >= idleStack.limit &&
    idleStack.base - registers.sp <= IDLE_DEPTH;
  if (input.isKernel && shallow)
    return {
      idle: true,
      reason: `idle thread, no DPC, PC in the kernel 0x${((idleStack?.base ?? 0n) - registers.sp).toString(16)} bytes into the idle stack`,
    };
  if (input.isKernel && input.sharedPc > 0)
    return {
      idle: true,
      reason: `idle thread, no DPC, the same kernel PC as ${input.sharedPc} other processor${input.sharedPc > 1 ? 's' : ''} over the idle thread`,
    };
  if (input.module === null) return { idle: null, reason: 'idle thread, no DPC, but the PC lies in no module' };
  if (input.isKernel)
    return { idle: null, reason: 'idle thread, no DPC, PC in the kernel, but nothing shows that it is the idle loop' };
  if (UNNAMED.test(input.module))
    return { idle: null, reason: `idle thread, no DPC, PC in an image whose name cannot be read (${input.module})` };
  return { idle: false, reason: `idle thread, no DPC active, but the PC is in ${input.module}` };
}
