/**
 * What a dump looks like once it is understood: the ports between reading (this package), commands and diagnosis.
 * `null` means "could not be read or is not known", never "no"; `target.limits` says why.
 */

import type { Arch, Dump, Memory, Pa, Rva, Va } from '@dumpscope/core';
import type { CodeReader, Disassembler } from '@dumpscope/cpu';
import type { ModuleDebugInfo, ModuleSymbol, SymbolOrigin, SymbolRequest, TypeTable } from '@dumpscope/symbols';

/** What could not be read, and what would be needed to read it. `path` names the report field it leaves null. */
export interface Limit {
  readonly what: string;
  readonly why: string;
  readonly wouldNeed: string | null;
  readonly path?: string;
}

/** A captured general register set. Names are WinDbg's (`eax`, `rip`, `efl`, `cs`, `x0`, `pc`); values zero-extended. */
export interface Registers {
  readonly arch: Arch;
  readonly values: ReadonlyMap<string, bigint>;
  readonly pc: Va;
  readonly sp: Va;
  /** ebp, rbp or fp. */
  readonly fp: Va | null;
  /** EFLAGS/RFLAGS or PSTATE. */
  readonly flags: number | null;
  /** `header CONTEXT`, `PRCB.ProcessorState.ContextFrame`, `trap frame a07be180`, `unwound`. */
  readonly source: string;
  /** Address of the record in target memory; null for the header's own. */
  readonly address: Va | null;
  /** True where the record does not hold every general register (x64 trap frames, unwound frames). */
  readonly partial: boolean;
}

export type StackKind = 'thread' | 'dpc' | 'isr' | 'idle' | 'nmi' | 'double-fault' | 'ist' | 'unknown';

/** A kernel stack: bytes `[limit, base)`, growing down from `base`. */
export interface StackRange {
  readonly kind: StackKind;
  readonly base: Va;
  readonly limit: Va;
  readonly processor: number | null;
  readonly thread: Va | null;
  readonly source: string;
}

/** How far a frame's pc and sp can be believed, best first. */
export type FrameTrust = 'context' | 'trap-frame' | 'unwind-data' | 'frame-data' | 'leaf' | 'frame-pointer' | 'scan';

export interface Frame {
  readonly index: number;
  readonly pc: Va;
  /** x64/ARM64: Child-SP, the stack pointer inside this frame. x86: the stack pointer at `pc`. */
  readonly sp: Va;
  /** x86: the ChildEBP column. */
  readonly childEbp: Va | null;
  /** Value of the RetAddr column; null at the end of the walk. */
  readonly returnAddress: Va | null;
  /** Address of the stack slot that holds `returnAddress`; null for trap-frame transitions and the end. */
  readonly returnSlot: Va | null;
  /** x86: start of the function, where its code from there on leads to this very stack; else absent or null. */
  readonly codeStart?: Va | null;
  /** Lowest and one-past-highest stack byte that belongs to this frame; null where unknown. */
  readonly extent: { readonly low: Va; readonly high: Va } | null;
  readonly trust: FrameTrust;
  /** Trap frame through which the walk continues to the next (interrupted) frame. */
  readonly trapFrame: Va | null;
  /** What kv prints in parentheses: `FPO: [0,2] TrapFrame @ a07be180`. */
  readonly remark: string | null;
  /** The four words that kb/kv print; null for unreadable ones. */
  readonly args: readonly (bigint | null)[];
  /** Registers as far as they are known in this frame (non-volatile ones recovered by unwinding). */
  readonly registers: Registers;
  readonly stack: StackKind;
}

export interface StackTrace {
  readonly frames: readonly Frame[];
  /** Why the walk ended: `stack-base`, `no-return-address`, `unreadable`, `did-not-advance`, `frame-limit`, `user-mode`. */
  readonly endReason: string;
  readonly endText: string;
}

export type LayoutTrust = 'exact' | 'approximate' | 'none';

/** Chosen layouts of the kernel's structures. */
export interface Layouts {
  readonly table: TypeTable;
  readonly trust: LayoutTrust;
  /** One line: how the table was chosen and which checks agreed. */
  readonly how: string;
}

export interface Kdbg {
  readonly address: Va | null;
  readonly size: number;
  readonly source: 'dump' | 'triage' | 'decoded' | 'blob';
  /** A pointer field of the block by name (`KiProcessorBlock`), null when beyond Size or 0. */
  pointer(name: string): Va | null;
  /** A u16 offset field (`OffsetPrcbCurrentThread`), null when beyond Size or 0. */
  offset(name: string): number | null;
  readonly kernBase: Va;
}

export interface Module {
  /** As in commands: `nt`, `hal`, `MyDriver`. */
  readonly name: string;
  readonly imageName: string;
  readonly imagePath: string;
  readonly base: Va;
  readonly size: number;
  readonly timeDateStamp: number | null;
  readonly checkSum: number | null;
  /** RSDS record, where the dump or the matching image holds it. */
  readonly pdb: { readonly name: string; readonly guid: string; readonly age: number } | null;
  /** Names, frame records and lines; the best source that was found. Loaded on first use. */
  readonly debugInfo: ModuleDebugInfo | null;
  readonly symbolOrigin: SymbolOrigin | null;
  /** Why the PDB in use is not the module's own (`.reload /i`); absent or null where it is. */
  readonly mismatch?: string | null;
  /** Types of the module's own PDB, where it is at hand and private. */
  readonly pdbTypes?: TypeTable | null;
  /** Where the exception directory lies, by the image's headers or the loader's record; null or absent where it is not known. */
  readonly pdata?: { readonly rva: number; readonly size: number } | null;
  /** Whether an RVA is executable; null or absent where the section headers are not known. */
  isCode?(rva: number): boolean | null;
  /** Bounds of the function that holds `rva`: .pdata (primary entry of a chain), private symbol or, on x86, names. */
  functionAt(rva: number): {
    readonly start: Rva;
    readonly end: Rva | null;
    readonly from: 'pdata' | 'symbol' | 'export';
    /** The chunk that holds `rva`: the same bounds, or those of a part that .pdata chains to the function. */
    readonly piece?: { readonly begin: Rva; readonly end: Rva } | null;
  } | null;
}

export interface UnloadedModule {
  readonly name: string;
  readonly start: Va;
  readonly end: Va;
  readonly time: bigint | null;
}

/** An address in words. `text` is what every command prints. */
export interface Name {
  readonly text: string;
  readonly module: Module | null;
  readonly symbol: ModuleSymbol | null;
  readonly displacement: number;
}

export type ContextTrust =
  | 'bugchecking' // the processor that wrote the dump: header CONTEXT
  | 'frozen' // stopped by IPI or NMI, its context saved
  | 'stale' // never answered the freeze, or no freeze happened: the context is of an earlier moment
  | 'missing';

export interface Irql {
  readonly level: number;
  /** `exact`: recorded. `minimum`: at least this level, implied. */
  readonly kind: 'exact' | 'minimum';
  /** `trap frame a07be180 PreviousIrql`, `DebuggerSavedIRQL`, `on the DPC stack`, … */
  readonly source: string;
  readonly address: Va | null;
}

export interface Processor {
  readonly number: number;
  readonly prcb: Va;
  readonly currentThread: Va | null;
  readonly nextThread: Va | null;
  readonly idleThreadAddress: Va | null;
  /** CurrentThread == IdleThread. DPCs run over the idle thread: this alone clears nobody. */
  readonly idleThread: boolean | null;
  /** idleThread, DpcRoutineActive 0, and PC or stack in the idle loop. */
  readonly idle: boolean | null;
  readonly idleReason: string;
  readonly dpcRoutineActive: boolean | null;
  readonly contextTrust: ContextTrust;
  readonly contextReason: string;
  /** Saved context, freeze and NMI frames still on top. */
  readonly registers: Registers | null;
  /** What the processor was executing before the freeze, bugcheck or dump interrupt: the context to analyse. */
  readonly interrupted: Registers | null;
  /** How `interrupted` was found: `context`, `trap frame … found by unwinding`, … */
  readonly interruptedFrom: string | null;
  readonly irql: Irql | null;
  readonly stacks: readonly StackRange[];
}

export interface Thread {
  readonly address: Va;
  readonly process: Va | null; // ApcState.Process: the attached one
  readonly owningProcess: Va | null;
  readonly cid: { readonly process: number; readonly thread: number } | null;
  readonly teb: Va | null;
  readonly win32Thread: Va | null;
  readonly state: number | null;
  readonly waitReason: number | null;
  readonly priority: number | null;
  readonly basePriority: number | null;
  readonly waitTime: number | null;
  readonly contextSwitches: number | null;
  readonly kernelTime: number | null; // ticks
  readonly userTime: number | null; // ticks
  readonly initialStack: Va | null;
  readonly stackBase: Va | null;
  readonly stackLimit: Va | null;
  readonly kernelStack: Va | null;
  readonly nextProcessor: number | null;
  /** Any field of _KTHREAD/_ETHREAD as a number, pointer or small array; null where absent or unreadable. */
  field(path: string): bigint | null;
  /** Address of a field of _KTHREAD/_ETHREAD, null where the layout lacks it. */
  fieldAddress(path: string): Va | null;
}

export interface Process {
  readonly address: Va;
  readonly image: string | null;
  readonly pid: number | null;
  readonly directoryTableBase: Pa | null;
  field(path: string): bigint | null;
  fieldAddress(path: string): Va | null;
}

export interface TimeInfo {
  /** KUSER_SHARED_DATA.TickCount or KeTickCount, low 32 bits and more; null where unreadable. */
  readonly tickCount: bigint | null;
  /** 100-ns units per tick: KeMaximumIncrement, else derived; null where unknown. */
  readonly tickIncrement: number | null;
  readonly tickSource: string;
  readonly systemTime: bigint | null; // FILETIME
  readonly uptime: bigint | null; // 100 ns
  /** KUSER_SHARED_DATA.InterruptTime, 100 ns since the start; differs from ticks * increment by what the clock lost. */
  readonly interruptTime: bigint | null;
}

export interface Bugcheck {
  readonly code: number;
  /** Code without the `_M` bit 0x10000000. */
  readonly baseCode: number;
  readonly name: string | null;
  readonly parameters: readonly [bigint, bigint, bigint, bigint];
  readonly meanings: readonly [string | null, string | null, string | null, string | null];
}

export interface WalkOptions {
  readonly limit?: number;
  /** Stack to stay in; found from sp when absent. */
  readonly stack?: StackRange;
}

/** The 32-bit half of a thread of a WOW64 process. */
export interface Wow64Thread {
  /** The process's memory with pointers of four bytes. */
  readonly memory: Memory;
  walk(start: Registers, options?: WalkOptions): StackTrace;
}

export interface Target {
  readonly dump: Dump;
  readonly arch: Arch;
  readonly pointerSize: 4 | 8;
  /** Kernel address space: dump pages first, then bytes of matching image files. */
  readonly memory: Memory;
  /** Address space of a process (user part included); the kernel's where its directory is unknown. */
  memoryOf(process: Va): Memory;
  readonly layouts: Layouts;
  readonly kdbg: Kdbg | null;
  /** Where the block was found, or why it was not. */
  readonly kdbgNote: string;
  readonly build: string | null;
  readonly modules: readonly Module[];
  readonly unloadedModules: readonly UnloadedModule[];
  readonly kernel: Module | null;
  /** User addresses are looked up in `process`; without one, in that of the current processor's thread. */
  moduleAt(address: bigint, process?: bigint | null): Module | undefined;
  nameOf(address: bigint, process?: bigint | null): Name;
  /** Modules of a process's user part, by its loader's list; empty where its pages are not in the dump. */
  userModules(process: bigint): readonly Module[];
  /** Address of `module!symbol`, `symbol` or a module name. */
  resolve(name: string): Va | undefined;
  readonly processors: readonly Processor[];
  /** Why processors are missing, where they are. */
  readonly processorNote: string | null;
  /** The processor that bugchecked; 0 where nobody did. */
  readonly currentProcessor: number;
  /** False where no bugcheck happened (acquisition tools). */
  readonly bugcheck: Bugcheck | null;
  readonly bugcheckNote: string | null;
  thread(address: bigint): Thread | null;
  process(address: bigint): Process | null;
  /** All processes and threads that lists lead to; bounded and guarded against cycles. */
  processes(): readonly Process[];
  threadsOf(process: Process): readonly Thread[];
  /** Every thread that can be reached: of all processes, and those of processors. */
  threads(): readonly Thread[];
  /** Whether every list of processes and threads (with `process`: its thread list) was followed back to its head. */
  listsWhole(process?: Process): boolean;
  readonly time: TimeInfo;
  /** Register record of a KTRAP_FRAME, CONTEXT; null where it cannot be read. */
  trapFrame(address: bigint): Registers | null;
  contextRecord(address: bigint): Registers | null;
  /** Interrupted IRQL that a trap frame records (x64 PreviousIrql, Windows 10 x86); null where it has none. */
  trapFrameIrql(address: bigint): Irql | null;
  walkStack(start: Registers, options?: WalkOptions): StackTrace;
  /** Null for a thread without one, and where its user part is not in the dump. */
  wow64?(thread: bigint): Wow64Thread | null;
  /** The stack that holds an address, over all processors and threads. */
  stackAt(address: bigint): StackRange | null;
  readonly disassembler: Disassembler;
  readonly code: CodeReader;
  readonly limits: readonly Limit[];
  /** Files that would improve names, layouts or code. */
  readonly requests: readonly SymbolRequest[];
}
