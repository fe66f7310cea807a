import type { Arch } from '@dumpscope/core';
import type { Layout } from './layout.ts';

/**
 * KDDEBUGGER_DATA64 by the public header wdbgexts.h: pointers to nt's variables, then structure offsets. The last part
 * (0x340 on) was compared with real dumps of builds 9600, 19041 and 22000.
 */
const POINTERS: readonly (readonly [number, ...string[]])[] = [
  [0x20, 'RtlpBreakWithStatusInstruction', 'DbgBreakPointWithStatus'],
  [0x38, 'KiCallUserMode'],
  [0x48, 'PsLoadedModuleList'],
  [0x50, 'PsActiveProcessHead'],
  [0x58, 'PspCidTable'],
  [0x60, 'ExpSystemResourcesList'],
  [0x68, 'ExpPagedPoolDescriptor'],
  [0x70, 'ExpNumberOfPagedPools'],
  [0x78, 'KeTimeIncrement'],
  [0x80, 'KeBugCheckCallbackListHead'],
  [0x88, 'KiBugCheckData'],
  [0x90, 'IopErrorLogListHead'],
  [0x98, 'ObpRootDirectoryObject'],
  [0xa0, 'ObpTypeObjectType'],
  [0xa8, 'MmSystemCacheStart'],
  [0xb0, 'MmSystemCacheEnd'],
  [0xb8, 'MmSystemCacheWs'],
  [0xc0, 'MmPfnDatabase'],
  [0xc8, 'MmSystemPtesStart'],
  [0xd0, 'MmSystemPtesEnd'],
  [0xd8, 'MmSubsectionBase'],
  [0xe0, 'MmNumberOfPagingFiles'],
  [0xe8, 'MmLowestPhysicalPage'],
  [0xf0, 'MmHighestPhysicalPage'],
  [0xf8, 'MmNumberOfPhysicalPages'],
  [0x100, 'MmMaximumNonPagedPoolInBytes'],
  [0x108, 'MmNonPagedSystemStart'],
  [0x110, 'MmNonPagedPoolStart'],
  [0x118, 'MmNonPagedPoolEnd'],
  [0x120, 'MmPagedPoolStart'],
  [0x128, 'MmPagedPoolEnd'],
  [0x130, 'MmPagedPoolInfo'],
  [0x140, 'MmSizeOfPagedPoolInBytes'],
  [0x148, 'MmTotalCommitLimit'],
  [0x150, 'MmTotalCommittedPages'],
  [0x158, 'MmSharedCommit'],
  [0x160, 'MmDriverCommit'],
  [0x168, 'MmProcessCommit'],
  [0x170, 'MmPagedPoolCommit'],
  [0x180, 'MmZeroedPageListHead'],
  [0x188, 'MmFreePageListHead'],
  [0x190, 'MmStandbyPageListHead'],
  [0x198, 'MmModifiedPageListHead'],
  [0x1a0, 'MmModifiedNoWritePageListHead'],
  [0x1a8, 'MmAvailablePages'],
  [0x1b0, 'MmResidentAvailablePages'],
  [0x1b8, 'PoolTrackTable'],
  [0x1c0, 'NonPagedPoolDescriptor'],
  [0x1c8, 'MmHighestUserAddress'],
  [0x1d0, 'MmSystemRangeStart'],
  [0x1d8, 'MmUserProbeAddress'],
  [0x1e0, 'KdPrintDefaultCircularBuffer', 'KdPrintCircularBuffer'],
  [0x1f0, 'KdPrintWritePointer'],
  [0x1f8, 'KdPrintRolloverCount'],
  [0x208, 'NtBuildLabEx', 'NtBuildLab'],
  [0x218, 'KiProcessorBlock'],
  [0x220, 'MmUnloadedDrivers'],
  [0x228, 'MmLastUnloadedDriver'],
  [0x230, 'MmTriageActionTaken', 'VerifierTriageActionTaken'],
  [0x238, 'MmSpecialPoolTag'],
  [0x240, 'KernelVerifier'],
  [0x248, 'MmVerifierData'],
  [0x250, 'MmAllocatedNonPagedPool'],
  [0x258, 'MmPeakCommitment'],
  [0x260, 'MmTotalCommitLimitMaximum'],
  [0x268, 'CmNtCSDVersion'],
  [0x270, 'MmPhysicalMemoryBlock'],
  [0x278, 'MmSessionBase'],
  [0x280, 'MmSessionSize'],
  [0x2c8, 'KdPrintCircularBuffer'],
  [0x2d0, 'KdPrintBufferSize'],
  [0x2d8, 'KdpLoaderDebuggerBlock', 'KeLoaderBlock'],
  [0x308, 'IopNumTriageDumpDataBlocks'],
  [0x310, 'IopTriageDumpDataBlocks'],
  [0x320, 'MmBadPagesDetected'],
  [0x328, 'MmZeroedPageSingleBitErrorsDetected'],
  [0x330, 'EtwpDebuggerData'],
];

const OFFSETS: readonly (readonly [number, 2 | 4, string, ...string[]])[] = [
  [0x298, 2, '_KTHREAD', 'NextProcessor'],
  [0x29a, 2, '_KTHREAD', 'Teb'],
  [0x29c, 2, '_KTHREAD', 'KernelStack'],
  [0x29e, 2, '_KTHREAD', 'InitialStack'],
  [0x2a0, 2, '_KTHREAD', 'ApcState.Process'],
  [0x2a2, 2, '_KTHREAD', 'State'],
  [0x2a8, 2, '_EPROCESS'],
  [0x2aa, 2, '_EPROCESS', 'Peb'],
  [0x2ac, 2, '_EPROCESS', 'InheritedFromUniqueProcessId'],
  [0x2ae, 2, '_EPROCESS', 'Pcb.DirectoryTableBase'],
  [0x2b0, 2, '_KPRCB'],
  [0x2b2, 2, '_KPRCB', 'DpcRoutineActive'],
  [0x2b4, 2, '_KPRCB', 'CurrentThread'],
  [0x2b6, 2, '_KPRCB', 'MHz'],
  [0x2b8, 2, '_KPRCB', 'CpuType'],
  [0x2ba, 2, '_KPRCB', 'VendorString'],
  [0x2bc, 2, '_KPRCB', 'ProcessorState.ContextFrame'],
  [0x2be, 2, '_KPRCB', 'Number'],
  [0x2c0, 2, '_ETHREAD'],
  [0x2e0, 2, '_KPCR'],
  [0x2e2, 2, '_KPCR', 'Self', 'SelfPcr'],
  [0x2e4, 2, '_KPCR', 'CurrentPrcb', 'Prcb'],
  [0x2e6, 2, '_KPCR', 'PrcbData', 'Prcb'],
  [0x2f2, 2, '_KPRCB', 'ProcessorState.SpecialRegisters'],
  [0x338, 2, '_KPRCB', 'Context'],
  [0x340, 4, '_KTHREAD', 'StackLimit'],
  [0x344, 4, '_KTHREAD', 'StackBase'],
  [0x348, 4, '_KTHREAD', 'QueueListEntry'],
  [0x34c, 4, '_ETHREAD', 'IrpList'],
  [0x350, 2, '_KPRCB', 'IdleThread'],
  [0x352, 2, '_KPRCB', 'NormalDpcState'],
  [0x354, 2, '_KPRCB', 'DpcStack'],
  [0x356, 2, '_KPRCB', 'IsrStack'],
  [0x35a, 2, '_KPRIQUEUE', 'ThreadListHead'],
  [0x35c, 2, '_KTHREAD', 'WaitReason'],
];

const SELECTORS: Readonly<Record<Arch, readonly number[]>> = {
  // GdtR0Code, R0Data, R0Pcr, R3Code, R3Data, R3Teb, Ldt, Tss, 64R3CmCode, 64R3CmTeb
  x86: [0x08, 0x10, 0x30, 0x18, 0x20, 0x38, 0x48, 0x28, 0, 0],
  x64: [0x10, 0x18, 0, 0x33, 0x2b, 0, 0, 0x40, 0x23, 0x53],
  arm64: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
};

/** Size of the block by build: 0x290 (XP), 0x318, 0x328, 0x330, 0x340; 0x360 and 0x380 as seen on 9600 and 19041. */
export function kdbgSize(build: number): number {
  if (build <= 2600) return 0x290;
  if (build <= 3790) return 0x318;
  if (build <= 6000) return 0x328;
  if (build <= 6002) return 0x330;
  if (build <= 7601) return 0x340;
  if (build <= 10586) return 0x360;
  if (build <= 15063) return 0x368;
  return 0x380;
}

export interface KdbgInput {
  readonly arch: Arch;
  readonly build: number;
  readonly size: number;
  readonly kernelBase: bigint;
  readonly paeEnabled: boolean;
  readonly layout: Layout;
  /** Address of the block itself, and of KdpDebuggerDataListHead, which its List entry is linked to. */
  readonly listHead: bigint;
  /** Address of an nt variable; undefined where this build has none of that name. */
  global(name: string): bigint | undefined;
}

/** Bytes of the block, not encoded. Pointers of a 32-bit kernel are sign-extended, as Windows writes them. */
export function buildKdbg(input: KdbgInput): Uint8Array {
  const full = new Uint8Array(0x380);
  const view = new DataView(full.buffer);
  const extend = (value: bigint): bigint =>
    input.arch === 'x86' && (value & 0x80000000n) !== 0n ? value | 0xffffffff00000000n : value;
  const pointer = (offset: number, value: bigint | undefined): void => {
    if (value !== undefined) view.setBigUint64(offset, BigInt.asUintN(64, extend(value)), true);
  };
  // LIST_ENTRY64, also on 32-bit systems.
  pointer(0, input.listHead);
  pointer(8, input.listHead);
  full.set([0x4b, 0x44, 0x42, 0x47], 0x10);
  view.setUint32(0x14, input.size, true);
  pointer(0x18, input.kernelBase);
  for (const [offset, ...names] of POINTERS) {
    // NtBuildLabEx from Windows 8 on (seen on 9600). KdPrintCircularBuffer was the buffer itself until it became a pointer to
    // KdPrintDefaultCircularBuffer, which 2c8 then names.
    const candidates = offset === 0x208 && input.build < 9200 ? [...names].reverse() : names;
    if (offset === 0x2c8 && input.global('KdPrintDefaultCircularBuffer') === undefined) continue;
    for (const name of candidates) {
      const value = input.global(name);
      if (value === undefined) continue;
      pointer(offset, value);
      break;
    }
  }
  const printBuffer = view.getBigUint64(0x1e0, true);
  if (printBuffer !== 0n) view.setBigUint64(0x1e8, BigInt.asUintN(64, printBuffer + 0x1000n), true);
  // ThCallbackStack, NextCallback, FramePointer, then the PaeEnabled bit.
  view.setUint16(0x36, input.arch === 'x86' ? (input.paeEnabled ? 1 : 0) : 1, true);
  view.setBigUint64(0x138, 0x1000n, true);
  for (const [offset, width, type, ...fields] of OFFSETS) {
    let value = fields.length === 0 && input.layout.has(type) ? input.layout.size(type) : undefined;
    for (const field of fields) value ??= input.layout.find(type, field)?.offset;
    if (value === undefined) continue;
    if (width === 4) view.setUint32(offset, value, true);
    else view.setUint16(offset, value & 0xffff, true);
  }
  // SizeKDPC_STACK_FRAME: a constant that no table has (x64 and ARM64 of the real dumps).
  if (input.build >= 9200 && input.arch !== 'x86') view.setUint16(0x358, input.arch === 'x64' ? 0x50 : 0x10, true);
  SELECTORS[input.arch].forEach((selector, index) => {
    view.setUint16(0x2f4 + index * 2, selector, true);
  });
  return full.slice(0, input.size);
}

/**
 * Encodes the block as Windows 8 and later keep it in memory while no debugger is attached. The reader's way back is
 * `KiWaitAlways ^ bswap64(rotl64(x ^ KiWaitNever, KiWaitNever & 63) ^ &KdpDataBlockEncoded)`.
 */
export function encodeKdbg(block: Uint8Array, waitNever: bigint, waitAlways: bigint, encodedFlag: bigint): Uint8Array {
  const out = new Uint8Array(block.length);
  const from = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const to = new DataView(out.buffer);
  const shift = waitNever & 63n;
  for (let at = 0; at + 8 <= block.length; at += 8) {
    let x = from.getBigUint64(at, true) ^ waitAlways;
    x = bswap64(x) ^ encodedFlag;
    x = BigInt.asUintN(64, (x >> shift) | (x << (64n - shift))); // rotate right
    to.setBigUint64(at, x ^ waitNever, true);
  }
  return out;
}

function bswap64(value: bigint): bigint {
  let out = 0n;
  let rest = value;
  for (let i = 0; i < 8; i++) {
    out = (out << 8n) | (rest & 0xffn);
    rest >>= 8n;
  }
  return out;
}
