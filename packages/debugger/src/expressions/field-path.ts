import { type TypeRef, type TypeTable, typeSize } from '@dumpscope/symbols';

export interface FieldLocation {
  readonly offset: number;
  readonly type: TypeRef;
}

/**
 * `A.B[2].C` from the start of `type`: offset in bytes and type. Undefined where a name is missing, an index runs past
 * its array, or a step would have to follow a pointer.
 */
export function resolveFieldPath(table: TypeTable, type: TypeRef, path: string): FieldLocation | undefined {
  let offset = 0;
  let at = type;
  for (const step of path.split(/\.|(?=\[)/)) {
    if (step === '') continue;
    const index = /^\[(\d+)\]$/.exec(step);
    if (index !== null) {
      if (at.kind !== 'array') return undefined;
      const count = Number(index[1]);
      const size = typeSize(table, at.of);
      if (size === undefined || count >= at.count) return undefined;
      offset += count * size;
      at = at.of;
      continue;
    }
    const struct = at.kind === 'struct' ? table.struct(at.name) : undefined;
    const field = struct?.fields.get(step);
    if (field === undefined) return undefined;
    offset += field.offset;
    at = field.type;
  }
  return { offset, type: at };
}
