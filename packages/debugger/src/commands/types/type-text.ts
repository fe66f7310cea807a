import { type TypeRef, type TypeTable, typeSize } from '@dumpscope/symbols';

function baseText(type: Extract<TypeRef, { kind: 'base' }>): string {
  switch (type.form) {
    case 'void':
      return 'Void';
    case 'bool':
      return 'Bool';
    case 'float':
      return type.size === 4 ? 'Float' : 'Double';
    case 'char':
      return type.size === 2 ? 'Wchar' : type.signed ? 'Char' : 'UChar';
    case 'int':
      // A one-byte integer is a character type in C and prints as one.
      return type.size === 1 ? (type.signed ? 'Char' : 'UChar') : `${type.signed ? 'Int' : 'Uint'}${type.size}B`;
  }
}

/** Names that compilers give to types without one. */
export function structText(name: string): string {
  return /^(?:<|__unnamed|<unnamed)/.test(name) ? '<unnamed-tag>' : name;
}

/** The type as `dt` shows it without an address: `Uint4B`, `Ptr64 _EPROCESS`, `[2] Uint8B`, `Pos 0, 8 Bits`. */
export function typeText(type: TypeRef): string {
  let head = '';
  let at = type;
  for (let depth = 0; depth < 32; depth++) {
    if (at.kind === 'pointer') {
      head += `Ptr${at.size * 8} `;
      at = at.to;
    } else if (at.kind === 'array') {
      head += `[${at.count}] `;
      at = at.of;
    } else break;
  }
  switch (at.kind) {
    case 'base':
      return `${head}${baseText(at)}`;
    case 'struct':
      return `${head}${structText(at.name)}`;
    case 'enum':
      return `${head}${at.name}`;
    case 'bitfield':
      return `${head}Pos ${at.position}, ${at.length} Bit${at.length === 1 ? '' : 's'}`;
    case 'function':
      return `${head}    ${functionResult(at)} `;
    default:
      return `${head}?`;
  }
}

/** Result of a function type as `dt` shows it; `void` where the source does not keep it. */
export function functionResult(type: Extract<TypeRef, { kind: 'function' }>): string {
  const { result } = type;
  if (result?.kind !== 'base') return result?.kind === 'pointer' ? `${typeText(result)}` : 'void';
  return result.form === 'void' ? 'void' : result.name;
}

/** `struct _LIST_ENTRY, 2 elements, 0x10 bytes`. */
export function structSummary(name: string, table: TypeTable): string {
  const struct = table.struct(name);
  if (struct === undefined) return structText(name);
  return `${struct.kind} ${structText(name)}, ${struct.fields.size} elements, 0x${struct.size.toString(16)} bytes`;
}

/** The type as `dt -v` shows it: `Ptr64 to struct _EPROCESS, 260 elements, 0x840 bytes`, `Bitfield Pos 0, 8 Bits`. */
export function verboseText(type: TypeRef, table: TypeTable): string {
  let head = '';
  let at = type;
  for (let depth = 0; depth < 32; depth++) {
    if (at.kind === 'pointer') {
      head += `Ptr${at.size * 8} to `;
      at = at.to;
    } else if (at.kind === 'array') {
      head += `[${at.count}] `;
      at = at.of;
    } else break;
  }
  switch (at.kind) {
    case 'struct':
      return `${head}${structSummary(at.name, table)}`;
    case 'enum':
      return `${head}Enum ${at.name},  ${table.enumeration(at.name)?.values.size ?? 0} total enums`;
    case 'bitfield':
      return `${head}Bitfield ${typeText(at)}`;
    default:
      return `${head}${typeText(at)}`;
  }
}

export function sizeOrUndefined(type: TypeRef, table: TypeTable): number | undefined {
  return type.kind === 'function' ? undefined : typeSize(table, type);
}
