import { asciiBytes } from '../kernel/struct-writer.ts';
import type { PhysicalLayout } from '../memory/frames.ts';
import { DUMP_TYPE, type HeaderInput } from './dump-input.ts';

/** Bytes of the header: where what follows it begins. */
export function headerSize(input: HeaderInput): number {
  return input.arch === 'x86' ? 0x1000 : 0x2000;
}

/** Where the header's CONTEXT lies. */
export function contextOffset(input: HeaderInput): number {
  return input.arch === 'x86' ? 0x320 : 0x348;
}

function blank(size: number): Uint8Array {
  const out = new Uint8Array(size);
  for (let i = 0; i < size; i += 4) out.set([0x50, 0x41, 0x47, 0x45], i); // the pattern PAGE: never written
  return out;
}

/** DUMP_HEADER32 or DUMP_HEADER64 (dumpformat.md, 2 and 3). `space` is RequiredDumpSpace. */
export function buildHeader(input: HeaderInput, physical: PhysicalLayout | null, space: number): Uint8Array {
  return input.arch === 'x86' ? header32(input, physical, space) : header64(input, physical, space);
}

function header32(input: HeaderInput, physical: PhysicalLayout | null, space: number): Uint8Array {
  const out = blank(0x1000);
  const view = new DataView(out.buffer);
  const has = (name: string): boolean => !input.unwritten.has(name);
  const u32 = (name: string, offset: number, value: number | bigint): void => {
    if (has(name)) view.setUint32(offset, Number(BigInt(value) & 0xffffffffn), true);
  };
  const u64 = (name: string, offset: number, value: bigint): void => {
    if (has(name)) view.setBigUint64(offset, BigInt.asUintN(64, value), true);
  };
  out.set(asciiBytes('PAGEDUMP'), 0);
  u32('majorVersion', 0x08, input.majorVersion);
  u32('minorVersion', 0x0c, input.build);
  u32('directoryTableBase', 0x10, input.directoryTableBase);
  u32('pfnDatabase', 0x14, input.pfnDatabase);
  u32('psLoadedModuleList', 0x18, input.psLoadedModuleList);
  u32('psActiveProcessHead', 0x1c, input.psActiveProcessHead);
  u32('machineImageType', 0x20, input.machine);
  u32('numberProcessors', 0x24, input.processors);
  u32('bugCheckCode', 0x28, input.bugCheckCode);
  for (let i = 0; i < 4; i++) u32('bugCheckParameters', 0x2c + i * 4, input.bugCheckParameters[i] ?? 0n);
  if (input.versionUser !== null) writeText(out, 0x3c, 32, input.versionUser);
  if (has('paeEnabled')) view.setUint8(0x5c, input.paeEnabled ? 1 : 0);
  if (has('kdSecondaryVersion')) view.setUint8(0x5d, 0);
  u32('kdDebuggerDataBlock', 0x60, input.kdDebuggerDataBlock);
  if (physical !== null && has('physicalMemoryBlock')) {
    const runs = physical.runs.slice(0, 86);
    view.setUint32(0x64, runs.length, true);
    view.setUint32(
      0x68,
      runs.reduce((sum, run) => sum + run.count, 0),
      true,
    );
    runs.forEach((run, index) => {
      view.setUint32(0x6c + index * 8, run.base, true);
      view.setUint32(0x70 + index * 8, run.count, true);
    });
  }
  if (input.context !== null && has('context')) out.set(input.context, 0x320);
  if (input.exception !== null) {
    out.fill(0, 0x7d0, 0x820);
    view.setUint32(0x7d0, input.exception.code, true);
    view.setUint32(0x7d4, input.exception.flags, true);
    view.setUint32(0x7dc, Number(input.exception.address & 0xffffffffn), true);
    view.setUint32(0x7e0, input.exception.parameters.length, true);
    input.exception.parameters.slice(0, 15).forEach((value, i) => {
      view.setUint32(0x7e4 + i * 4, Number(value & 0xffffffffn), true);
    });
  }
  if (input.comment !== null) writeText(out, 0x820, 128, input.comment);
  u32('dumpType', 0xf88, DUMP_TYPE[input.kind]);
  if (input.miniDumpFields !== null) u32('miniDumpFields', 0xf8c, input.miniDumpFields);
  if (input.secondaryDataState !== null) u32('secondaryDataState', 0xf90, input.secondaryDataState);
  u32('productType', 0xf94, input.productType);
  u32('suiteMask', 0xf98, input.suiteMask);
  u32('writerStatus', 0xf9c, 0);
  u64('requiredDumpSpace', 0xfa0, BigInt(space));
  u64('systemUpTime', 0xfb8, input.systemUpTime);
  u64('systemTime', 0xfc0, input.systemTime);
  return out;
}

function header64(input: HeaderInput, physical: PhysicalLayout | null, space: number): Uint8Array {
  const out = blank(0x2000);
  const view = new DataView(out.buffer);
  const has = (name: string): boolean => !input.unwritten.has(name);
  const u32 = (name: string, offset: number, value: number): void => {
    if (has(name)) view.setUint32(offset, value >>> 0, true);
  };
  const u64 = (name: string, offset: number, value: bigint): void => {
    if (has(name)) view.setBigUint64(offset, BigInt.asUintN(64, value), true);
  };
  out.set(asciiBytes('PAGEDU64'), 0);
  u32('majorVersion', 0x08, input.majorVersion);
  u32('minorVersion', 0x0c, input.build);
  u64('directoryTableBase', 0x10, input.directoryTableBase);
  u64('pfnDatabase', 0x18, input.pfnDatabase);
  u64('psLoadedModuleList', 0x20, input.psLoadedModuleList);
  u64('psActiveProcessHead', 0x28, input.psActiveProcessHead);
  u32('machineImageType', 0x30, input.machine);
  u32('numberProcessors', 0x34, input.processors);
  u32('bugCheckCode', 0x38, input.bugCheckCode);
  for (let i = 0; i < 4; i++) u64('bugCheckParameters', 0x40 + i * 8, input.bugCheckParameters[i] ?? 0n);
  if (input.versionUser !== null) writeText(out, 0x60, 32, input.versionUser);
  u64('kdDebuggerDataBlock', 0x80, input.kdDebuggerDataBlock);
  if (physical !== null && has('physicalMemoryBlock')) {
    const runs = physical.runs.slice(0, 42);
    view.setUint32(0x88, runs.length, true);
    view.setUint32(0x8c, 0, true);
    view.setBigUint64(0x90, BigInt(runs.reduce((sum, run) => sum + run.count, 0)), true);
    runs.forEach((run, index) => {
      view.setBigUint64(0x98 + index * 16, BigInt(run.base), true);
      view.setBigUint64(0xa0 + index * 16, BigInt(run.count), true);
    });
  }
  if (input.context !== null && has('context')) {
    // Real files have the whole area of 3000 bytes written: what follows the CONTEXT is zero.
    out.fill(0, 0x348, 0x348 + 3000);
    out.set(input.context, 0x348);
  }
  if (input.exception !== null) {
    view.setUint32(0xf00, input.exception.code, true);
    view.setUint32(0xf04, input.exception.flags, true);
    view.setBigUint64(0xf08, 0n, true);
    view.setBigUint64(0xf10, input.exception.address, true);
    view.setUint32(0xf18, input.exception.parameters.length, true);
    input.exception.parameters.slice(0, 15).forEach((value, i) => {
      view.setBigUint64(0xf20 + i * 8, BigInt.asUintN(64, value), true);
    });
  }
  u32('dumpType', 0xf98, DUMP_TYPE[input.kind]);
  u64('requiredDumpSpace', 0xfa0, BigInt(space));
  u64('systemTime', 0xfa8, input.systemTime);
  if (input.comment !== null) writeText(out, 0xfb0, 128, input.comment);
  u64('systemUpTime', 0x1030, input.systemUpTime);
  if (input.miniDumpFields !== null) u32('miniDumpFields', 0x1038, input.miniDumpFields);
  if (input.secondaryDataState !== null) u32('secondaryDataState', 0x103c, input.secondaryDataState);
  u32('productType', 0x1040, input.productType);
  u32('suiteMask', 0x1044, input.suiteMask);
  u32('writerStatus', 0x1048, 0);
  if (has('kdSecondaryVersion')) view.setUint8(0x104d, 0); // the bytes around it stay PAGE
  if (input.attributes !== null) u32('attributes', 0x1050, input.attributes);
  return out;
}

function writeText(out: Uint8Array, at: number, size: number, text: string): void {
  out.fill(0, at, at + size);
  out.set(asciiBytes(text.slice(0, size - 1)), at);
}
