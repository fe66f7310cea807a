import type { Rva } from '@dumpscope/core';
import type { ModuleSymbol } from '../symbol-table.ts';
import type { TypeRef } from '../type-table.ts';
import * as L from './leaf-kinds.ts';
import type { PdbFile } from './pdb-file.ts';
import type { PdbTypes } from './pdb-types.ts';
import type { TypeStream } from './type-stream.ts';

/** What private symbols say about a name: the type of a variable, or how a function is called. */
export type SymbolType =
  | { readonly kind: 'data'; readonly type: TypeRef }
  | {
      readonly kind: 'function';
      readonly result: TypeRef;
      /** Without the `this` of a member function. */
      readonly parameters: readonly TypeRef[];
      /** A `...` at the end. */
      readonly isVariadic: boolean;
      /** `stdcall`, as WinDbg's kv names it; null for conventions that it has no word for. */
      readonly convention: string | null;
    };

/** CV_call_e (cvconst.h). */
const CONVENTIONS: Readonly<Record<number, string>> = {
  0: 'cdecl',
  1: 'cdecl',
  2: 'pascal',
  3: 'pascal',
  4: 'fastcall',
  5: 'fastcall',
  7: 'stdcall',
  8: 'stdcall',
  9: 'syscall',
  10: 'syscall',
  11: 'thiscall',
  22: 'clrcall',
  24: 'vectorcall',
};

/** More parameters than any function has: a damaged list ends here. */
const MAX_PARAMETERS = 256;

/** T_NOTYPE at the end of an argument list stands for `...`. */
const NO_TYPE = 0;

/** Type of the variable or function that a symbol of this PDB names; undefined where only a public name is known. */
export function symbolType(pdb: PdbFile, symbol: ModuleSymbol): SymbolType | undefined {
  const types = pdb.typeRecords;
  if (types === null) return undefined;
  return symbol.isFunction === true
    ? procedureType(pdb, types, symbol.rva)
    : (dataType(pdb, types, symbol) ?? procedureType(pdb, types, symbol.rva));
}

function dataType(pdb: PdbFile, types: PdbTypes, symbol: ModuleSymbol): SymbolType | undefined {
  // A public name may be decorated: `_g_table`, where the private record says `g_table`.
  for (const name of new Set([symbol.name, symbol.display])) {
    for (const record of pdb.globals?.find(name) ?? []) {
      if (record.kind !== 'data' || pdb.addresses?.rva(record.section, record.offset) !== symbol.rva) continue;
      if (record.type !== NO_TYPE) return { kind: 'data', type: types.typeRef(record.type) };
    }
  }
  return undefined;
}

function procedureType(pdb: PdbFile, types: PdbTypes, at: Rva): SymbolType | undefined {
  const source = pdb.addresses?.toSource(at) ?? -1;
  const hit = source < 0 ? undefined : pdb.procedures?.find(source);
  if (hit === undefined || hit.start !== source || hit.procedure.type === NO_TYPE) return undefined;
  const { type, isItemId } = hit.procedure;
  const index = isItemId ? itemType(pdb.items, type) : type;
  return index === null ? undefined : functionType(types, index);
}

/** LF_FUNC_ID and LF_MFUNC_ID: scope or class, then the function's type. */
function itemType(items: TypeStream | null, item: number): number | null {
  const raw = items?.raw(item);
  if (raw === undefined || raw.at + 10 > raw.end) return null;
  const view = new DataView(raw.bytes.buffer, raw.bytes.byteOffset, raw.bytes.length);
  const leaf = view.getUint16(raw.at, true);
  return leaf === L.LF_FUNC_ID || leaf === L.LF_MFUNC_ID ? view.getUint32(raw.at + 6, true) : null;
}

function functionType(types: PdbTypes, index: number): SymbolType | undefined {
  const raw = types.stream.raw(index);
  if (raw === undefined || raw.at + 2 > raw.end) return undefined;
  const view = new DataView(raw.bytes.buffer, raw.bytes.byteOffset, raw.bytes.length);
  const leaf = view.getUint16(raw.at, true);
  const is16 = leaf === L.LF_PROCEDURE_16T || leaf === L.LF_MFUNCTION_16T;
  const isMember = leaf === L.LF_MFUNCTION || leaf === L.LF_MFUNCTION_16T;
  if (!is16 && !isMember && leaf !== L.LF_PROCEDURE) return undefined;
  const width = is16 ? 2 : 4;
  const read = (at: number): number => (is16 ? view.getUint16(at, true) : view.getUint32(at, true));
  // rvtype; a member function's class and this; calltype, attributes, the count as a word, the list.
  const call = raw.at + 2 + width * (isMember ? 3 : 1);
  const list = call + 4;
  if (list + width > raw.end) return undefined;
  const { parameters, isVariadic } = argumentList(types, read(list));
  // C's `f()` without a prototype: no parameter is counted, and the list holds the mark alone.
  const isEmpty = view.getUint16(call + 2, true) === 0;
  return {
    kind: 'function',
    result: types.typeRef(read(raw.at + 2)),
    parameters,
    isVariadic: isVariadic && !isEmpty,
    convention: CONVENTIONS[view.getUint8(call)] ?? null,
  };
}

function argumentList(types: PdbTypes, index: number): { parameters: TypeRef[]; isVariadic: boolean } {
  const raw = types.stream.raw(index);
  const parameters: TypeRef[] = [];
  if (raw === undefined || raw.at + 4 > raw.end) return { parameters, isVariadic: false };
  const view = new DataView(raw.bytes.buffer, raw.bytes.byteOffset, raw.bytes.length);
  const leaf = view.getUint16(raw.at, true);
  const is16 = leaf === L.LF_ARGLIST_16T;
  if ((!is16 && leaf !== L.LF_ARGLIST) || (!is16 && raw.at + 6 > raw.end)) return { parameters, isVariadic: false };
  const width = is16 ? 2 : 4;
  const first = raw.at + 2 + width;
  const stored = is16 ? view.getUint16(raw.at + 2, true) : view.getUint32(raw.at + 2, true);
  const count = Math.min(stored, Math.floor((raw.end - first) / width), MAX_PARAMETERS);
  for (let i = 0; i < count; i++) {
    const at = first + i * width;
    const type = is16 ? view.getUint16(at, true) : view.getUint32(at, true);
    if (type === NO_TYPE) return { parameters, isVariadic: true };
    parameters.push(types.typeRef(type));
  }
  return { parameters, isVariadic: false };
}
