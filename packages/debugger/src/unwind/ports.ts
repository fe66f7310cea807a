import type { Memory, Va } from '@dumpscope/core';
import type { CodeReader, Disassembler } from '@dumpscope/cpu';
import type { X86FrameRecord } from '@dumpscope/symbols';
import type { FrameTrust } from '../target/model.ts';
import type { UnwindInfo } from './x64-unwind-info.ts';

/** What the exception directory (.pdata) of the module that holds a pc says. */
export type FunctionLookup =
  | {
      readonly kind: 'entry';
      readonly imageBase: Va;
      readonly begin: number;
      /** One past the end; on ARM64 computed from the unwind data. */
      readonly end: number;
      /** x64: RVA of UNWIND_INFO. ARM64: the second word, packed or RVA of .xdata. */
      readonly unwindData: number;
    }
  /** The directory was read and has no entry: a leaf function, the return address is at the top of the stack. */
  | { readonly kind: 'leaf'; readonly imageBase: Va }
  | { readonly kind: 'unknown'; readonly why: string };

/** Where a pc lies, as far as a stack scan needs to know. */
export type CodePlace = 'code' | 'data' | 'none';

/** All that unwinding asks from outside. Every member may answer "not known"; none may throw. */
export interface UnwindPorts {
  readonly memory: Memory;
  readonly code: CodeReader;
  lookup(pc: bigint): FunctionLookup;
  /** Decoded UNWIND_INFO, kept between frames; without it every frame decodes anew. */
  unwindInfo?(imageBase: Va, rva: number): UnwindInfo | string;
  /** Executable bytes of a module, other bytes of a module (section headers at hand), or no module. */
  place(pc: bigint): CodePlace;
  /** A full table of names begins a symbol exactly here: a pointer to a function, not a return into one. */
  isSymbolStart?(pc: bigint): boolean;
  /** Frame record of the PDB for a pc (x86). */
  frameRecord(pc: bigint): X86FrameRecord | undefined;
  /** Start of the function that holds `pc`, where .pdata or trustworthy names give it. */
  functionStart(pc: bigint): Va | null;
  /** For the analysis of x86 prologues; absent in tests that do without. */
  readonly disassembler?: Disassembler;
  /** Offset of Eax in this build's x86 KTRAP_FRAME (Ecx and Edx lie below it); 0x44 where it does not tell. */
  trapFrameEax?(): number;
  /**
   * Registers of the task that a task gate interrupted (double fault, NMI; x86), for the stack that holds `sp`. Without
   * `isTask` only where that stack is known to be one of a task gate.
   */
  taskRegisters?(sp: bigint, isTask: boolean): ReadonlyMap<string, bigint> | null;
  /** The stack that holds an address, to bound scans; `[limit, base)`. */
  stackBounds(address: bigint): { readonly limit: bigint; readonly base: bigint } | null;
}

/** Register values at one point of a walk, by WinDbg's names; a register that is not known is absent. */
export type RegisterMap = Map<string, bigint>;

/** One step from a frame to its caller. */
export type Step =
  | {
      readonly kind: 'caller';
      readonly registers: RegisterMap;
      readonly trust: FrameTrust;
      /** Slot that holds the return address; null for a trap-frame transition. */
      readonly returnSlot: bigint | null;
      readonly trapFrame: bigint | null;
      /** x86: ChildEBP column of the frame that was left. */
      readonly childEbp?: bigint | null;
      readonly remark?: string | null;
      /** The caller is the interrupted code itself, not a return address. */
      readonly interrupted: boolean;
      /** x86: bytes of arguments that the callee pops, for `.cbCalleeParams`. */
      readonly paramsSize?: number;
      /** x86: start of the function that was left, where its code agrees with the stack. */
      readonly codeStart?: bigint | null;
    }
  | {
      readonly kind: 'end';
      readonly reason: EndReason;
      readonly text: string;
      readonly childEbp?: bigint | null;
      readonly returnSlot?: bigint | null;
      readonly remark?: string | null;
    };

export type EndReason =
  | 'stack-base'
  | 'no-return-address'
  | 'unreadable'
  | 'did-not-advance'
  | 'frame-limit'
  | 'user-mode'
  | 'bad-unwind-data';
