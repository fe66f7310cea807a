import type { TypeRef } from '../type-table.ts';

type Base = readonly [name: string, size: number, signed: boolean, form: 'int' | 'char' | 'bool' | 'float' | 'void'];

/** Low byte of a type index below 0x1000 (cvinfo.h, TYPE_ENUM_e). */
const KINDS: Readonly<Record<number, Base>> = {
  0: ['<none>', 0, false, 'void'],
  1: ['<absolute>', 0, false, 'void'],
  2: ['<segment>', 2, false, 'int'],
  3: ['void', 0, false, 'void'],
  4: ['<currency>', 8, true, 'int'],
  7: ['<not translated>', 0, false, 'void'],
  8: ['HRESULT', 4, true, 'int'],
  16: ['signed char', 1, true, 'char'],
  17: ['short', 2, true, 'int'],
  18: ['long', 4, true, 'int'],
  19: ['__int64', 8, true, 'int'],
  20: ['__int128', 16, true, 'int'],
  32: ['unsigned char', 1, false, 'char'],
  33: ['unsigned short', 2, false, 'int'],
  34: ['unsigned long', 4, false, 'int'],
  35: ['unsigned __int64', 8, false, 'int'],
  36: ['unsigned __int128', 16, false, 'int'],
  48: ['bool', 1, false, 'bool'],
  49: ['bool16', 2, false, 'bool'],
  50: ['bool32', 4, false, 'bool'],
  51: ['bool64', 8, false, 'bool'],
  52: ['bool128', 16, false, 'bool'],
  64: ['float', 4, true, 'float'],
  65: ['double', 8, true, 'float'],
  66: ['long double', 10, true, 'float'],
  67: ['float128', 16, true, 'float'],
  68: ['float48', 6, true, 'float'],
  69: ['float', 4, true, 'float'],
  70: ['half', 2, true, 'float'],
  80: ['_Complex float', 8, true, 'float'],
  81: ['_Complex double', 16, true, 'float'],
  82: ['_Complex long double', 20, true, 'float'],
  83: ['_Complex float128', 32, true, 'float'],
  98: ['bool32', 4, false, 'bool'],
  104: ['__int8', 1, true, 'int'],
  105: ['unsigned __int8', 1, false, 'int'],
  112: ['char', 1, true, 'char'],
  113: ['wchar_t', 2, false, 'char'],
  114: ['__int16', 2, true, 'int'],
  115: ['unsigned __int16', 2, false, 'int'],
  116: ['int', 4, true, 'int'],
  117: ['unsigned int', 4, false, 'int'],
  118: ['__int64', 8, true, 'int'],
  119: ['unsigned __int64', 8, false, 'int'],
  120: ['__int128', 16, true, 'int'],
  121: ['unsigned __int128', 16, false, 'int'],
  122: ['char16_t', 2, false, 'char'],
  123: ['char32_t', 4, false, 'char'],
  124: ['char8_t', 1, false, 'char'],
};

/** Size of a pointer by bits 8-10 of a simple type index; 0 for the type itself. */
const POINTER_SIZES = [0, 2, 4, 4, 4, 6, 8, 16] as const;

/** The type of an index below 0x1000. */
export function simpleType(index: number): TypeRef {
  const kind = KINDS[index & 0xff];
  const [name, size, signed, form] = kind ?? [`<simple type 0x${(index & 0xff).toString(16)}>`, 0, false, 'void'];
  const base: TypeRef = { kind: 'base', name, size, signed, form };
  const pointer = POINTER_SIZES[(index >> 8) & 7] ?? 0;
  return pointer === 0 ? base : { kind: 'pointer', to: base, size: pointer };
}

export function simpleSize(index: number): number {
  const pointer = POINTER_SIZES[(index >> 8) & 7] ?? 0;
  return pointer === 0 ? (KINDS[index & 0xff]?.[1] ?? 0) : pointer;
}
