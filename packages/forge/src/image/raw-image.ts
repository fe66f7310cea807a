import { asciiBytes } from '../kernel/struct-writer.ts';

export interface RawImageSpec {
  readonly machine: number;
  readonly is64: boolean;
  readonly base: bigint;
  readonly size: number;
  readonly timeDateStamp: number;
  readonly checkSum: number;
  readonly entryPoint: number;
  readonly name: string;
  /** Exported names by RVA; none: no export table. */
  readonly exports: ReadonlyMap<string, number>;
}

/**
 * The memory image of a module that has no image file: valid PE headers, one section over the whole image, and an
 * export table in its last bytes. Code and data are written over it.
 */
export function buildRawImage(spec: RawImageSpec): Uint8Array {
  const out = new Uint8Array(spec.size);
  const view = new DataView(out.buffer);
  const pe = 0x80;
  const optional = pe + 24;
  const optionalSize = spec.is64 ? 240 : 224;
  view.setUint16(0, 0x5a4d, true);
  view.setUint32(0x3c, pe, true);
  view.setUint32(pe, 0x4550, true);
  view.setUint16(pe + 4, spec.machine, true);
  view.setUint16(pe + 6, 1, true);
  view.setUint32(pe + 8, spec.timeDateStamp, true);
  view.setUint16(pe + 20, optionalSize, true);
  view.setUint16(pe + 22, spec.is64 ? 0x22 : 0x102, true);
  view.setUint16(optional, spec.is64 ? 0x20b : 0x10b, true);
  view.setUint32(optional + 4, spec.size - 0x1000, true); // SizeOfCode
  view.setUint32(optional + 16, spec.entryPoint, true);
  view.setUint32(optional + 20, 0x1000, true); // BaseOfCode
  if (spec.is64) view.setBigUint64(optional + 24, spec.base, true);
  else view.setUint32(optional + 28, Number(spec.base & 0xffffffffn), true);
  view.setUint32(optional + 32, 0x1000, true); // SectionAlignment
  view.setUint32(optional + 36, 0x200, true); // FileAlignment
  view.setUint16(optional + 40, 5, true);
  view.setUint16(optional + 48, 5, true);
  view.setUint32(optional + 56, spec.size, true);
  view.setUint32(optional + 60, 0x400, true); // SizeOfHeaders
  view.setUint32(optional + 64, spec.checkSum, true);
  view.setUint16(optional + 68, 1, true); // native
  view.setUint32(optional + (spec.is64 ? 108 : 92), 16, true);
  const section = optional + optionalSize;
  out.set(asciiBytes('.text'), section);
  view.setUint32(section + 8, spec.size - 0x1000, true);
  view.setUint32(section + 12, 0x1000, true);
  view.setUint32(section + 16, spec.size - 0x1000, true);
  view.setUint32(section + 20, 0x400, true);
  view.setUint32(section + 36, 0xe8000020, true);
  if (spec.exports.size > 0) writeExports(out, view, spec, optional + (spec.is64 ? 112 : 96));
  return out;
}

function writeExports(out: Uint8Array, view: DataView, spec: RawImageSpec, directory: number): void {
  const names = [...spec.exports.keys()].sort();
  const strings = names.reduce((sum, name) => sum + name.length + 1, spec.name.length + 1);
  const size = 40 + names.length * 10 + strings;
  const at = (spec.size - size) & ~7;
  const functions = at + 40;
  const nameTable = functions + names.length * 4;
  const ordinals = nameTable + names.length * 4;
  let cursor = ordinals + names.length * 2;
  view.setUint32(directory, at, true);
  view.setUint32(directory + 4, size, true);
  const text = (value: string): number => {
    const start = cursor;
    out.set(asciiBytes(value), start);
    cursor += value.length + 1;
    return start;
  };
  view.setUint32(at + 12, text(spec.name), true);
  view.setUint32(at + 16, 1, true);
  view.setUint32(at + 20, names.length, true);
  view.setUint32(at + 24, names.length, true);
  view.setUint32(at + 28, functions, true);
  view.setUint32(at + 32, nameTable, true);
  view.setUint32(at + 36, ordinals, true);
  names.forEach((name, index) => {
    view.setUint32(functions + index * 4, spec.exports.get(name) ?? 0, true);
    view.setUint32(nameTable + index * 4, text(name), true);
    view.setUint16(ordinals + index * 2, index, true);
  });
}
