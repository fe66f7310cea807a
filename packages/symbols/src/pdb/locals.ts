import { MACHINE_AMD64, MACHINE_ARM64, MACHINE_I386 } from '../pe/headers.ts';
import { u16, u32 } from '../pe/rva-reader.ts';
import { closesScope, opensScope, type SymbolRecord, symbolRecords } from './module-symbols.ts';
import { recordName } from './publics.ts';
import * as S from './symbol-kinds.ts';

/** Where a variable is. Registers are CodeView numbers. */
export type LocalPlace =
  | { readonly kind: 'register'; readonly register: number; readonly offsetInParent: number }
  | { readonly kind: 'memory'; readonly register: number; readonly offset: number }
  /** Relative to the register that S_FRAMEPROC names for locals or for parameters. */
  | { readonly kind: 'frame'; readonly offset: number }
  | { readonly kind: 'static'; readonly section: number; readonly offset: number };

/** A place and the code for which it holds: section:offset and size, less the gaps; null for the whole scope. */
export interface PlacedRange {
  readonly place: LocalPlace;
  readonly range: { readonly section: number; readonly offset: number; readonly size: number } | null;
  readonly gaps: readonly { readonly offset: number; readonly size: number }[];
}

export interface LocalRecord {
  readonly name: string;
  readonly type: number;
  readonly isParameter: boolean;
  readonly isOptimizedAway: boolean;
  /** Belongs to a function that was inlined. */
  readonly isInlined: boolean;
  /** The block that it is declared in; null for the procedure. */
  readonly block: { readonly section: number; readonly offset: number; readonly size: number } | null;
  readonly places: readonly PlacedRange[];
}

/** CodeView registers that S_FRAMEPROC names as bases of `frame` places; null for a procedure without frame. */
export interface FrameRegisters {
  readonly locals: number | null;
  readonly parameters: number | null;
}

/** By the two-bit code of S_FRAMEPROC: 1 stack pointer (on x86 the virtual frame), 2 frame pointer, 3 another. */
const FRAME_REGISTERS: Readonly<Record<number, readonly number[]>> = {
  [MACHINE_I386]: [30006, 22, 20],
  [MACHINE_AMD64]: [335, 334, 341],
  [MACHINE_ARM64]: [81, 79],
};

/** Reads the S_FRAMEPROC of the procedure whose record is at `start`. */
export function readFrameRegisters(bytes: Uint8Array, start: number, machine: number): FrameRegisters {
  let depth = 0;
  for (const { kind, at, end } of symbolRecords(bytes, start)) {
    if (opensScope(kind)) depth++;
    else if (closesScope(kind) && --depth <= 0) break;
    if (kind !== S.S_FRAMEPROC || at + 30 > end) continue;
    const flags = u32(bytes, at + 26);
    const of = (code: number): number | null => (code === 0 ? null : (FRAME_REGISTERS[machine]?.[code - 1] ?? null));
    return { locals: of((flags >>> 14) & 3), parameters: of((flags >>> 16) & 3) };
  }
  return { locals: null, parameters: null };
}

interface Scope {
  readonly block: LocalRecord['block'];
  readonly isInlined: boolean;
}

/** Variables in the scope of the procedure whose record is at `start` of the module's symbols. */
export function readLocals(bytes: Uint8Array, start: number): LocalRecord[] {
  const out: (LocalRecord & { places: PlacedRange[] })[] = [];
  const open: Scope[] = [];
  /** The variable that the following ranges belong to. */
  let current: (LocalRecord & { places: PlacedRange[] }) | null = null;
  for (const record of symbolRecords(bytes, start)) {
    const { kind, at, end } = record;
    if (closesScope(kind)) {
      open.pop();
      current = null;
      if (open.length === 0) break;
      continue;
    }
    if (opensScope(kind)) {
      const outer = open.at(-1) ?? { block: null, isInlined: false };
      const isBlock = (kind === S.S_BLOCK32 || kind === S.S_BLOCK32_ST) && at + 22 <= end;
      open.push({
        block: isBlock
          ? { size: u32(bytes, at + 12), offset: u32(bytes, at + 16), section: u16(bytes, at + 20) }
          : outer.block,
        isInlined: outer.isInlined || kind === S.S_INLINESITE || kind === S.S_INLINESITE2,
      });
      current = null;
      continue;
    }
    const scope = open.at(-1);
    if (scope === undefined) break;
    const found = variable(bytes, record);
    if (found !== null) {
      current = {
        ...found,
        ...scope,
        places: found.place === null ? [] : [{ place: found.place, range: null, gaps: [] }],
      };
      out.push(current);
      continue;
    }
    const range = current === null ? null : definitionRange(bytes, record);
    if (range !== null) current?.places.push(range);
  }
  return out;
}

interface Variable {
  readonly name: string;
  readonly type: number;
  readonly isParameter: boolean;
  readonly isOptimizedAway: boolean;
  readonly place: LocalPlace | null;
}

function variable(bytes: Uint8Array, record: SymbolRecord): Variable | null {
  const { kind, at, end } = record;
  const make = (name: number, isSt: boolean, type: number, place: LocalPlace | null, flags = 0): Variable | null =>
    name > end
      ? null
      : {
          name: recordName(bytes, name, end, isSt),
          type,
          isParameter: (flags & 1) !== 0,
          isOptimizedAway: (flags & 0x100) !== 0,
          place,
        };
  switch (kind) {
    case S.S_LOCAL:
      return make(at + 10, false, u32(bytes, at + 4), null, u16(bytes, at + 8));
    // A file's static variable that is kept in registers for a while.
    case S.S_FILESTATIC:
      return make(at + 14, false, u32(bytes, at + 4), null, u16(bytes, at + 12));
    case S.S_BPREL32:
    case S.S_BPREL32_ST:
      return bpRelative(make(at + 12, kind === S.S_BPREL32_ST, u32(bytes, at + 8), frame(bytes, at + 4)));
    case S.S_BPREL32_16T:
      return bpRelative(make(at + 10, true, u16(bytes, at + 8), frame(bytes, at + 4)));
    case S.S_REGREL32:
    case S.S_REGREL32_ST: {
      const place: LocalPlace = { kind: 'memory', register: u16(bytes, at + 12), offset: u32(bytes, at + 4) | 0 };
      return make(at + 14, kind === S.S_REGREL32_ST, u32(bytes, at + 8), place);
    }
    case S.S_REGREL32_16T: {
      const place: LocalPlace = { kind: 'memory', register: u16(bytes, at + 8), offset: u32(bytes, at + 4) | 0 };
      return make(at + 12, true, u16(bytes, at + 10), place);
    }
    case S.S_REGISTER:
    case S.S_REGISTER_ST: {
      const place: LocalPlace = { kind: 'register', register: u16(bytes, at + 8), offsetInParent: 0 };
      return make(at + 10, kind === S.S_REGISTER_ST, u32(bytes, at + 4), place);
    }
    case S.S_LDATA32:
    case S.S_LDATA32_ST: {
      const place: LocalPlace = { kind: 'static', offset: u32(bytes, at + 8), section: u16(bytes, at + 12) };
      return make(at + 14, kind === S.S_LDATA32_ST, u32(bytes, at + 4), place);
    }
    default:
      return null;
  }
}

function frame(bytes: Uint8Array, at: number): LocalPlace {
  return { kind: 'frame', offset: u32(bytes, at) | 0 };
}

/** The records from before S_LOCAL do not tell parameters from locals; above the frame there are only parameters. */
function bpRelative(found: Variable | null): Variable | null {
  return found?.place?.kind === 'frame' && found.place.offset > 0 ? { ...found, isParameter: true } : found;
}

function definitionRange(bytes: Uint8Array, record: SymbolRecord): PlacedRange | null {
  const { kind, at, end } = record;
  const ranged = (place: LocalPlace, range: number): PlacedRange | null => {
    if (range + 8 > end) return null;
    const gaps: { offset: number; size: number }[] = [];
    for (let gap = range + 8; gap + 4 <= end; gap += 4) {
      gaps.push({ offset: u16(bytes, gap), size: u16(bytes, gap + 2) });
    }
    return {
      place,
      range: { offset: u32(bytes, range), section: u16(bytes, range + 4), size: u16(bytes, range + 6) },
      gaps,
    };
  };
  switch (kind) {
    case S.S_DEFRANGE_REGISTER:
      return ranged({ kind: 'register', register: u16(bytes, at + 4), offsetInParent: 0 }, at + 8);
    case S.S_DEFRANGE_SUBFIELD_REGISTER: {
      const offsetInParent = u32(bytes, at + 8) & 0xfff;
      return ranged({ kind: 'register', register: u16(bytes, at + 4), offsetInParent }, at + 12);
    }
    case S.S_DEFRANGE_REGISTER_REL:
      return ranged({ kind: 'memory', register: u16(bytes, at + 4), offset: u32(bytes, at + 8) | 0 }, at + 12);
    case S.S_DEFRANGE_FRAMEPOINTER_REL:
      return ranged(frame(bytes, at + 4), at + 8);
    case S.S_DEFRANGE_FRAMEPOINTER_REL_FULL_SCOPE:
      return at + 8 > end ? null : { place: frame(bytes, at + 4), range: null, gaps: [] };
    default:
      return null;
  }
}
