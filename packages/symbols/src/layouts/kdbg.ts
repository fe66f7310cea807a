/*
 * What KDDEBUGGER_DATA64 says about the kernel that it belongs to: addresses of kernel variables, and offsets of the
 * structure members that a debugger needs first. Both identify the kernel or a table that fits it.
 */

/** A pointer of KDDEBUGGER_DATA64 and the kernel symbols that it may be equal to. */
export interface KdbgPointer {
  readonly name: string;
  readonly offset: number;
  readonly symbols: readonly string[];
}

/**
 * Names differ from the symbols in a few places. Seen with the exact tables of three 19041 kernels, and by order and
 * distance on 9600: KdPrintCircularBuffer points at KdPrintDefaultCircularBuffer and KdPrintCircularBufferPtr at the
 * variable of that name, KeLoaderBlock at KdpLoaderDebuggerBlock, NtBuildLab at NtBuildLabEx from Windows 10 on.
 */
const aliases: Readonly<Record<string, readonly string[]>> = {
  BreakpointWithStatus: ['DbgBreakPointWithStatus', 'RtlpBreakWithStatusInstruction'],
  KdPrintCircularBuffer: ['KdPrintDefaultCircularBuffer', 'KdPrintCircularBuffer'],
  KdPrintCircularBufferPtr: ['KdPrintCircularBuffer'],
  KeLoaderBlock: ['KdpLoaderDebuggerBlock', 'KeLoaderBlock'],
  NtBuildLab: ['NtBuildLabEx', 'NtBuildLab'],
  MmTriageActionTaken: ['VerifierTriageActionTaken', 'MmTriageActionTaken'],
  MmPagedPoolInformation: ['MmPagedPoolInfo', 'MmPagedPoolInformation'],
};

const pointerOffsets: readonly (readonly [string, number])[] = [
  ['BreakpointWithStatus', 0x20],
  ['KiCallUserMode', 0x38],
  ['PsLoadedModuleList', 0x48],
  ['PsActiveProcessHead', 0x50],
  ['PspCidTable', 0x58],
  ['ExpSystemResourcesList', 0x60],
  ['ExpPagedPoolDescriptor', 0x68],
  ['ExpNumberOfPagedPools', 0x70],
  ['KeTimeIncrement', 0x78],
  ['KeBugCheckCallbackListHead', 0x80],
  ['KiBugCheckData', 0x88],
  ['IopErrorLogListHead', 0x90],
  ['ObpRootDirectoryObject', 0x98],
  ['ObpTypeObjectType', 0xa0],
  ['MmSystemCacheStart', 0xa8],
  ['MmSystemCacheEnd', 0xb0],
  ['MmSystemCacheWs', 0xb8],
  ['MmPfnDatabase', 0xc0],
  ['MmSystemPtesStart', 0xc8],
  ['MmSystemPtesEnd', 0xd0],
  ['MmSubsectionBase', 0xd8],
  ['MmNumberOfPagingFiles', 0xe0],
  ['MmLowestPhysicalPage', 0xe8],
  ['MmHighestPhysicalPage', 0xf0],
  ['MmNumberOfPhysicalPages', 0xf8],
  ['MmMaximumNonPagedPoolInBytes', 0x100],
  ['MmNonPagedSystemStart', 0x108],
  ['MmNonPagedPoolStart', 0x110],
  ['MmNonPagedPoolEnd', 0x118],
  ['MmPagedPoolStart', 0x120],
  ['MmPagedPoolEnd', 0x128],
  ['MmPagedPoolInformation', 0x130],
  ['MmSizeOfPagedPoolInBytes', 0x140],
  ['MmTotalCommitLimit', 0x148],
  ['MmTotalCommittedPages', 0x150],
  ['MmSharedCommit', 0x158],
  ['MmDriverCommit', 0x160],
  ['MmProcessCommit', 0x168],
  ['MmPagedPoolCommit', 0x170],
  ['MmZeroedPageListHead', 0x180],
  ['MmFreePageListHead', 0x188],
  ['MmStandbyPageListHead', 0x190],
  ['MmModifiedPageListHead', 0x198],
  ['MmModifiedNoWritePageListHead', 0x1a0],
  ['MmAvailablePages', 0x1a8],
  ['MmResidentAvailablePages', 0x1b0],
  ['PoolTrackTable', 0x1b8],
  ['NonPagedPoolDescriptor', 0x1c0],
  ['MmHighestUserAddress', 0x1c8],
  ['MmSystemRangeStart', 0x1d0],
  ['MmUserProbeAddress', 0x1d8],
  ['KdPrintCircularBuffer', 0x1e0],
  ['KdPrintWritePointer', 0x1f0],
  ['KdPrintRolloverCount', 0x1f8],
  ['NtBuildLab', 0x208],
  ['KiProcessorBlock', 0x218],
  ['MmUnloadedDrivers', 0x220],
  ['MmLastUnloadedDriver', 0x228],
  ['MmTriageActionTaken', 0x230],
  ['MmSpecialPoolTag', 0x238],
  ['KernelVerifier', 0x240],
  ['MmVerifierData', 0x248],
  ['MmAllocatedNonPagedPool', 0x250],
  ['MmPeakCommitment', 0x258],
  ['MmTotalCommitLimitMaximum', 0x260],
  ['CmNtCSDVersion', 0x268],
  ['MmPhysicalMemoryBlock', 0x270],
  ['MmSessionBase', 0x278],
  ['MmSessionSize', 0x280],
  ['KdPrintCircularBufferPtr', 0x2c8],
  ['KdPrintBufferSize', 0x2d0],
  ['KeLoaderBlock', 0x2d8],
  ['IopNumTriageDumpDataBlocks', 0x308],
  ['IopTriageDumpDataBlocks', 0x310],
  ['MmBadPagesDetected', 0x320],
  ['MmZeroedPageSingleBitErrorsDetected', 0x328],
  ['EtwpDebuggerData', 0x330],
];

/** Pointers that a kernel's symbols can be compared with; a zero in the block means that this build does not set it. */
export const kdbgPointers: readonly KdbgPointer[] = pointerOffsets.map(([name, offset]) => ({
  name,
  offset,
  symbols: aliases[name] ?? [name],
}));

/** A 16-bit (from 0x340 to 0x34c: 32-bit) offset or size in KDDEBUGGER_DATA64, and what it is in a type table. */
export interface KdbgOffset {
  readonly name: string;
  readonly offset: number;
  readonly width: 2 | 4;
  /** `_KTHREAD.ApcState.Process`; alternatives for other architectures and builds; a lone type name means its size. */
  readonly paths: readonly string[];
}

const o = (offset: number, name: string, ...paths: string[]): KdbgOffset => ({ name, offset, width: 2, paths });

/**
 * Fields from 0x340 on: seen on 9600 (block of 0x360 bytes), 19041 and 22000 (0x380), where 0x340..0x34f are 32 bits
 * wide and the rest 16. A zero means that the architecture has no such member.
 */
export const kdbgOffsets: readonly KdbgOffset[] = [
  o(0x298, 'OffsetKThreadNextProcessor', '_KTHREAD.NextProcessor'),
  o(0x29a, 'OffsetKThreadTeb', '_KTHREAD.Teb'),
  o(0x29c, 'OffsetKThreadKernelStack', '_KTHREAD.KernelStack'),
  o(0x29e, 'OffsetKThreadInitialStack', '_KTHREAD.InitialStack'),
  o(0x2a0, 'OffsetKThreadApcProcess', '_KTHREAD.ApcState.Process'),
  o(0x2a2, 'OffsetKThreadState', '_KTHREAD.State'),
  o(0x2a8, 'SizeEProcess', '_EPROCESS'),
  o(0x2aa, 'OffsetEprocessPeb', '_EPROCESS.Peb'),
  o(0x2ac, 'OffsetEprocessParentCID', '_EPROCESS.InheritedFromUniqueProcessId'),
  o(0x2ae, 'OffsetEprocessDirectoryTableBase', '_EPROCESS.Pcb.DirectoryTableBase'),
  o(0x2b0, 'SizePrcb', '_KPRCB'),
  o(0x2b2, 'OffsetPrcbDpcRoutine', '_KPRCB.DpcRoutineActive'),
  o(0x2b4, 'OffsetPrcbCurrentThread', '_KPRCB.CurrentThread'),
  o(0x2b6, 'OffsetPrcbMhz', '_KPRCB.MHz'),
  o(0x2b8, 'OffsetPrcbCpuType', '_KPRCB.CpuType'),
  o(0x2ba, 'OffsetPrcbVendorString', '_KPRCB.VendorString'),
  o(0x2bc, 'OffsetPrcbProcStateContext', '_KPRCB.ProcessorState.ContextFrame'),
  o(0x2be, 'OffsetPrcbNumber', '_KPRCB.Number'),
  o(0x2c0, 'SizeEThread', '_ETHREAD'),
  o(0x2e0, 'SizePcr', '_KPCR'),
  o(0x2e2, 'OffsetPcrSelfPcr', '_KPCR.Self', '_KPCR.SelfPcr'),
  o(0x2e4, 'OffsetPcrCurrentPrcb', '_KPCR.CurrentPrcb', '_KPCR.Prcb'),
  o(0x2e6, 'OffsetPcrContainedPrcb', '_KPCR.PrcbData', '_KPCR.Prcb'),
  o(0x2f2, 'OffsetPrcbProcStateSpecialReg', '_KPRCB.ProcessorState.SpecialRegisters'),
  o(0x338, 'OffsetPrcbContext', '_KPRCB.Context'),
  { ...o(0x340, 'OffsetKThreadStackLimit', '_KTHREAD.StackLimit'), width: 4 },
  { ...o(0x344, 'OffsetKThreadStackBase', '_KTHREAD.StackBase'), width: 4 },
  { ...o(0x348, 'OffsetKThreadQueueListEntry', '_KTHREAD.QueueListEntry'), width: 4 },
  { ...o(0x34c, 'OffsetEThreadIrpList', '_ETHREAD.IrpList'), width: 4 },
  o(0x350, 'OffsetPrcbIdleThread', '_KPRCB.IdleThread'),
  o(0x352, 'OffsetPrcbNormalDpcState', '_KPRCB.NormalDpcState'),
  o(0x354, 'OffsetPrcbDpcStack', '_KPRCB.DpcStack'),
  o(0x356, 'OffsetPrcbIsrStack', '_KPRCB.IsrStack'),
  o(0x358, 'SizeKDpcStackFrame', '_KDPC_STACK_FRAME'),
  o(0x35a, 'OffsetKPriQueueThreadListHead', '_KPRIQUEUE.ThreadListHead'),
  o(0x35c, 'OffsetKThreadWaitReason', '_KTHREAD.WaitReason'),
];
