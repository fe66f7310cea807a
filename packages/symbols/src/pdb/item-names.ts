import * as L from './leaf-kinds.ts';
import type { PdbTypes } from './pdb-types.ts';
import { recordName } from './publics.ts';
import type { TypeStream } from './type-stream.ts';

/** Name of a function by its item id (LF_FUNC_ID, LF_MFUNC_ID), with its class or namespace; null when it has none. */
export function itemName(ipi: TypeStream, types: PdbTypes | null, item: number): string | null {
  const raw = ipi.raw(item);
  if (raw === undefined || raw.at + 10 > raw.end) return null;
  const view = new DataView(raw.bytes.buffer, raw.bytes.byteOffset, raw.bytes.length);
  const leaf = view.getUint16(raw.at, true);
  const parent = view.getUint32(raw.at + 2, true);
  const name = recordName(raw.bytes, raw.at + 10, raw.end, false);
  if (leaf === L.LF_MFUNC_ID) {
    const type = types?.stream.record(parent);
    return type?.kind === 'struct' ? `${type.name}::${name}` : name;
  }
  if (leaf !== L.LF_FUNC_ID) return null;
  const scope = parent === 0 ? undefined : ipi.raw(parent);
  if (scope === undefined || scope.at + 6 > scope.end) return name;
  const scopeView = new DataView(scope.bytes.buffer, scope.bytes.byteOffset, scope.bytes.length);
  if (scopeView.getUint16(scope.at, true) !== L.LF_STRING_ID) return name;
  return `${recordName(scope.bytes, scope.at + 6, scope.end, false)}::${name}`;
}
