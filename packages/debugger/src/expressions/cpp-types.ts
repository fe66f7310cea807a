import type { TypeRef, TypeTable } from '@dumpscope/symbols';

const int = (name: string, size: number, signed: boolean, form: 'int' | 'char' | 'bool' = 'int'): TypeRef => ({
  kind: 'base',
  name,
  size,
  signed,
  form,
});

export const INT: TypeRef = int('int', 4, true);
export const UINT: TypeRef = int('unsigned int', 4, false);
export const LONG: TypeRef = int('long', 4, true);
export const INT64: TypeRef = int('int64', 8, true);
export const UINT64: TypeRef = int('unsigned int64', 8, false);
export const CHAR: TypeRef = int('char', 1, true, 'char');
export const UCHAR: TypeRef = int('unsigned char', 1, false, 'char');
export const USHORT: TypeRef = int('unsigned short', 2, false);
export const BOOL: TypeRef = int('bool', 1, false, 'bool');
export const FLOAT: TypeRef = { kind: 'base', name: 'float', size: 4, signed: true, form: 'float' };
export const DOUBLE: TypeRef = { kind: 'base', name: 'double', size: 8, signed: true, form: 'float' };
export const VOID: TypeRef = { kind: 'base', name: 'void', size: 0, signed: false, form: 'void' };

const NAMES: ReadonlyMap<string, TypeRef> = new Map<string, TypeRef>([
  ['char', CHAR],
  ['signed char', CHAR],
  ['unsigned char', UCHAR],
  ['short', int('short', 2, true)],
  ['short int', int('short', 2, true)],
  ['unsigned short', USHORT],
  ['int', INT],
  ['signed', INT],
  ['signed int', INT],
  ['unsigned', UINT],
  ['unsigned int', UINT],
  ['long', LONG],
  ['long int', LONG],
  ['unsigned long', int('unsigned long', 4, false)],
  ['long long', INT64],
  ['unsigned long long', UINT64],
  ['__int64', INT64],
  ['int64', INT64],
  ['unsigned __int64', UINT64],
  ['unsigned int64', UINT64],
  ['wchar_t', int('wchar_t', 2, false, 'char')],
  ['bool', BOOL],
  ['float', FLOAT],
  ['double', DOUBLE],
  ['void', VOID],
  ['CHAR', CHAR],
  ['UCHAR', UCHAR],
  ['BYTE', UCHAR],
  ['BOOLEAN', UCHAR],
  ['SHORT', int('short', 2, true)],
  ['USHORT', USHORT],
  ['WORD', USHORT],
  ['WCHAR', int('wchar_t', 2, false, 'char')],
  ['LONG', LONG],
  ['NTSTATUS', LONG],
  ['ULONG', int('unsigned long', 4, false)],
  ['DWORD', int('unsigned long', 4, false)],
  ['LONGLONG', INT64],
  ['LONG64', INT64],
  ['ULONGLONG', UINT64],
  ['ULONG64', UINT64],
  ['DWORD64', UINT64],
  ['VOID', VOID],
]);

const POINTER_SIZED: ReadonlyMap<string, boolean> = new Map([
  ['ULONG_PTR', false],
  ['DWORD_PTR', false],
  ['SIZE_T', false],
  ['size_t', false],
  ['LONG_PTR', true],
  ['SSIZE_T', true],
]);

/** `unsigned long`, `__int64`…: words that combine. */
export const TYPE_WORDS: ReadonlySet<string> = new Set([
  'char',
  'short',
  'int',
  'long',
  'signed',
  'unsigned',
  '__int64',
  'int64',
]);

export function sizeType(pointerSize: 4 | 8): TypeRef {
  return pointerSize === 8 ? UINT64 : UINT;
}

/** A type by its name (a module prefix is dropped): base types, SDK names, structures and enumerations, `PFOO`. */
export function namedType(name: string, table: TypeTable): TypeRef | undefined {
  const bare = name.slice(name.lastIndexOf('!') + 1);
  const base = NAMES.get(bare);
  if (base !== undefined) return base;
  const signed = POINTER_SIZED.get(bare);
  if (signed !== undefined) return signed ? (table.pointerSize === 8 ? INT64 : LONG) : sizeType(table.pointerSize);
  for (const candidate of [bare, `_${bare}`]) {
    if (table.struct(candidate) !== undefined) return { kind: 'struct', name: candidate };
    if (table.enumeration(candidate) !== undefined) return { kind: 'enum', name: candidate };
  }
  if (/^P[A-Z_0-9]+$/.test(bare) && bare.length > 2) {
    const to = namedType(bare.slice(1), table);
    if (to !== undefined) return pointerTo(to, table);
  }
  if (bare === 'HANDLE') return pointerTo(VOID, table);
  return undefined;
}

export function pointerTo(to: TypeRef, table: TypeTable): TypeRef {
  return { kind: 'pointer', to, size: table.pointerSize };
}

/** The type as `??` names it: `unsigned int64`, `struct _ETHREAD *`. Iterative over pointers and arrays. */
export function typeName(type: TypeRef, table: TypeTable): string {
  let stars = '';
  let bounds = '';
  let at = type;
  for (let depth = 0; depth < 64; depth++) {
    if (at.kind === 'pointer') {
      stars = `*${stars}`;
      at = at.to;
    } else if (at.kind === 'array') {
      bounds += `[${at.count}]`;
      at = at.of;
    } else if (at.kind === 'bitfield') {
      at = at.of;
    } else break;
  }
  // `unsigned short *[42]`, `struct _UNICODE_STRING [42]`
  return `${leafName(at, table)}${stars === '' ? (bounds === '' ? '' : ' ') : ` ${stars}`}${bounds}`;
}

function leafName(type: TypeRef, table: TypeTable): string {
  switch (type.kind) {
    case 'base':
      return baseName(type);
    case 'struct':
      return `${table.struct(type.name)?.kind ?? 'struct'} ${type.name}`;
    case 'enum':
      return type.name;
    case 'function':
      return '<function>';
    default:
      return '?';
  }
}

function baseName(type: Extract<TypeRef, { kind: 'base' }>): string {
  if (type.form === 'void' || type.form === 'bool') return type.form;
  if (type.form === 'float') return type.size === 4 ? 'float' : 'double';
  if (type.form === 'char') return type.size === 2 ? 'wchar_t' : type.signed ? 'char' : 'unsigned char';
  const sign = type.signed ? '' : 'unsigned ';
  switch (type.size) {
    case 1:
      return `${sign}char`;
    case 2:
      return `${sign}short`;
    case 4:
      return `${sign}${/long/i.test(type.name) ? 'long' : 'int'}`;
    case 8:
      return `${sign}int64`;
    default:
      return type.name;
  }
}
