import type { Pa, Va } from './brands.ts';
import type { MemoryReader } from './memory.ts';
import type { Problem } from './problems.ts';

export type Arch = 'x86' | 'x64' | 'arm64';

/** Container kinds by DumpType (F88/F98); `reference` for each layout is in docs/architecture.md. */
export type DumpKind =
  | 'full' // 1
  | 'kernel-summary' // 2
  | 'header-only' // 3
  | 'triage' // 4
  | 'bitmap-full' // 5
  | 'bitmap-kernel' // 6
  | 'automatic' // 7
  | 'range-kernel' // 8
  | 'range-kernel-user' // 9
  | 'range-full'; // 0xA

export interface ExceptionRecord {
  readonly code: number;
  readonly flags: number;
  readonly record: Va;
  readonly address: Va;
  readonly parameters: readonly bigint[];
}

export interface PhysicalMemoryRun {
  readonly basePage: number;
  readonly pageCount: number;
}

export interface PhysicalMemoryBlock {
  /** What the header says; `runs` holds at most 86 (32-bit) or 43 (64-bit) of them, all that fits. */
  readonly numberOfRuns: number;
  readonly numberOfPages: number;
  readonly runs: readonly PhysicalMemoryRun[];
}

/** A field that Windows did not write (filled with the pattern `PAGE`) is null. */
export interface DumpHeader {
  readonly majorVersion: number;
  readonly minorVersion: number; // NT build number
  readonly directoryTableBase: Pa | null;
  readonly pfnDatabase: Va | null;
  readonly psLoadedModuleList: Va | null;
  readonly psActiveProcessHead: Va | null;
  readonly machineImageType: number;
  readonly numberProcessors: number;
  /** Header bytes that come before the container: 0x1000 or 0x2000. */
  readonly size: number;
  readonly bugCheckCode: number;
  readonly bugCheckParameters: readonly [bigint, bigint, bigint, bigint];
  readonly versionUser: string;
  readonly paeEnabled: boolean | null; // 32-bit only
  readonly kdDebuggerDataBlock: Va | null;
  readonly dumpType: number;
  readonly miniDumpFields: number | null;
  readonly secondaryDataState: number | null;
  readonly productType: number | null;
  readonly suiteMask: number | null;
  readonly writerStatus: number | null;
  readonly attributes: number | null; // 64-bit only
  readonly requiredDumpSpace: number | null;
  readonly systemUpTime: bigint | null; // 100 ns
  readonly systemTime: bigint | null; // FILETIME
  readonly bootId: number | null; // 64-bit only
  readonly comment: string;
  readonly kdSecondaryVersion: number | null;
  /** PHYSICAL_MEMORY_DESCRIPTOR as far as it fits into the header; null when unwritten. */
  readonly physicalMemoryBlock: PhysicalMemoryBlock | null;
  readonly exception: ExceptionRecord | null;
  readonly exceptionOffset: number;
  /** Raw CONTEXT bytes of the header (the triage ContextOffset where that differs), or null when unwritten. */
  readonly context: Uint8Array | null;
  readonly contextOffset: number;
}

export interface PhysicalMemory {
  /** Pages that the container says it holds (present bits, run counts). */
  readonly pageCount: number;
  /** Copies bytes of one or more physical pages; returns the count of leading bytes that are there. */
  readInto(address: Pa, into: Uint8Array): number;
  /** File offset of a physical page; -1 when the dump does not hold it; -2 when it lies beyond a truncated end. */
  pageOffset(pfn: number): number;
}

export interface DataBlock {
  readonly address: Va;
  readonly offset: number;
  readonly size: number;
}

export interface TriageDriver {
  readonly base: Va;
  readonly entryPoint: Va;
  readonly size: number;
  readonly name: string;
  readonly checkSum: number | null;
  readonly timeDateStamp: number | null;
}

export interface UnloadedDriver {
  readonly name: string;
  readonly start: Va;
  readonly end: Va;
  readonly time: bigint | null;
}

/** TRIAGE_DUMP32/64 and what its offsets lead to. Raw PRCB/process/thread images are at file offsets. */
export interface TriageData {
  readonly options: number;
  readonly sizeOfDump: number;
  readonly servicePackBuild: number;
  readonly topOfStack: Va;
  readonly callStackOffset: number;
  readonly callStackSize: number;
  readonly dataPage: DataBlock | null;
  readonly prcbOffset: number; // 0 when absent
  readonly processOffset: number;
  readonly threadOffset: number;
  readonly brokenDriverOffset: number;
  readonly mmOffset: number;
  readonly kdbgOffset: number;
  readonly kdbgSize: number;
  readonly blocks: readonly DataBlock[];
  readonly drivers: readonly TriageDriver[];
  readonly unloaded: readonly UnloadedDriver[];
}

/** One tagged blob of secondary data. */
export interface SecondaryBlob {
  readonly tag: string; // GUID, lower case, with dashes
  readonly offset: number;
  readonly size: number;
}

/** How virtual addresses are translated, and what it was decided by. */
export interface Paging {
  readonly mode: PagingMode;
  /** One line for reports: `header`, or which pointers agreed. */
  readonly how: string;
}

export type PagingMode = 'x86' | 'x86-pae' | 'x64-4-level' | 'x64-5-level' | 'arm64';

export interface Dump {
  readonly kind: DumpKind;
  readonly arch: Arch;
  readonly pointerSize: 4 | 8;
  readonly header: DumpHeader;
  readonly name: string;
  readonly fileSize: number;
  readonly problems: readonly Problem[];
  /** All that the container promises is in the file. */
  readonly complete: boolean;
  /** Null for triage dumps and for containers without pages. */
  readonly physical: PhysicalMemory | null;
  readonly triage: TriageData | null;
  readonly blobs: readonly SecondaryBlob[];
  /**
   * Virtual memory: the kernel's address space, or that of another process by its directory table base. A triage dump
   * has one overlay for all.
   */
  memory(directoryTableBase?: Pa): MemoryReader;
  /** Page-table format in use, decided at first need; null where nothing is translated (triage, header only). */
  readonly paging: Paging | null;
  /**
   * Triage dumps: makes `size` file bytes at `offset` readable at `address` in every reader of this dump, behind what
   * is there already. For the raw PRCB, EPROCESS and ETHREAD images, whose addresses the file does not tell. Other
   * containers ignore it.
   */
  overlay(address: Va, offset: number, size: number): void;
  /** Raw file bytes, for structures that lie outside any address space (triage PRCB, blobs, KDBG copy). */
  fileBytes(offset: number, length: number): Uint8Array;
}
