import type { Machine } from '../kernel/machine.ts';
import { asciiBytes, utf16Bytes } from '../kernel/struct-writer.ts';
import type { SavedProcessor } from '../kernel/write-processors.ts';
import type { KdbgPlace } from '../kernel/write-system.ts';
import { ForgeError } from '../memory/address-space.ts';
import { blobBytes } from './blobs.ts';
import type { DumpInput } from './dump-input.ts';
import { buildHeader, contextOffset, headerSize } from './header.ts';
import type { Sink } from './sink.ts';
import { stackBaseOf, TriageMemory, writesAllProcessors } from './triage-memory.ts';

/** The parts of the file in order; each begins 8-aligned, as in real dumps. */
class Layout {
  readonly parts: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
  end: number;

  constructor(start: number) {
    this.end = start;
  }

  place(bytes: Uint8Array): number {
    const offset = Math.ceil(this.end / 8) * 8;
    this.parts.push({ offset, bytes });
    this.end = offset + bytes.length;
    return offset;
  }
}

/** Offsets in TRIAGE_DUMP64 and TRIAGE_DUMP32 (dumpformat.md, 8) where the two differ. */
const TAIL = {
  8: { size: 0x80, topOfStack: 0x48, debuggerData: 0x70, dataBlocks: 0x78, dataPage: 0x60 },
  4: { size: 0x68, topOfStack: 0x48, debuggerData: 0x58, dataBlocks: 0x60, dataPage: 0x4c },
} as const;

const DEFAULT_FIELDS = 0xcff; // as in real dumps of 9600 and 19041: all but MM and data page

/** Type 4: header, TRIAGE_DUMP, its structures, data blocks, TRGD, secondary data. */
export function writeTriageDump(
  m: Machine,
  input: DumpInput,
  saved: readonly SavedProcessor[],
  kdbg: KdbgPlace,
  sink: Sink,
): number {
  const spec = m.scenario.triage ?? {};
  const start = headerSize(input.header);
  const tail = TAIL[m.pointerSize];
  const own = saved.find((s) => s.processor.spec.state === 'bugchecking') ?? saved[0];
  if (own === undefined) throw new ForgeError('triage: a processor is needed');
  const stackBytes = spec.stackBytes === undefined ? 0x8000 : m.number(spec.stackBytes, 'triage.stackBytes');
  const memory = collect(m, saved, own, stackBytes);

  const layout = new Layout(start + tail.size);
  const mm = layout.place(storage());
  const unloaded = layout.place(unloadedList(m));
  const structure = (type: string, at: bigint): number => layout.place(m.kernel.read(at, m.layout.size(type)));
  const withPrcb = spec.allProcessors !== false || own.processor.spec.state === 'bugchecking';
  const prcb = withPrcb ? structure('_KPRCB', own.processor.prcb) : 0;
  const process = structure('_EPROCESS', own.processor.thread.process.at);
  const thread = structure('_ETHREAD', own.processor.thread.at);
  const base = stackBaseOf(m, own, own.sp);
  const stackLength = base === null ? 0 : Math.min(Number(base - own.sp), stackBytes);
  const callStack = layout.place(m.kernel.read(own.sp, stackLength));
  const debuggerData = layout.place(kdbg.plain);
  const drivers = driverList(m, Math.ceil(layout.end / 8) * 8);
  const driverOffset = layout.place(drivers.list);
  const stringPool = layout.place(drivers.pool);
  // The block table, then the blocks' bytes without gaps.
  const table = new Uint8Array(memory.blocks.length * 16);
  const blocksOffset = layout.place(table);
  const tableView = new DataView(table.buffer);
  let at = layout.end;
  memory.blocks.forEach((block, index) => {
    const address = m.pointerSize === 4 && block.at >= 0x80000000n ? block.at | 0xffffffff00000000n : block.at;
    tableView.setBigUint64(index * 16, address, true);
    tableView.setUint32(index * 16 + 8, at, true);
    tableView.setUint32(index * 16 + 12, block.bytes.length, true);
    layout.parts.push({ offset: at, bytes: block.bytes });
    at += block.bytes.length;
  });
  const valid = Math.ceil(at / 8) * 8 + 4; // the trailer's last four bytes end the dump
  const sizeOfDump = valid + 4;

  const head = new Uint8Array(tail.size);
  const view = new DataView(head.buffer);
  const words: readonly (readonly [number, number])[] = [
    [0x00, servicePack(m)],
    [0x04, sizeOfDump],
    [0x08, valid],
    [0x0c, contextOffset(input.header)],
    [0x10, m.pointerSize === 8 ? 0xf00 : 0x7d0],
    [0x14, mm],
    [0x18, unloaded],
    [0x1c, prcb],
    [0x20, process],
    [0x24, thread],
    [0x28, callStack],
    [0x2c, stackLength],
    [0x30, driverOffset],
    [0x34, drivers.count],
    [0x38, stringPool],
    [0x3c, drivers.pool.length],
    [0x40, drivers.broken],
    [0x44, spec.options === undefined ? 0xffffffff : m.number(spec.options, 'triage.options')],
    [tail.debuggerData, debuggerData],
    [tail.debuggerData + 4, kdbg.plain.length],
    [tail.dataBlocks, blocksOffset],
    [tail.dataBlocks + 4, memory.blocks.length],
  ];
  for (const [offset, value] of words) view.setUint32(offset, value >>> 0, true);
  if (m.pointerSize === 8) view.setBigUint64(tail.topOfStack, own.sp, true);
  else view.setUint32(tail.topOfStack, Number(own.sp & 0xffffffffn), true);

  const blobs = input.blobs.length === 0 ? new Uint8Array(0) : blobBytes(input.blobs, m.build);
  const size = sizeOfDump + blobs.length;
  const header = { ...input.header, miniDumpFields: input.header.miniDumpFields ?? DEFAULT_FIELDS };
  sink.write(0, buildHeader(header, null, input.header.requiredDumpSpace ?? size));
  sink.write(start, head);
  for (const part of layout.parts) sink.write(part.offset, part.bytes);
  sink.write(valid, asciiBytes('TRGD'));
  if (blobs.length > 0) sink.write(sizeOfDump, blobs);
  return size;
}

function collect(m: Machine, saved: readonly SavedProcessor[], own: SavedProcessor, stackBytes: number): TriageMemory {
  const spec = m.scenario.triage ?? {};
  const memory = new TriageMemory(m);
  const every = writesAllProcessors(m.build);
  const both = spec.allProcessors ?? every;
  if (both) memory.processors(saved, stackBytes);
  else if (every) memory.processors([own], stackBytes);
  memory.globals(both || every);
  const code = spec.codeBytes === undefined ? null : m.number(spec.codeBytes, 'triage.codeBytes');
  if (every || code !== null) memory.code(saved, code);
  memory.registers(saved);
  if (every) memory.pointedAt(saved, stackBytes);
  if (spec.memory === true) memory.scenarioMemory();
  spec.blocks?.forEach((block, index) => {
    memory.add(
      m.value(block.at, `triage.blocks[${index}].at`),
      m.number(block.length, `triage.blocks[${index}].length`),
    );
  });
  memory.split((spec.splits ?? []).map((value, index) => m.value(value, `triage.splits[${index}]`)));
  return memory;
}

function servicePack(m: Machine): number {
  const at = m.global('CmNtCSDVersion');
  return at === undefined ? 0 : Number(m.kernel.readInteger(at, 4));
}

/** TRIAGE_STORAGE: version 1 and its size; the memory manager's counters stay zero, as in Windows 10 dumps. */
function storage(): Uint8Array {
  const out = new Uint8Array(0x50);
  const view = new DataView(out.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, 0x50, true);
  return out;
}

/** DUMP_UNLOADED_DRIVERS: a count, then entries with at most 12 characters of the name. */
function unloadedList(m: Machine): Uint8Array {
  const drivers = m.scenario.unloaded ?? [];
  const p = m.pointerSize;
  const stride = p === 8 ? 0x38 : 0x28;
  const out = new Uint8Array(p + drivers.length * stride);
  const view = new DataView(out.buffer);
  const pointer = (at: number, value: bigint): void => {
    if (p === 8) view.setBigUint64(at, value, true);
    else view.setUint32(at, Number(value & 0xffffffffn), true);
  };
  view.setUint32(0, drivers.length, true);
  drivers.forEach((driver, index) => {
    const at = p + index * stride;
    const name = driver.name.slice(0, 12);
    view.setUint16(at, name.length * 2, true);
    view.setUint16(at + 2, name.length * 2, true);
    out.set(utf16Bytes(name), at + 2 * p);
    pointer(at + 2 * p + 24, m.value(driver.start, `unloaded[${index}].start`));
    pointer(at + 3 * p + 24, m.value(driver.end, `unloaded[${index}].end`));
  });
  return out;
}

interface DriverList {
  readonly list: Uint8Array;
  readonly pool: Uint8Array;
  readonly count: number;
  /** File offset of the broken driver's name, 0 for none. */
  readonly broken: number;
}

/**
 * DUMP_DRIVER_ENTRY: name offset, then the first part of the KLDR_DATA_TABLE_ENTRY with the links and names zero. Check
 * sum and time stamp come from the image's header. 0x90 bytes apart in real 64-bit dumps, 0x4c on 32-bit ones.
 */
function driverList(m: Machine, listOffset: number): DriverList {
  const p = m.pointerSize;
  const wide = p === 8;
  const stride = wide ? 0x90 : 0x4c;
  const at = wide
    ? { base: 0x38, entry: 0x40, size: 0x48, checkSum: 0x80, stamp: 0x88 }
    : { base: 0x1c, entry: 0x20, size: 0x24, checkSum: 0x44, stamp: 0x48 };
  const modules = m.modules.filter((module) => module.spec.process === undefined && module.spec.listed !== false);
  const list = new Uint8Array(modules.length * stride);
  const view = new DataView(list.buffer);
  const poolStart = Math.ceil((listOffset + list.length) / 8) * 8;
  const strings: Uint8Array[] = [];
  let poolSize = 0;
  const text = (value: string): number => {
    const bytes = new Uint8Array(Math.ceil((4 + value.length * 2 + 2) / 8) * 8);
    new DataView(bytes.buffer).setUint32(0, value.length, true);
    bytes.set(utf16Bytes(value), 4);
    strings.push(bytes);
    const offset = poolStart + poolSize;
    poolSize += bytes.length;
    return offset;
  };
  modules.forEach((module, index) => {
    const entry = index * stride;
    view.setUint32(entry, text(module.fullName), true);
    if (wide) view.setBigUint64(entry + at.base, module.base, true);
    else view.setUint32(entry + at.base, Number(module.base & 0xffffffffn), true);
    view.setUint32(entry + at.size, module.size, true);
    view.setUint32(entry + at.checkSum, module.checkSum, true);
    view.setUint32(entry + at.stamp, module.timeDateStamp, true);
  });
  const brokenName = m.scenario.triage?.brokenDriver;
  const broken = brokenName === undefined ? 0 : text(brokenName);
  const pool = new Uint8Array(poolSize);
  let cursor = 0;
  for (const part of strings) {
    pool.set(part, cursor);
    cursor += part.length;
  }
  return { list, pool, count: modules.length, broken };
}
