import { ForgeError } from '../memory/address-space.ts';

export interface PeSection {
  readonly name: string;
  readonly rva: number;
  readonly size: number; // virtual size
  readonly rawOffset: number;
  readonly rawSize: number;
  readonly characteristics: number;
}

export interface PeImage {
  readonly bytes: Uint8Array;
  readonly machine: number;
  readonly is64: boolean;
  readonly timeDateStamp: number;
  readonly checkSum: number;
  readonly entryPoint: number;
  readonly imageBase: bigint;
  readonly sizeOfImage: number;
  readonly sizeOfHeaders: number;
  readonly optionalHeader: number; // file offset
  readonly sections: readonly PeSection[];
  directory(index: number): { readonly rva: number; readonly size: number };
}

export const DIRECTORY = { export: 0, import: 1, exception: 3, relocation: 5, debug: 6 } as const;

/** Reads the headers of one of our own image files; a file that is none is a mistake of the image set. */
export function readPe(bytes: Uint8Array, name: string): PeImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (why: string): never => {
    throw new ForgeError(`image ${name}: ${why}`);
  };
  if (bytes.length < 0x40 || view.getUint16(0, true) !== 0x5a4d) fail('no MZ signature');
  const pe = view.getUint32(0x3c, true);
  if (pe + 0x108 > bytes.length || view.getUint32(pe, true) !== 0x4550) fail('no PE signature');
  const optional = pe + 24;
  const is64 = view.getUint16(optional, true) === 0x20b;
  const directories = optional + (is64 ? 112 : 96);
  const count = view.getUint16(pe + 6, true);
  const table = optional + view.getUint16(pe + 20, true);
  const sections: PeSection[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * 40;
    let sectionName = '';
    for (let j = 0; j < 8 && bytes[at + j] !== 0; j++) sectionName += String.fromCharCode(bytes[at + j] ?? 0);
    sections.push({
      name: sectionName,
      size: view.getUint32(at + 8, true),
      rva: view.getUint32(at + 12, true),
      rawSize: view.getUint32(at + 16, true),
      rawOffset: view.getUint32(at + 20, true),
      characteristics: view.getUint32(at + 36, true),
    });
  }
  return {
    bytes,
    machine: view.getUint16(pe + 4, true),
    is64,
    timeDateStamp: view.getUint32(pe + 8, true),
    checkSum: view.getUint32(optional + 64, true),
    entryPoint: view.getUint32(optional + 16, true),
    imageBase: is64 ? view.getBigUint64(optional + 24, true) : BigInt(view.getUint32(optional + 28, true)),
    sizeOfImage: view.getUint32(optional + 56, true),
    sizeOfHeaders: view.getUint32(optional + 60, true),
    optionalHeader: optional,
    sections,
    directory: (index) => ({
      rva: view.getUint32(directories + index * 8, true),
      size: view.getUint32(directories + index * 8 + 4, true),
    }),
  };
}

/** The image as the loader lays it out: headers, then each section at its RVA. */
export function layOut(image: PeImage): Uint8Array {
  const out = new Uint8Array(image.sizeOfImage);
  out.set(image.bytes.subarray(0, image.sizeOfHeaders));
  for (const section of image.sections) {
    const count = Math.min(section.rawSize, Math.max(section.size, 0) || section.rawSize);
    out.set(image.bytes.subarray(section.rawOffset, section.rawOffset + count), section.rva);
  }
  return out;
}

/** Applies base relocations for a load at `base` and records the new base in the headers, as the kernel's loader does. */
export function relocate(image: PeImage, memory: Uint8Array, base: bigint, name: string): void {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const delta = base - image.imageBase;
  if (image.is64) view.setBigUint64(image.optionalHeader + 24, base, true);
  else view.setUint32(image.optionalHeader + 28, Number(base & 0xffffffffn), true);
  if (delta === 0n) return;
  const { rva, size } = image.directory(DIRECTORY.relocation);
  if (size === 0)
    throw new ForgeError(`image ${name} has no relocations: it can only load at ${image.imageBase.toString(16)}`);
  let at = rva;
  while (at + 8 <= rva + size) {
    const page = view.getUint32(at, true);
    const block = view.getUint32(at + 4, true);
    if (block < 8) break;
    for (let entry = at + 8; entry + 2 <= at + block; entry += 2) {
      const raw = view.getUint16(entry, true);
      const target = page + (raw & 0xfff);
      switch (raw >> 12) {
        case 0:
          break;
        case 3:
          view.setUint32(target, Number((BigInt(view.getUint32(target, true)) + delta) & 0xffffffffn), true);
          break;
        case 10:
          view.setBigUint64(target, BigInt.asUintN(64, view.getBigUint64(target, true) + delta), true);
          break;
        default:
          throw new ForgeError(`image ${name}: relocation type ${raw >> 12} at rva ${target.toString(16)}`);
      }
    }
    at += block;
  }
}

export function cString(bytes: Uint8Array, at: number): string {
  let out = '';
  for (let i = at; i < bytes.length && bytes[i] !== 0; i++) out += String.fromCharCode(bytes[i] ?? 0);
  return out;
}

/** Exported names by RVA, from a laid-out image. */
export function readExports(image: PeImage, memory: Uint8Array): Map<string, number> {
  const out = new Map<string, number>();
  const { rva, size } = image.directory(DIRECTORY.export);
  if (size === 0) return out;
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const names = view.getUint32(rva + 24, true);
  const functions = view.getUint32(rva + 28, true);
  const nameTable = view.getUint32(rva + 32, true);
  const ordinals = view.getUint32(rva + 36, true);
  for (let i = 0; i < names; i++) {
    const name = cString(memory, view.getUint32(nameTable + i * 4, true));
    out.set(name, view.getUint32(functions + view.getUint16(ordinals + i * 2, true) * 4, true));
  }
  return out;
}

export interface ImportSlot {
  readonly dll: string;
  readonly name: string;
  /** RVA of the import address table entry. */
  readonly slot: number;
}

/** Every import by name of a laid-out image. */
export function readImports(image: PeImage, memory: Uint8Array): ImportSlot[] {
  const out: ImportSlot[] = [];
  const { rva, size } = image.directory(DIRECTORY.import);
  if (size === 0) return out;
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const width = image.is64 ? 8 : 4;
  for (let at = rva; at + 20 <= memory.length; at += 20) {
    const dllName = view.getUint32(at + 12, true);
    if (dllName === 0) break;
    const dll = cString(memory, dllName);
    const lookup = view.getUint32(at, true) || view.getUint32(at + 16, true);
    const table = view.getUint32(at + 16, true);
    for (let i = 0; ; i++) {
      const hint = view.getUint32(lookup + i * width, true);
      const high = image.is64 ? view.getUint32(lookup + i * width + 4, true) : hint & 0x80000000;
      if (hint === 0 && high === 0) break;
      if ((high & 0x80000000) === 0) out.push({ dll, name: cString(memory, hint + 2), slot: table + i * width });
    }
  }
  return out;
}

/** Removes what names code: the debug directory (RSDS), and the export table too when `exports` is set. */
export function strip(image: PeImage, memory: Uint8Array, exports: boolean): void {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const directories = image.optionalHeader + (image.is64 ? 112 : 96);
  const debug = image.directory(DIRECTORY.debug);
  for (let at = debug.rva; at + 28 <= debug.rva + debug.size; at += 28) {
    const data = view.getUint32(at + 20, true);
    const length = view.getUint32(at + 16, true);
    memory.fill(0, data, data + length);
  }
  memory.fill(0, debug.rva, debug.rva + debug.size);
  view.setBigUint64(directories + DIRECTORY.debug * 8, 0n, true);
  if (!exports) return;
  const table = image.directory(DIRECTORY.export);
  memory.fill(0, table.rva, table.rva + table.size);
  view.setBigUint64(directories + DIRECTORY.export * 8, 0n, true);
}
