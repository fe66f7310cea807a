import { ForgeError } from '../memory/address-space.ts';
import { PAGE } from '../memory/page.ts';
import type { LoadedModule } from './loaded-module.ts';
import type { ForgedProcess, Machine } from './machine.ts';
import { StructWriter } from './struct-writer.ts';

/** Puts every image into its address space, and writes the lists that lead to them. */
export function writeModules(m: Machine): void {
  for (const module of m.modules) placeImage(m, module);
  writeLoadedModuleList(m);
  writeUnloaded(m);
  for (const process of m.processes) writeUserModules(m, process);
}

function placeImage(m: Machine, module: LoadedModule): void {
  const resident = module.spec.resident ?? 'all';
  if (resident === 'none') return;
  const space = m.spaceOf(module.spec.process);
  const place = (at: number): void => {
    space.write(module.base + BigInt(at), module.memory.subarray(at, at + PAGE));
  };
  if (resident === 'headers') {
    place(0);
    return;
  }
  if (module.image === null) {
    for (let at = 0; at < module.memory.length; at += PAGE) place(at);
    return;
  }
  // Only what the file holds, and what the scenario patches: the rest of a large nt is zeros that nobody looks for.
  const pages = new Set<number>([0]);
  const range = (start: number, length: number): void => {
    for (let at = start - (start % PAGE); at < start + length; at += PAGE) pages.add(at);
  };
  for (const section of module.image.sections) range(section.rva, Math.min(section.rawSize, section.size));
  for (const [rva, hex] of Object.entries(module.spec.code ?? {})) range(Number.parseInt(rva, 16), hex.length / 2);
  for (const at of pages) place(at);
}

/** KLDR_DATA_TABLE_ENTRY: the first members are at the same place in every version (dumpformat.md, 12). */
interface EntryPlaces {
  readonly size: number;
  readonly exceptionTable: number;
  readonly base: number;
  readonly entryPoint: number;
  readonly imageSize: number;
  readonly fullName: number;
  readonly baseName: number;
  readonly flags: number;
  readonly loadCount: number;
  readonly checkSum: number;
  readonly timeDateStamp: number;
}

export function ldrEntryPlaces(m: Machine): EntryPlaces {
  const own = m.layout.has('_KLDR_DATA_TABLE_ENTRY') ? '_KLDR_DATA_TABLE_ENTRY' : '_LDR_DATA_TABLE_ENTRY';
  const stamp = m.layout.find(own, 'TimeDateStamp')?.offset;
  const size = m.layout.has(own) ? m.layout.size(own) : 0x50;
  return m.pointerSize === 4
    ? {
        size,
        exceptionTable: 0x08,
        base: 0x18,
        entryPoint: 0x1c,
        imageSize: 0x20,
        fullName: 0x24,
        baseName: 0x2c,
        flags: 0x34,
        loadCount: 0x38,
        checkSum: 0x40,
        timeDateStamp: stamp ?? 0x44,
      }
    : {
        size: Math.max(size, 0xa0),
        exceptionTable: 0x10,
        base: 0x30,
        entryPoint: 0x38,
        imageSize: 0x40,
        fullName: 0x48,
        baseName: 0x58,
        flags: 0x68,
        loadCount: 0x6c,
        checkSum: 0x78,
        timeDateStamp: stamp ?? 0x80,
      };
}

function writeEntry(m: Machine, w: StructWriter, at: bigint, module: LoadedModule, names: bigint): void {
  const p = ldrEntryPlaces(m);
  const field = (offset: number, value: bigint): void => w.pointer(at + BigInt(offset), value);
  if (module.exceptionTable !== null && module.spec.process === undefined) {
    field(p.exceptionTable, module.base + BigInt(module.exceptionTable.rva));
    w.u32(at + BigInt(p.exceptionTable + m.pointerSize), module.exceptionTable.size);
  }
  field(p.base, module.base);
  field(p.entryPoint, module.entryPoint === 0 ? 0n : module.base + BigInt(module.entryPoint));
  w.u32(at + BigInt(p.imageSize), module.size);
  w.unicodeString(at + BigInt(p.fullName), names, module.fullName);
  w.unicodeString(at + BigInt(p.baseName), names + 0x200n, module.baseName);
  w.u32(at + BigInt(p.flags), 0x09004000);
  w.u16(at + BigInt(p.loadCount), 1);
  w.u32(at + BigInt(p.checkSum), module.checkSum);
  w.u32(at + BigInt(p.timeDateStamp), module.timeDateStamp);
}

function writeLoadedModuleList(m: Machine): void {
  const head = m.global('PsLoadedModuleList');
  if (head === undefined)
    throw new ForgeError("nt has no PsLoadedModuleList: neither the image nor the build's table names it");
  const entries: bigint[] = [];
  for (const module of m.modules) {
    if (module.spec.process !== undefined || module.spec.listed === false) continue;
    const at = m.nonPaged.take(ldrEntryPlaces(m).size, 0x10);
    writeEntry(m, m.write, at, module, m.paged.take(0x300, 0x10));
    entries.push(at);
  }
  m.write.linkList(head, entries);
}

/** MmUnloadedDrivers: a ring of 50 entries, filled from the start; MmLastUnloadedDriver is the next free one. */
function writeUnloaded(m: Machine): void {
  const unloaded = m.scenario.unloaded ?? [];
  const variable = m.global('MmUnloadedDrivers');
  if (unloaded.length === 0 || variable === undefined) return;
  const p = BigInt(m.pointerSize);
  const stride = m.pointerSize === 4 ? 0x18 : 0x28;
  const array = m.nonPaged.take(stride * 50, 0x10);
  m.kernel.touch(array, stride * 50);
  m.write.pointer(variable, array);
  unloaded.slice(0, 50).forEach((driver, index) => {
    const at = array + BigInt(stride * index);
    m.write.unicodeString(at, m.nonPaged.take(driver.name.length * 2 + 2, 8), driver.name);
    m.write.pointer(at + 2n * p, m.value(driver.start, `unloaded[${index}].start`));
    m.write.pointer(at + 3n * p, m.value(driver.end, `unloaded[${index}].end`));
    m.write.u64(at + 4n * p, m.valueOr(driver.time, 0n, `unloaded[${index}].time`));
  });
  const last = m.global('MmLastUnloadedDriver');
  if (last !== undefined) m.write.u32(last, unloaded.length);
}

/** PEB and the loader's lists of a process, for names in user space. Offsets are the same in every version. */
function writeUserModules(m: Machine, process: ForgedProcess): void {
  const own = m.modules.filter((module) => module.spec.process === process.key);
  if (process.space === null || process.spec.peb === undefined) return;
  const w = new StructWriter(m.layout, process.space, m.pointerSize);
  const peb = m.value(process.spec.peb, `processes.${process.key}.peb`);
  const p = BigInt(m.pointerSize);
  process.space.touch(peb, PAGE);
  const ldr = m.userHeap.take(0x60, 0x10);
  w.pointer(peb + 2n * p, own[0]?.base ?? 0n); // ImageBaseAddress
  w.pointer(peb + 3n * p, ldr);
  w.u32(ldr, m.pointerSize === 4 ? 0x28 : 0x58);
  w.u32(ldr + 4n, 1); // Initialized
  const heads = [0n, 1n, 2n].map((i) => ldr + (m.pointerSize === 4 ? 0xcn : 0x10n) + i * 2n * p);
  const entries = own.map((module) => {
    const at = m.userHeap.take(0x120, 0x10);
    writeEntry(m, w, at, module, m.userHeap.take(0x300, 0x10));
    return at;
  });
  heads.forEach((head, index) => {
    // Load order, memory order, initialisation order: three links in a row; the program itself is not initialised.
    const links = entries.slice(index === 2 ? 1 : 0).map((at) => at + BigInt(index) * 2n * p);
    w.linkList(head, links);
  });
}
