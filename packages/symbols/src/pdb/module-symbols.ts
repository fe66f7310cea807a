import { u16, u32 } from '../pe/rva-reader.ts';
import type { DbiModule } from './dbi.ts';
import { PdbError } from './errors.ts';
import type { Msf } from './msf.ts';
import { recordName } from './publics.ts';
import * as S from './symbol-kinds.ts';

/** A procedure or thunk of a module's private symbols; section:offset as stored. */
export interface ProcedureRecord {
  readonly kind: 'procedure' | 'thunk';
  readonly name: string;
  readonly section: number;
  readonly offset: number;
  readonly size: number;
  /** Offsets from the start where the prologue ends and the epilogue begins. */
  readonly prologEnd: number;
  readonly epilogStart: number;
  readonly isGlobal: boolean;
  /** Function type, or for `_ID` records the item of the IPI stream. */
  readonly type: number;
  readonly isItemId: boolean;
  readonly module: number;
  /** Offset of the record in the module's stream and of the record that ends its scope. */
  readonly record: number;
  readonly end: number;
}

/** S_SEPCODE: a range of code that was moved away from its procedure. */
export interface SeparatedCode {
  readonly section: number;
  readonly offset: number;
  readonly size: number;
  readonly parentSection: number;
  readonly parentOffset: number;
}

export interface LabelRecord {
  readonly name: string;
  readonly section: number;
  readonly offset: number;
}

export interface ModuleSymbols {
  readonly procedures: readonly ProcedureRecord[];
  readonly separated: readonly SeparatedCode[];
  readonly labels: readonly LabelRecord[];
}

/** One symbol record: `at` is the offset of its length word, `end` one past it. */
export interface SymbolRecord {
  readonly kind: number;
  readonly at: number;
  readonly end: number;
}

/** Bytes of the symbols of a module's stream (from the stream's start, so that record offsets are indices). */
export function moduleSymbolBytes(msf: Msf, module: DbiModule): Uint8Array {
  if (module.stream < 0 || module.symbolBytes <= 4) return new Uint8Array(0);
  const stream = msf.stream(module.stream);
  return stream.bytes(0, Math.min(module.symbolBytes, stream.length));
}

/** Records from `start`; stops at a record that does not fit. */
export function* symbolRecords(bytes: Uint8Array, start = 4): Generator<SymbolRecord> {
  for (let at = start; at + 4 <= bytes.length; ) {
    const end = at + 2 + u16(bytes, at);
    if (end < at + 4 || end > bytes.length) return;
    yield { kind: u16(bytes, at + 2), at, end };
    at = end;
  }
}

/** Whether a record opens a scope that S_END (or a kin of it) closes. */
export function opensScope(kind: number): boolean {
  return (
    isProcedure(kind) ||
    kind === S.S_THUNK32 ||
    kind === S.S_THUNK32_ST ||
    kind === S.S_BLOCK32 ||
    kind === S.S_BLOCK32_ST ||
    kind === S.S_WITH32 ||
    kind === S.S_WITH32_ST ||
    kind === S.S_SEPCODE ||
    kind === S.S_INLINESITE ||
    kind === S.S_INLINESITE2
  );
}

export function closesScope(kind: number): boolean {
  return kind === S.S_END || kind === S.S_INLINESITE_END || kind === S.S_PROC_ID_END;
}

export function isProcedure(kind: number): boolean {
  switch (kind) {
    case S.S_GPROC32:
    case S.S_LPROC32:
    case S.S_GPROC32_ID:
    case S.S_LPROC32_ID:
    case S.S_LPROC32_DPC:
    case S.S_LPROC32_DPC_ID:
    case S.S_GPROC32_ST:
    case S.S_LPROC32_ST:
    case S.S_GPROC32_16T:
    case S.S_LPROC32_16T:
      return true;
    default:
      return false;
  }
}

function isGlobalKind(kind: number): boolean {
  return kind === S.S_GPROC32 || kind === S.S_GPROC32_ID || kind === S.S_GPROC32_ST || kind === S.S_GPROC32_16T;
}

/** A procedure or thunk record; null for other kinds and for one that is too short. */
export function parseProcedure(bytes: Uint8Array, record: SymbolRecord, module: number): ProcedureRecord | null {
  const { kind, at, end } = record;
  if (isProcedure(kind)) {
    const is16 = kind === S.S_GPROC32_16T || kind === S.S_LPROC32_16T;
    const isSt = is16 || kind === S.S_GPROC32_ST || kind === S.S_LPROC32_ST;
    const name = at + (is16 ? 37 : 39);
    if (name > end) return null;
    return {
      kind: 'procedure',
      name: recordName(bytes, name, end, isSt),
      size: u32(bytes, at + 16),
      prologEnd: u32(bytes, at + 20),
      epilogStart: u32(bytes, at + 24),
      offset: u32(bytes, at + (is16 ? 28 : 32)),
      section: u16(bytes, at + (is16 ? 32 : 36)),
      type: is16 ? u16(bytes, at + 34) : u32(bytes, at + 28),
      isItemId: kind === S.S_GPROC32_ID || kind === S.S_LPROC32_ID || kind === S.S_LPROC32_DPC_ID,
      isGlobal: isGlobalKind(kind),
      module,
      record: at,
      end: u32(bytes, at + 8),
    };
  }
  if ((kind === S.S_THUNK32 || kind === S.S_THUNK32_ST) && at + 25 <= end) {
    return {
      kind: 'thunk',
      name: recordName(bytes, at + 25, end, kind === S.S_THUNK32_ST),
      offset: u32(bytes, at + 16),
      section: u16(bytes, at + 20),
      size: u16(bytes, at + 22),
      prologEnd: 0,
      epilogStart: 0,
      type: 0,
      isItemId: false,
      isGlobal: false,
      module,
      record: at,
      end: u32(bytes, at + 8),
    };
  }
  return null;
}

/** One pass over a module's symbols. */
export function readModuleSymbols(msf: Msf, module: DbiModule): ModuleSymbols {
  const bytes = moduleSymbolBytes(msf, module);
  const procedures: ProcedureRecord[] = [];
  const separated: SeparatedCode[] = [];
  const labels: LabelRecord[] = [];
  for (const record of symbolRecords(bytes)) {
    const { kind, at, end } = record;
    if (kind === S.S_SEPCODE) {
      if (at + 32 > end) continue;
      separated.push({
        size: u32(bytes, at + 12),
        offset: u32(bytes, at + 20),
        parentOffset: u32(bytes, at + 24),
        section: u16(bytes, at + 28),
        parentSection: u16(bytes, at + 30),
      });
    } else if (kind === S.S_LABEL32 || kind === S.S_LABEL32_ST) {
      if (at + 11 > end) continue;
      labels.push({
        name: recordName(bytes, at + 11, end, kind === S.S_LABEL32_ST),
        offset: u32(bytes, at + 4),
        section: u16(bytes, at + 8),
      });
    } else {
      const procedure = parseProcedure(bytes, record, module.index);
      if (procedure !== null) procedures.push(procedure);
    }
  }
  return { procedures, separated, labels };
}

/** The procedure record at an offset of a module's stream, as S_PROCREF points at it. */
export function procedureAt(msf: Msf, module: DbiModule, offset: number): ProcedureRecord | null {
  if (module.stream < 0 || offset < 4 || offset + 4 > module.symbolBytes) return null;
  const stream = msf.stream(module.stream);
  try {
    const head = stream.bytes(offset, 4);
    const length = u16(head, 0) + 2;
    if (length < 4) return null;
    const bytes = stream.bytes(offset, length);
    const found = parseProcedure(bytes, { kind: u16(head, 2), at: 0, end: length }, module.index);
    return found === null ? null : { ...found, record: offset };
  } catch (error) {
    if (error instanceof PdbError) return null;
    throw error;
  }
}
