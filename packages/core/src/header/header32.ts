import { pa } from '../brands.ts';
import { isPageFill } from '../bytes.ts';
import type { DumpHeader } from '../dump.ts';
import { exceptionRecord, HeaderFields, physicalMemoryBlock } from './fields.ts';
import { contextSize } from './machine.ts';

export const HEADER32_SIZE = 0x1000;

/** DUMP_HEADER32; `bytes` holds the 0x1000 bytes of it. Offsets: dumpformat §2. */
export function parseHeader32(bytes: Uint8Array): DumpHeader {
  const f = new HeaderFields(bytes);
  const directoryTableBase = f.u32(0x10);
  const pae = bytes[0x5c] ?? 0;
  const space = f.u64(0xfa0);
  return {
    size: HEADER32_SIZE,
    majorVersion: f.raw32(0x08),
    minorVersion: f.raw32(0x0c),
    directoryTableBase: directoryTableBase === null ? null : pa(directoryTableBase),
    pfnDatabase: f.pointer(0x14, 4),
    psLoadedModuleList: f.pointer(0x18, 4),
    psActiveProcessHead: f.pointer(0x1c, 4),
    machineImageType: f.raw32(0x20),
    numberProcessors: f.raw32(0x24),
    bugCheckCode: f.raw32(0x28),
    bugCheckParameters: [BigInt(f.raw32(0x2c)), BigInt(f.raw32(0x30)), BigInt(f.raw32(0x34)), BigInt(f.raw32(0x38))],
    versionUser: f.text(0x3c, 32),
    // 0 and 1 are the values that Windows writes; `P` is the first byte of the fill pattern.
    paeEnabled: pae === 0 ? false : pae === 1 ? true : null,
    kdSecondaryVersion: isPageFill(bytes.subarray(0x5c, 0x60), 0x5c) ? null : (bytes[0x5d] ?? null),
    kdDebuggerDataBlock: f.pointer(0x60, 4),
    physicalMemoryBlock: physicalMemoryBlock(bytes, 0x64, 4),
    context: f.record(0x320, contextSize(f.raw32(0x20), 4)),
    contextOffset: 0x320,
    exception: exceptionRecord(bytes.subarray(0x7d0), 0x7d0, 4),
    exceptionOffset: 0x7d0,
    comment: f.text(0x820, 128),
    dumpType: f.raw32(0xf88),
    miniDumpFields: f.u32(0xf8c),
    secondaryDataState: f.u32(0xf90),
    productType: f.u32(0xf94),
    suiteMask: f.u32(0xf98),
    writerStatus: f.u32(0xf9c),
    attributes: null,
    bootId: null,
    requiredDumpSpace: space === null ? null : Number(space),
    systemUpTime: f.u64(0xfb8),
    systemTime: f.u64(0xfc0),
  };
}
