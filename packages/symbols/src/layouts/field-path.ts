import { type Field, type TypeTable, typeSize } from '../type-table.ts';

/** Offset of a member by its path, `_KTHREAD.ApcState.Process`; a lone name gives the size of that type. */
export function offsetOrSize(table: TypeTable, path: string): number | undefined {
  const [first = '', ...members] = path.split('.');
  if (members.length === 0) return table.struct(first)?.size;
  return fieldAt(table, first, members)?.offset;
}

/** A member of a structure, through embedded structures; its `offset` is from the start of the outermost one. */
export function fieldAt(table: TypeTable, structName: string, members: readonly string[]): Field | undefined {
  let struct = table.struct(structName);
  let offset = 0;
  let found: Field | undefined;
  for (const member of members) {
    found = struct && memberOf(table, struct, member, 0);
    if (!found) return undefined;
    offset += found.offset;
    struct = found.type.kind === 'struct' ? table.struct(found.type.name) : undefined;
  }
  return found && { ...found, offset };
}

type Struct = NonNullable<ReturnType<TypeTable['struct']>>;

// Members of anonymous members count as the outer structure's own, as in C; PDBs name those members u, u1, s1, …, so
// that only ones whose name is empty or made up by the reader are entered.
function memberOf(table: TypeTable, struct: Struct, name: string, depth: number): Field | undefined {
  const own = struct.fields.get(name);
  if (own) return own;
  if (depth >= 4) return undefined;
  for (const field of struct.fields.values()) {
    if (!/^(|unnamed|<unnamed.*|__unnamed.*)$/.test(field.name) || field.type.kind !== 'struct') continue;
    const inner = table.struct(field.type.name);
    const found = inner && memberOf(table, inner, name, depth + 1);
    if (found) return { ...found, offset: field.offset + found.offset };
  }
  return undefined;
}

/** Whether a table's structure is sound: members inside it. */
export function overruns(table: TypeTable, structName: string): readonly Field[] {
  const struct = table.struct(structName);
  if (!struct) return [];
  return [...struct.fields.values()].filter((f) => f.offset + (typeSize(table, f.type) ?? 0) > struct.size);
}
