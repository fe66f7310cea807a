import type { Rva } from '@dumpscope/core';
import type { LocalVariable } from './pdb/pdb-file.ts';
import type { SymbolType } from './pdb/symbol-type.ts';

export type SymbolOrigin = 'pdb-private' | 'pdb-public' | 'isf' | 'builtin' | 'export';

export interface ModuleSymbol {
  /** As stored: decorated for publics. */
  readonly name: string;
  /** As WinDbg prints it: `KeBugCheckEx`, `Foo::Bar`, without leading underscore or `@8`. */
  readonly display: string;
  readonly rva: Rva;
  readonly isFunction: boolean | null;
  /** Length in bytes where the source knows it (private procedures, .pdata). */
  readonly size: number | null;
}

/** Names of one module by RVA and back. */
export interface SymbolTable {
  readonly origin: SymbolOrigin;
  /** Exact, case-sensitive first and then case-insensitive, by display or stored name. */
  byName(name: string): ModuleSymbol | undefined;
  /** The last symbol at or below `rva`. */
  nearest(rva: number): ModuleSymbol | undefined;
  /** The first symbol above `rva`. */
  next(rva: number): ModuleSymbol | undefined;
  all(): Iterable<ModuleSymbol>;
}

/** A record of the PDB's FrameData ("new FPO") or FPO stream, offsets as RVAs, sizes in bytes. */
export interface X86FrameRecord {
  readonly kind: 'fpo' | 'frame-data';
  readonly rva: Rva;
  readonly codeSize: number;
  readonly localsSize: number;
  readonly paramsSize: number;
  readonly prologSize: number;
  readonly savedRegsSize: number;
  /** FPO_DATA.cbFrame: 0 fpo, 1 trap, 2 tss, 3 non-fpo; frame-data: null. */
  readonly frameType: number | null;
  readonly hasSeh: boolean;
  readonly usesBasePointer: boolean;
  readonly isFunctionStart: boolean;
  /** FrameData program, `$T0 .raSearch = …`; empty for FPO. */
  readonly program: string;
}

export interface SourceLine {
  readonly file: string;
  readonly line: number;
  readonly rva: Rva;
}

/** A function that was inlined at an address; `file` and `line` are the position inside of it, null where unknown. */
export interface InlineFrame {
  readonly name: string;
  readonly file: string | null;
  readonly line: number | null;
}

/** RVAs; ends exclusive. */
export interface SeparatedPiece {
  readonly begin: number;
  readonly end: number;
  readonly functionStart: number;
  readonly functionEnd: number;
}

/** All that a PDB (or what stands in for it) knows about one image. */
export interface ModuleDebugInfo {
  readonly symbols: SymbolTable;
  /** Innermost record that covers `rva`. */
  frameRecord(rva: number): X86FrameRecord | undefined;
  line(rva: number): SourceLine | undefined;
  /** Inlined calls that `rva` lies in, innermost first; the line of the last call is what `line` gives. */
  inlineFrames?(rva: number): readonly InlineFrame[];
  /** Variables whose scope holds `rva`, parameters among them; private PDBs only. */
  locals?(rva: number): readonly LocalVariable[];
  /** A piece of code that was separated from its function (S_SEPCODE) and holds `rva`: its extent and its function's. */
  separatedCode?(rva: number): SeparatedPiece | undefined;
  /** Type of a variable or function that private symbols know; its names are of the module's own PDB. */
  symbolType?(symbol: ModuleSymbol): SymbolType | undefined;
}
