import type { Arch, DumpKind } from '@dumpscope/core';

/**
 * An address or number. A JSON number is taken as it is (decimal); a string is an expression in hexadecimal:
 * `a07be204`, `fffff802`38d0a1c0`, `nt!KeBugCheckEx+1b`, `hal` (a module's base), `thread(spin)`, `prcb(0)+20`,
 * `thread(spin).Tcb.WaitListEntry`, `object(res)`.
 */
export type Value = string | number;

export type Registers = Readonly<Record<string, Value>>;

/** Fields of a structure by path (`Tcb.WaitTime`, `OwnerThreads[0].OwnerThread`). */
export type Fields = Readonly<Record<string, Value>>;

/** One write. Exactly one of the content members. */
export interface MemoryWrite {
  readonly byte?: Value;
  readonly word?: Value;
  readonly dword?: Value;
  readonly qword?: Value;
  readonly pointer?: Value;
  readonly bytes?: string; // hex digits, blanks allowed
  readonly ascii?: string; // NUL is added
  readonly utf16?: string; // NUL is added
  readonly dwords?: readonly Value[];
  readonly qwords?: readonly Value[];
  readonly pointers?: readonly Value[];
  readonly zero?: Value; // that many zero bytes
  readonly fill?: readonly [Value, Value]; // byte, count
  readonly repeat?: Value; // the whole content that many times over
  readonly process?: string; // user address space to write into
  readonly what?: string; // for the reader; printed nowhere
}

export interface HeaderSpec {
  readonly bugcheck?: { readonly code: Value; readonly parameters?: readonly Value[] };
  readonly comment?: string;
  readonly versionUser?: string;
  readonly attributes?: Value;
  readonly productType?: Value;
  readonly suiteMask?: Value;
  readonly majorVersion?: Value; // 0xF free, 0xC checked
  readonly secondaryDataState?: Value;
  readonly miniDumpFields?: Value;
  readonly requiredDumpSpace?: Value;
  /** EXCEPTION_RECORD; left as `PAGE` when absent. */
  readonly exception?: {
    readonly code: Value;
    readonly flags?: Value;
    readonly address?: Value;
    readonly parameters?: readonly Value[];
  };
  /** Written by an acquisition tool: its mark in code and parameters, no bugcheck, no frozen processors. */
  readonly tool?: string;
  /** Fields to leave unwritten (pattern PAGE): `systemUpTime`, `comment`, `kdDebuggerDataBlock`, … */
  readonly unwritten?: readonly string[];
}

export interface TimeSpec {
  readonly tickCount: Value;
  /** KeMaximumIncrement, 100 ns units; 156250 (15.625 ms) when absent. */
  readonly increment?: Value;
  /** FILETIME, or an ISO 8601 string ending in Z. */
  readonly systemTime?: Value;
  /** 100 ns; tickCount * increment when absent. */
  readonly uptime?: Value;
  /** Minutes east of UTC are negative, as in KUSER_SHARED_DATA.TimeZoneBias; 0 when absent. */
  readonly biasMinutes?: number;
}

export type SymbolsSpec = 'pdb' | 'exports' | 'none';

export interface ModuleSpec {
  /** File in the image set. Without it the module is raw: `size`, `code`, `exports`. */
  readonly image?: string;
  readonly base: Value;
  /** Address the scenario's literals assume; `base` when absent. Set by `relocate`. */
  readonly name?: string; // BaseDllName; the image's file name when absent
  readonly path?: string; // FullDllName
  readonly size?: Value;
  readonly timeDateStamp?: Value;
  readonly checkSum?: Value;
  readonly entryPoint?: Value;
  /** Raw module: bytes by RVA. With an image: patches over it. */
  readonly code?: Readonly<Record<string, string>>;
  /** Extra names by RVA, for expressions only (and the export table of a raw module). */
  readonly names?: Readonly<Record<string, Value>>;
  /** `pdb`: RSDS record and PDB given out; `exports`: no RSDS record; `none`: no exports either. */
  readonly symbols?: SymbolsSpec;
  /** Pages in memory: all, only the headers, or none (a module that is listed but paged out). */
  readonly resident?: 'all' | 'headers' | 'none';
  /** User image of this process. */
  readonly process?: string;
  /** Entry on PsLoadedModuleList; true when absent (kernel modules). */
  readonly listed?: boolean;
}

export interface UnloadedSpec {
  readonly name: string;
  readonly start: Value;
  readonly end: Value;
  readonly time?: Value;
}

export interface StackSpec {
  readonly base: Value;
  readonly limit: Value;
  /** KTHREAD.KernelStack; limit of what was saved at the last switch. */
  readonly kernelStack?: Value;
  readonly initialStack?: Value;
  readonly large?: boolean;
  readonly callStack?: Value;
  readonly resident?: boolean;
}

export interface WaitSpec {
  readonly object: Value;
  /** Dispatcher header type and state, written when the object is not one of the scenario's. */
  readonly type?: Value;
  readonly key?: Value;
  readonly any?: boolean;
}

export interface IrpSpec {
  readonly at: Value;
  readonly stackCount?: number;
  readonly flags?: Value;
  readonly mdl?: Value;
  readonly pending?: boolean;
  readonly size?: Value;
  readonly fields?: Fields;
  /** Stack locations from the first to the last. */
  readonly locations?: readonly Fields[];
}

export interface ThreadSpec {
  readonly at?: Value;
  readonly tid?: Value;
  readonly teb?: Value;
  readonly win32Thread?: Value;
  readonly state?:
    | 'initialized'
    | 'ready'
    | 'running'
    | 'standby'
    | 'terminated'
    | 'waiting'
    | 'transition'
    | 'deferred-ready';
  readonly waitReason?: Value;
  readonly waitMode?: 'kernel' | 'user';
  readonly alertable?: boolean;
  readonly waitTime?: Value;
  readonly waits?: readonly WaitSpec[];
  /** The wait has a time limit: the thread's own timer is armed and among its wait blocks. */
  readonly waitTimer?: boolean;
  readonly contextSwitches?: Value;
  readonly kernelTime?: Value;
  readonly userTime?: Value;
  readonly priority?: number;
  readonly basePriority?: number;
  readonly priorityDecrement?: number;
  readonly decrementCount?: number;
  readonly affinity?: Value;
  readonly idealProcessor?: number;
  readonly processor?: number; // NextProcessor
  readonly stack?: StackSpec;
  readonly startAddress?: Value;
  readonly win32StartAddress?: Value;
  readonly trapFrame?: Value;
  readonly irps?: readonly IrpSpec[];
  readonly suspendCount?: number;
  readonly fields?: Fields;
}

export interface ProcessSpec {
  readonly at?: Value;
  readonly pid: Value;
  readonly parent?: Value;
  readonly image: string;
  readonly peb?: Value;
  readonly deviceMap?: Value;
  readonly session?: Value;
  readonly threads?: Readonly<Record<string, ThreadSpec>>;
  readonly fields?: Fields;
  /** On PsActiveProcessHead; true when absent. */
  readonly listed?: boolean;
}

export interface QueuedDpcSpec {
  readonly at?: Value;
  readonly routine: Value;
  readonly context?: Value;
  readonly importance?: number;
  readonly threaded?: boolean;
}

export interface DpcSpec {
  readonly active?: boolean;
  /** Top of the DPC stack (KPRCB.DpcStack) and its lowest byte. */
  readonly stack?: { readonly base: Value; readonly limit: Value };
  readonly queue?: readonly QueuedDpcSpec[];
}

export interface ProcessorSpec {
  /** Name of the thread, or `idle`. */
  readonly thread: string;
  readonly next?: string;
  /** `bugchecking` writes the header CONTEXT; `frozen` saved the interrupted state; `stale` never answered. */
  readonly state: 'bugchecking' | 'frozen' | 'stale' | 'running';
  readonly kpcr?: Value;
  /** Saved CONTEXT: registers by WinDbg's names. */
  readonly context: Registers;
  readonly special?: Registers;
  readonly irql?: number;
  readonly debuggerSavedIrql?: number;
  readonly idle?: { readonly at?: Value; readonly stack?: StackSpec; readonly fields?: Fields };
  readonly dpc?: DpcSpec;
  readonly isrStack?: { readonly base: Value; readonly limit: Value };
  /** x64: the interrupt stack table's entry 3 (NMI). */
  readonly nmiStack?: { readonly base: Value; readonly limit: Value };
  readonly lockQueue?: Readonly<Record<string, { readonly next: Value; readonly lock: Value }>>;
  readonly fields?: Fields;
  readonly kpcrFields?: Fields;
}

/** A stack frame, innermost first. x86: by `ebp`; x64: by `sp`, or placed by the image's unwind data; ARM64: by `fp`. */
export interface FrameSpec {
  readonly at?: string; // for the reader: where the frame's pc is
  readonly ebp?: Value;
  readonly fp?: Value;
  readonly sp?: Value;
  /** x64: pc of this frame, where no return address below it says so (behind a trap frame). */
  readonly pc?: Value;
  /** Return address of this frame (an address in its caller). */
  readonly ret?: Value;
  readonly args?: readonly Value[];
  /** x86: words below ebp by offset (`-20`: dword). x64: slots from sp by offset. */
  readonly slots?: Readonly<Record<string, Value>>;
  /** Values of non-volatile registers in the caller, put where this frame's prologue saved them (x64). */
  readonly saved?: Registers;
}

export interface StackContents {
  readonly frames: readonly FrameSpec[];
  /** x64: sp of the first frame when frames are placed by unwind data. */
  readonly sp?: Value;
  /** x64: pc of the first frame, for its unwind data. */
  readonly pc?: Value;
  readonly process?: string;
}

export interface TrapFrameSpec {
  readonly at: Value;
  readonly regs: Registers;
  readonly errorCode?: Value;
  readonly previousIrql?: number;
  readonly previousMode?: 'kernel' | 'user';
  readonly fields?: Fields;
}

export interface ObjectSpec {
  readonly type: string;
  readonly at?: Value;
  readonly fields?: Fields;
  /** List heads (by field path) to make empty: both links to themselves. */
  readonly emptyLists?: readonly string[];
  readonly pool?: { readonly tag: string; readonly paged?: boolean; readonly free?: boolean };
  readonly size?: Value; // larger than the type's
}

export interface ResourceWaiterSpec {
  readonly thread: string;
  /** Address of its KWAIT_CHAIN_ENTRY, on builds that have one. */
  readonly entry?: Value;
}

export interface ResourceSpec {
  readonly at?: Value;
  /** Owned exclusively; true where there is one owner, unless said otherwise. */
  readonly exclusive?: boolean;
  readonly owners?: readonly { readonly thread: Value; readonly count?: number }[];
  readonly exclusiveWaiters?: readonly (string | ResourceWaiterSpec)[];
  readonly sharedWaiters?: readonly (string | ResourceWaiterSpec)[];
  readonly contention?: number;
  readonly activeCount?: number;
  /** False keeps it off nt!ExpSystemResourcesList. */
  readonly listed?: boolean;
  readonly fields?: Fields;
}

export interface ListSpec {
  readonly head: Value;
  /** Addresses of the LIST_ENTRYs in order. */
  readonly entries: readonly Value[];
}

export interface QueuedLockSpec {
  readonly kind: 'queued';
  readonly at: Value;
  /** Holder first. `owner`: set the OWNER bit (assembly kernels: x86 up to 6.1). */
  readonly queue: readonly { readonly handle: Value; readonly oldIrql?: number; readonly owner?: boolean }[];
}

export interface PlainLockSpec {
  readonly kind: 'plain';
  readonly at: Value;
  readonly held: boolean;
}

export type LockSpec = QueuedLockSpec | PlainLockSpec;

export interface DropSpec {
  readonly at: Value;
  readonly length?: Value;
  readonly process?: string;
  /**
   * `absent` (default): mapped, but the page is not in the dump. `unmapped`: no PTE. The others are the software
   * states of a PTE; `transition` and `prototype` pages stay readable.
   */
  readonly as?:
    | 'absent'
    | 'unmapped'
    | 'paged-out'
    | 'demand-zero'
    | 'transition'
    | 'prototype'
    | 'prototype-paged-out';
  readonly pageFile?: number;
  readonly offset?: Value;
}

export interface KdbgSpec {
  /** `plain`; `encoded` with KiWaitNever/KiWaitAlways; `absent`: header pointer 0 and no block. */
  readonly mode?: 'plain' | 'encoded' | 'absent';
  readonly size?: Value;
  readonly waitNever?: Value;
  readonly waitAlways?: Value;
  /** Moves every nt global by this much, so that no built-in table matches exactly. */
  readonly shift?: Value;
  readonly fields?: Fields;
}

export interface PhysicalSpec {
  /** First frame number of the upper run. */
  readonly upperBase?: Value;
  /** Declared present beyond the pages in use, never materialised (sparse file): first frame, frames. */
  readonly sparse?: { readonly base: Value; readonly count: Value };
  /** Addresses whose enclosing large page (2 MiB, 4 MiB without PAE) is mapped as one. */
  readonly largePages?: readonly Value[];
  /** Device memory: mapped, in no dump. */
  readonly mmio?: readonly { readonly at: Value; readonly pa: Value }[];
}

export interface TriageSpec {
  /** More data blocks: address and length. */
  readonly blocks?: readonly { readonly at: Value; readonly length: Value }[];
  /** Split points: a data block that covers the address is cut there in two adjacent ones. */
  readonly splits?: readonly Value[];
  /** PRCBs (and their threads) of the other processors; when absent as Windows does: from 10 on. */
  readonly allProcessors?: boolean;
  /** Data blocks for all that `memory` and `locks` write; false when absent. */
  readonly memory?: boolean;
  readonly options?: Value;
  readonly brokenDriver?: string;
  readonly stackBytes?: Value;
  readonly codeBytes?: Value; // around each pc
}

export interface BlobSpec {
  readonly tag: string;
  readonly bytes: string;
}

export interface Scenario {
  readonly id: string;
  readonly title?: string;
  readonly about?: string;
  readonly arch: Arch;
  readonly pae?: boolean;
  readonly levels?: 4 | 5;
  readonly build: string;
  readonly dump: DumpKind;
  readonly images?: string;
  readonly symbols?: SymbolsSpec;
  readonly relocate?: Readonly<Record<string, Value>>;
  /** New order of the processors: entry i is the old number. */
  readonly processorOrder?: readonly number[];
  readonly header?: HeaderSpec;
  readonly time: TimeSpec;
  readonly kdbg?: KdbgSpec;
  readonly physical?: PhysicalSpec;
  readonly triage?: TriageSpec;
  readonly modules: Readonly<Record<string, ModuleSpec>>;
  readonly unloaded?: readonly UnloadedSpec[];
  readonly processors: readonly ProcessorSpec[];
  readonly processes: Readonly<Record<string, ProcessSpec>>;
  readonly objects?: Readonly<Record<string, ObjectSpec>>;
  readonly resources?: Readonly<Record<string, ResourceSpec>>;
  readonly lists?: readonly ListSpec[];
  readonly locks?: Readonly<Record<string, LockSpec>>;
  readonly trapFrames?: Readonly<Record<string, TrapFrameSpec>>;
  readonly stacks?: Readonly<Record<string, StackContents>>;
  readonly memory?: Readonly<Record<string, MemoryWrite | Value>>;
  readonly drop?: readonly (DropSpec | Value)[];
  readonly blobs?: readonly BlobSpec[];
  /** What a test may expect; the forge does not look at it. */
  readonly expect?: unknown;
}

/** A scenario that is another one with changes. */
export interface DerivedScenario {
  readonly id: string;
  readonly title?: string;
  readonly about?: string;
  readonly base: string;
  readonly patch: unknown;
  readonly expect?: unknown;
}
