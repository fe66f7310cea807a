import { pa } from '../brands.ts';
import { isPageFill, u64 } from '../bytes.ts';
import type { DumpHeader } from '../dump.ts';
import { exceptionRecord, HeaderFields, physicalMemoryBlock } from './fields.ts';
import { contextSize, MACHINE_ARM64 } from './machine.ts';

export const HEADER64_SIZE = 0x2000;
/** ASID in bits 63:48 and CnP in bit 0 of a TTBR are no part of the address. */
const TTBR_ADDRESS = 0x0000_ffff_ffff_f000n;

/** DUMP_HEADER64; `bytes` holds the 0x2000 bytes of it. Offsets: dumpformat §3. */
export function parseHeader64(bytes: Uint8Array): DumpHeader {
  const f = new HeaderFields(bytes);
  const arm64 = f.raw32(0x30) === MACHINE_ARM64;
  const directoryTableBase = f.u64(0x10);
  const space = f.u64(0xfa0);
  return {
    size: HEADER64_SIZE,
    majorVersion: f.raw32(0x08),
    minorVersion: f.raw32(0x0c),
    directoryTableBase:
      directoryTableBase === null ? null : pa(Number(arm64 ? directoryTableBase & TTBR_ADDRESS : directoryTableBase)),
    pfnDatabase: f.pointer(0x18, 8),
    psLoadedModuleList: f.pointer(0x20, 8),
    psActiveProcessHead: f.pointer(0x28, 8),
    machineImageType: f.raw32(0x30),
    numberProcessors: f.raw32(0x34),
    bugCheckCode: f.raw32(0x38),
    bugCheckParameters: [u64(bytes, 0x40), u64(bytes, 0x48), u64(bytes, 0x50), u64(bytes, 0x58)],
    versionUser: f.text(0x60, 32),
    paeEnabled: null,
    kdDebuggerDataBlock: f.pointer(0x80, 8),
    physicalMemoryBlock: physicalMemoryBlock(bytes, 0x88, 8),
    context: f.record(0x348, contextSize(f.raw32(0x30), 8)),
    contextOffset: 0x348,
    exception: exceptionRecord(bytes.subarray(0xf00), 0xf00, 8),
    exceptionOffset: 0xf00,
    dumpType: f.raw32(0xf98),
    requiredDumpSpace: space === null ? null : Number(space),
    systemTime: f.u64(0xfa8),
    comment: f.text(0xfb0, 128),
    systemUpTime: f.u64(0x1030),
    miniDumpFields: f.u32(0x1038),
    secondaryDataState: f.u32(0x103c),
    productType: f.u32(0x1040),
    suiteMask: f.u32(0x1044),
    writerStatus: f.u32(0x1048),
    kdSecondaryVersion: isPageFill(bytes.subarray(0x104c, 0x1050), 0x104c) ? null : (bytes[0x104d] ?? null),
    attributes: f.u32(0x1050),
    bootId: f.u32(0x1054),
  };
}
