import type { ImageSet } from '../image/image-set.ts';
import { layOut, type PeImage, readExports, readImports, readPe, relocate, strip } from '../image/pe-image.ts';
import { buildRawImage } from '../image/raw-image.ts';
import { ForgeError } from '../memory/address-space.ts';
import type { ModuleSpec, Scenario, SymbolsSpec } from '../scenario/scenario.ts';
import { hexToBytes } from './struct-writer.ts';

export interface LoadedModule {
  readonly key: string;
  readonly spec: ModuleSpec;
  readonly base: bigint;
  /** Base that the scenario's literal addresses assume. */
  readonly writtenBase: bigint;
  readonly size: number;
  readonly timeDateStamp: number;
  readonly checkSum: number;
  readonly entryPoint: number;
  readonly baseName: string;
  readonly fullName: string;
  readonly memory: Uint8Array;
  readonly image: PeImage | null;
  /** File to give out for symbols (the image, possibly grown), null for raw modules. */
  readonly file: { readonly name: string; readonly bytes: Uint8Array; readonly pdb: string | null } | null;
  readonly symbols: ReadonlyMap<string, number>;
  readonly symbolsKind: SymbolsSpec;
  readonly exceptionTable: { readonly rva: number; readonly size: number } | null;
}

export const MACHINE: Readonly<Record<Scenario['arch'], number>> = { x86: 0x14c, x64: 0x8664, arm64: 0xaa64 };

export interface ModuleNumbers {
  readonly base: bigint;
  readonly writtenBase: bigint;
  readonly size: number | null;
  readonly timeDateStamp: number | null;
  readonly checkSum: number | null;
  readonly entryPoint: number | null;
  readonly names: ReadonlyMap<string, number>;
  readonly minimumSize: number;
}

/** Makes an image larger by zero-filled memory behind its last section (nt's variables lie at the build's own RVAs). */
export function growImage(file: Uint8Array, size: number, name: string): Uint8Array {
  const image = readPe(file, name);
  if (size <= image.sizeOfImage) return file;
  const out = file.slice();
  const view = new DataView(out.buffer);
  view.setUint32(image.optionalHeader + 56, size, true);
  // The section table follows the optional header; only the last section can grow without moving others.
  const last = image.sections.reduce((a, b) => (b.rva > a.rva ? b : a));
  const index = image.sections.indexOf(last);
  const table = image.optionalHeader + view.getUint16(image.optionalHeader - 4, true);
  view.setUint32(table + index * 40 + 8, size - last.rva, true);
  return out;
}

export function loadModule(
  scenario: Scenario,
  key: string,
  spec: ModuleSpec,
  numbers: ModuleNumbers,
  set: ImageSet | null,
): LoadedModule {
  const symbolsKind = spec.symbols ?? scenario.symbols ?? 'pdb';
  const baseName = spec.name ?? spec.image ?? `${key}.sys`;
  const fullName =
    spec.path ?? (spec.process === undefined ? `\\SystemRoot\\System32\\drivers\\${baseName}` : baseName);
  const common = { key, spec, base: numbers.base, writtenBase: numbers.writtenBase, baseName, fullName, symbolsKind };
  if (spec.image === undefined) {
    const size = Math.max(numbers.size ?? 0, numbers.minimumSize, 0x2000);
    const timeDateStamp = numbers.timeDateStamp ?? 0x41107b4d;
    const memory = buildRawImage({
      machine: MACHINE[scenario.arch],
      is64: scenario.arch !== 'x86',
      base: numbers.base,
      size,
      timeDateStamp,
      checkSum: numbers.checkSum ?? 0,
      entryPoint: numbers.entryPoint ?? 0x1000,
      name: baseName,
      exports: symbolsKind === 'none' ? new Map() : numbers.names,
    });
    patchCode(memory, spec, key);
    return {
      ...common,
      size,
      timeDateStamp,
      checkSum: numbers.checkSum ?? 0,
      entryPoint: numbers.entryPoint ?? 0x1000,
      memory,
      image: null,
      file: null,
      symbols: numbers.names,
      exceptionTable: null,
    };
  }
  if (set === null) throw new ForgeError(`modules.${key}: an image needs an image set ("images")`);
  const entry = set.entry(spec.image);
  const wanted = Math.max(numbers.size ?? 0, numbers.minimumSize);
  const bytes = growImage(set.bytes(spec.image), wanted, spec.image);
  const image = readPe(bytes, spec.image);
  if (image.machine !== MACHINE[scenario.arch])
    throw new ForgeError(`modules.${key}: ${spec.image} is of another machine`);
  const memory = layOut(image);
  relocate(image, memory, numbers.base, spec.image);
  const exports = readExports(image, memory);
  if (symbolsKind !== 'pdb') strip(image, memory, symbolsKind === 'none');
  patchCode(memory, spec, key);
  const pdata = image.directory(3);
  const pdb = symbolsKind === 'pdb' ? entry.pdb : null;
  return {
    ...common,
    size: image.sizeOfImage,
    timeDateStamp: image.timeDateStamp,
    checkSum: image.checkSum,
    entryPoint: image.entryPoint,
    memory,
    image,
    file: symbolsKind === 'none' ? null : { name: baseName, bytes, pdb },
    symbols: new Map([...exports, ...entry.symbols, ...numbers.names]),
    exceptionTable: image.is64 && pdata.size > 0 ? pdata : null,
  };
}

function patchCode(memory: Uint8Array, spec: ModuleSpec, key: string): void {
  for (const [rva, hex] of Object.entries(spec.code ?? {})) {
    const at = Number.parseInt(rva, 16);
    const bytes = hexToBytes(hex);
    if (!Number.isSafeInteger(at) || at + bytes.length > memory.length) {
      throw new ForgeError(`modules.${key}.code.${rva}: outside the image`);
    }
    memory.set(bytes, at);
  }
}

/** Points every import of a module at the export of the module that was loaded under that file name. */
export function bindImports(module: LoadedModule, modules: readonly LoadedModule[]): void {
  if (module.image === null) return;
  const view = new DataView(module.memory.buffer, module.memory.byteOffset, module.memory.byteLength);
  for (const slot of readImports(module.image, module.memory)) {
    const low = slot.dll.toLowerCase();
    const target = modules.find(
      (candidate) =>
        candidate.spec.process === module.spec.process &&
        (candidate.baseName.toLowerCase() === low ||
          candidate.spec.image?.toLowerCase() === low ||
          (low === 'ntoskrnl.exe' && candidate.key === 'nt')),
    );
    const rva = target?.symbols.get(slot.name);
    if (target === undefined || rva === undefined) continue;
    const address = target.base + BigInt(rva);
    if (module.image.is64) view.setBigUint64(slot.slot, address, true);
    else view.setUint32(slot.slot, Number(address & 0xffffffffn), true);
  }
}
