import * as L from './leaf-kinds.ts';
import { readNumeric } from './numeric.ts';
import { recordName } from './publics.ts';

const PROPERTY_FORWARD = 0x80;
const PROPERTY_SCOPED = 0x100;
const PROPERTY_UNIQUE_NAME = 0x200;

/** A type record, as far as layouts need it; type indices are numbers. */
export type TypeRecord =
  | {
      readonly kind: 'struct';
      readonly form: 'struct' | 'union' | 'class';
      readonly name: string;
      readonly uniqueName: string | null;
      readonly size: number;
      readonly fields: number;
      readonly isForward: boolean;
      readonly isScoped: boolean;
    }
  | {
      readonly kind: 'enum';
      readonly name: string;
      readonly uniqueName: string | null;
      readonly underlying: number;
      readonly fields: number;
      readonly isForward: boolean;
      readonly isScoped: boolean;
    }
  | {
      readonly kind: 'pointer';
      readonly to: number;
      readonly size: number;
      /** 0 pointer, 1 reference, 2 to data member, 3 to member function, 4 rvalue reference. */
      readonly mode: number;
    }
  | { readonly kind: 'modifier'; readonly of: number }
  | { readonly kind: 'array'; readonly of: number; readonly size: number; readonly stride: number | null }
  | { readonly kind: 'bitfield'; readonly of: number; readonly position: number; readonly length: number }
  | { readonly kind: 'alias'; readonly of: number; readonly name: string }
  | { readonly kind: 'function'; readonly result: number }
  | { readonly kind: 'field-list'; readonly start: number; readonly end: number }
  | { readonly kind: 'other'; readonly leaf: number };

/** Sizes of pointers by CV_ptrtype_e, for records that do not carry their size. */
const POINTER_TYPE_SIZES = [2, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 6, 8] as const;

/** Decodes the record whose leaf word is at `at` and which ends at `end`. A record that does not fit is `other`. */
export function parseTypeRecord(bytes: Uint8Array, at: number, end: number): TypeRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const leaf = view.getUint16(at, true);
  const other: TypeRecord = { kind: 'other', leaf };
  const fits = (n: number): boolean => at + 2 + n <= end;
  const u16 = (offset: number): number => view.getUint16(at + 2 + offset, true);
  const u32 = (offset: number): number => view.getUint32(at + 2 + offset, true);
  switch (leaf) {
    case L.LF_CLASS:
    case L.LF_STRUCTURE:
    case L.LF_INTERFACE:
    case L.LF_CLASS_ST:
    case L.LF_STRUCTURE_ST: {
      if (!fits(18)) return other;
      const form = leaf === L.LF_STRUCTURE || leaf === L.LF_STRUCTURE_ST ? 'struct' : 'class';
      return udt(bytes, view, at + 18, end, form, u16(2), u32(4), leaf < 0x1500);
    }
    // VS 2019 and later, for types of very many members: 32-bit properties, the count as a numeric leaf.
    case L.LF_CLASS2:
    case L.LF_STRUCTURE2:
    case L.LF_INTERFACE2:
    case L.LF_UNION2: {
      const isUnion = leaf === L.LF_UNION2;
      const body = at + (isUnion ? 10 : 18);
      if (!fits(8)) return other;
      const count = readNumeric(view, body, end);
      if (count.size === 0) return other;
      const form = isUnion ? 'union' : leaf === L.LF_STRUCTURE2 ? 'struct' : 'class';
      return udt(bytes, view, body + count.size, end, form, u32(0), u32(4), false);
    }
    case L.LF_UNION:
    case L.LF_UNION_ST:
      if (!fits(10)) return other;
      return udt(bytes, view, at + 10, end, 'union', u16(2), u32(4), leaf < 0x1500);
    case L.LF_CLASS_16T:
    case L.LF_STRUCTURE_16T: {
      if (!fits(12)) return other;
      return udt(bytes, view, at + 12, end, leaf === L.LF_CLASS_16T ? 'class' : 'struct', u16(4), u16(2), true);
    }
    case L.LF_UNION_16T:
      if (!fits(8)) return other;
      return udt(bytes, view, at + 8, end, 'union', u16(4), u16(2), true);
    case L.LF_ENUM:
    case L.LF_ENUM_ST: {
      if (!fits(13)) return other;
      const names = udtNames(bytes, at + 14, end, u16(2), leaf < 0x1500);
      return { kind: 'enum', ...names, ...flags(u16(2)), underlying: u32(4), fields: u32(8) };
    }
    case L.LF_ENUM_16T: {
      if (!fits(9)) return other;
      const names = udtNames(bytes, at + 10, end, u16(6), true);
      return { kind: 'enum', ...names, ...flags(u16(6)), underlying: u16(2), fields: u16(4) };
    }
    case L.LF_POINTER: {
      if (!fits(8)) return other;
      const attributes = u32(4);
      const stored = (attributes >>> 13) & 0x3f;
      const size = stored !== 0 ? stored : (POINTER_TYPE_SIZES[attributes & 0x1f] ?? 0);
      return { kind: 'pointer', to: u32(0), size, mode: (attributes >>> 5) & 7 };
    }
    case L.LF_POINTER_16T: {
      if (!fits(4)) return other;
      const attributes = u16(0);
      return {
        kind: 'pointer',
        to: u16(2),
        size: POINTER_TYPE_SIZES[attributes & 0x1f] ?? 0,
        mode: (attributes >>> 5) & 7,
      };
    }
    case L.LF_MODIFIER:
    case L.LF_MODIFIER_EX:
      return fits(4) ? { kind: 'modifier', of: u32(0) } : other;
    case L.LF_MODIFIER_16T:
      return fits(4) ? { kind: 'modifier', of: u16(2) } : other;
    case L.LF_ARRAY:
    case L.LF_ARRAY_ST:
    case L.LF_VECTOR: {
      if (!fits(10)) return other;
      return { kind: 'array', of: u32(0), size: Number(readNumeric(view, at + 10, end).value), stride: null };
    }
    case L.LF_ARRAY_16T:
      if (!fits(6)) return other;
      return { kind: 'array', of: u16(0), size: Number(readNumeric(view, at + 6, end).value), stride: null };
    case L.LF_STRIDED_ARRAY: {
      if (!fits(14)) return other;
      return { kind: 'array', of: u32(0), size: Number(readNumeric(view, at + 14, end).value), stride: u32(8) };
    }
    case L.LF_BITFIELD:
      if (!fits(6)) return other;
      return { kind: 'bitfield', of: u32(0), length: bytes[at + 6] ?? 0, position: bytes[at + 7] ?? 0 };
    case L.LF_BITFIELD_16T:
      if (!fits(4)) return other;
      return { kind: 'bitfield', of: u16(2), length: bytes[at + 2] ?? 0, position: bytes[at + 3] ?? 0 };
    case L.LF_ALIAS:
    case L.LF_ALIAS_ST:
      if (!fits(5)) return other;
      return { kind: 'alias', of: u32(0), name: recordName(bytes, at + 6, end, leaf === L.LF_ALIAS_ST) };
    case L.LF_PROCEDURE:
    case L.LF_MFUNCTION:
      return fits(4) ? { kind: 'function', result: u32(0) } : other;
    case L.LF_PROCEDURE_16T:
    case L.LF_MFUNCTION_16T:
      return fits(2) ? { kind: 'function', result: u16(0) } : other;
    case L.LF_FIELDLIST:
    case L.LF_FIELDLIST_16T:
      return { kind: 'field-list', start: at + 2, end };
    default:
      return other;
  }
}

function flags(property: number): { isForward: boolean; isScoped: boolean } {
  return { isForward: (property & PROPERTY_FORWARD) !== 0, isScoped: (property & PROPERTY_SCOPED) !== 0 };
}

function udtNames(
  bytes: Uint8Array,
  at: number,
  end: number,
  property: number,
  isSt: boolean,
): { name: string; uniqueName: string | null } {
  const name = recordName(bytes, at, end, isSt);
  if (isSt || (property & PROPERTY_UNIQUE_NAME) === 0) return { name, uniqueName: null };
  const nul = bytes.indexOf(0, at);
  return { name, uniqueName: nul < 0 || nul + 1 >= end ? null : recordName(bytes, nul + 1, end, false) };
}

function udt(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  end: number,
  form: 'struct' | 'union' | 'class',
  property: number,
  fields: number,
  isSt: boolean,
): TypeRecord {
  const size = readNumeric(view, at, end);
  if (size.size === 0) return { kind: 'other', leaf: 0 };
  const names = udtNames(bytes, at + size.size, end, property, isSt);
  return { kind: 'struct', form, ...names, ...flags(property), size: Number(size.value), fields };
}
