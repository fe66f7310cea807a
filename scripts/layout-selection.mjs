// What of the kernel's types and symbols the built-in table holds. Whatever a chosen type embeds comes along.

const alternatives = (text) => text.trim().split(/\s+/).join('|');

/** Structures, unions and enumerations by name. */
export const typePattern = new RegExp(
  `^(${alternatives(`
  _K[A-Z].* _E(PROCESS|THREAD|JOB|RESOURCE|TIMER|XCEPTION.*) _CONTEXT _XSAVE_.* _XSTATE_.* _NT_TIB.* _CLIENT_ID.*
  _DISPATCHER_HEADER _DISPATCHER_CONTEXT _FAST_MUTEX _OWNER_ENTRY _MACHINE_FRAME _SYNCH_COUNTERS _RUNTIME_FUNCTION
  _EX_(PUSH_LOCK.*|FAST_REF|WORK_QUEUE.*|QUEUE_WORKER_INFO|SPIN_LOCK|RUNDOWN_REF.*|TIMER|WORKER.*|CALLBACK.*)
  _(EX_)?WORK_QUEUE_.* WORK_QUEUE_TYPE _IO_WORKITEM _IO_STACK_LOCATION _IO_STATUS_BLOCK.* _IO_TIMER
  _IO_COMPLETION_CONTEXT _IO_CLIENT_EXTENSION _IRP _MDL _DEVICE_OBJECT(_.*)? _DRIVER_(OBJECT|EXTENSION) _DEVOBJ_EXTENSION
  _FILE_OBJECT _DEVICE_NODE _VPB _WAIT_CONTEXT_BLOCK _CONTROLLER_OBJECT _FAST_IO_DISPATCH _SECTION_OBJECT_POINTERS
  _POWER_STATE _POWER_SEQUENCE _DEVICE_POWER_STATE _SYSTEM_POWER_STATE POWER_ACTION _POWER_ACTION
  _K?LDR_DATA_TABLE_ENTRY _PEB _PEB32 _PEB64 _PEB_LDR_DATA _TEB _TEB32 _TEB64 _RTL_USER_PROCESS_PARAMETERS
  _RTL_(CRITICAL_SECTION|CRITICAL_SECTION_DEBUG|SRWLOCK|BITMAP|BALANCED_LINKS|BALANCED_NODE|RB_TREE|AVL_TREE|AVL_TABLE)
  _UNICODE_STRING _STRING _STRING32 _STRING64 _UNICODE_STRING32 _LIST_ENTRY LIST_ENTRY32 LIST_ENTRY64 _SINGLE_LIST_ENTRY(32|64)?
  _SLIST_.* _LARGE_INTEGER _ULARGE_INTEGER _GUID _LUID _M128A _FLOATING_SAVE_AREA _FXSAVE_FORMAT _FX_SAVE_AREA _FNSAVE_FORMAT
  _GROUP_AFFINITY _PROCESSOR_NUMBER _PROCESSOR_POWER_STATE _PROC_.* _PPM_IDLE_STATES? _PPM_IDLE_STATE _PPM_SELECTION_.*
  _GENERAL_LOOKASIDE.* _PP_LOOKASIDE_LIST _DESCRIPTOR _HARDWARE_PTE _MMPTE.* _MMPFN.* _MI_ACTIVE_PFN _MIPFN.* _MMSUPPORT.*
  _MMVAD(_SHORT|_FLAGS.*)? _PHYSICAL_MEMORY_(DESCRIPTOR|RUN)
  _POOL_(HEADER|DESCRIPTOR|TRACKER_TABLE|TRACKER_BIG_PAGES|BLOCK_HEAD) _POOL_TYPE
  _OBJECT_(HEADER.*|TYPE.*|ATTRIBUTES|DIRECTORY|DIRECTORY_ENTRY|SYMBOLIC_LINK|NAME_INFORMATION|DUMP_CONTROL)
  _HANDLE_TABLE.* _SE_AUDIT_PROCESS_CREATION_INFO _PS_PROTECTION _SECTION _CONTROL_AREA _SEGMENT _SUBSECTION
  _ALPC_(PORT|COMMUNICATION_INFO|PORT_ATTRIBUTES|HANDLE_TABLE) _KALPC_.* _PORT_MESSAGE(32|64)? _LPCP_.*
  _EXCEPTION_(RECORD|RECORD32|RECORD64|POINTERS|REGISTRATION_RECORD) _EH3_EXCEPTION_REGISTRATION
  _DBGKD_GET_VERSION(32|64) _DPC_.* _ISR_THUNK _REQUEST_MAILBOX
  _CACHED_KSTACK_LIST _STACK_TABLE _VF_AVL_TREE _CACHE_DESCRIPTOR _CPU_INFO
  _INTERRUPT_.* _INTERFACE_TYPE _IRQ_PRIORITY _MODE _EXCEPTION_DISPOSITION _NT_PRODUCT_TYPE _ALTERNATIVE_ARCHITECTURE_TYPE
  _UNLOADED_DRIVERS _CALLBACK_OBJECT _CM_KEY_(BODY|CONTROL_BLOCK|HASH|NODE|NAME_CONTROL_BLOCK)
  _TOKEN _SID _SID_AND_ATTRIBUTES _SID_AND_ATTRIBUTES_HASH _SEP_TOKEN_PRIVILEGES _SECURITY_.* _TERMINATION_PORT
  _WAIT_TYPE _TIMER_TYPE _EVENT_TYPE _SCHED.* _AFFINITY.*
  _BUGCHECK.* _DUMP_.* _TRIAGE_.* _SYSTEM_THREAD_INFORMATION _KOBJECTS _VACB _SHARED_CACHE_MAP
`)})$`,
);

/** Members whose pointer target is wanted too: \`[structure, member]\`. */
export const fieldRoots = [
  ['_EPROCESS', 'Job'],
  ['_KPRCB', 'SchedulerSubNode'],
  ['_KPRCB', 'ParentNode'],
  ['_KTHREAD', 'SchedulingGroup'],
  ['_KTHREAD', 'Queue'],
];

/**
 * Symbols that KDDEBUGGER_DATA64 points at, and those by which a kernel is found to be the one of a table. Their RVAs
 * are kept outside the compressed part, so that matching costs nothing.
 */
export const kdbgSymbolNames = `
  DbgBreakPointWithStatus RtlpBreakWithStatusInstruction KiCallUserMode PsLoadedModuleList PsActiveProcessHead PspCidTable
  ExpSystemResourcesList ExpPagedPoolDescriptor ExpNumberOfPagedPools KeTimeIncrement KeBugCheckCallbackListHead
  KiBugCheckData IopErrorLogListHead ObpRootDirectoryObject ObpTypeObjectType MmSystemCacheStart MmSystemCacheEnd
  MmSystemCacheWs MmPfnDatabase MmSystemPtesStart MmSystemPtesEnd MmSubsectionBase MmNumberOfPagingFiles
  MmLowestPhysicalPage MmHighestPhysicalPage MmNumberOfPhysicalPages MmMaximumNonPagedPoolInBytes MmNonPagedSystemStart
  MmNonPagedPoolStart MmNonPagedPoolEnd MmPagedPoolStart MmPagedPoolEnd MmPagedPoolInfo MmSizeOfPagedPoolInBytes
  MmTotalCommitLimit MmTotalCommittedPages MmSharedCommit MmDriverCommit MmProcessCommit MmPagedPoolCommit
  MmZeroedPageListHead MmFreePageListHead MmStandbyPageListHead MmModifiedPageListHead MmModifiedNoWritePageListHead
  MmAvailablePages MmResidentAvailablePages PoolTrackTable NonPagedPoolDescriptor MmHighestUserAddress
  MmSystemRangeStart MmUserProbeAddress KdPrintDefaultCircularBuffer KdPrintCircularBuffer KdPrintWritePointer
  KdPrintRolloverCount NtBuildLab NtBuildLabEx KiProcessorBlock MmUnloadedDrivers MmLastUnloadedDriver
  MmTriageActionTaken VerifierTriageActionTaken MmSpecialPoolTag KernelVerifier MmVerifierData MmAllocatedNonPagedPool
  MmPeakCommitment MmTotalCommitLimitMaximum CmNtCSDVersion MmPhysicalMemoryBlock MmSessionBase MmSessionSize
  KdPrintBufferSize KeLoaderBlock KdpLoaderDebuggerBlock IopNumTriageDumpDataBlocks IopTriageDumpDataBlocks
  MmBadPagesDetected MmZeroedPageSingleBitErrorsDetected EtwpDebuggerData
  KdDebuggerDataBlock KdpDataBlockEncoded KiWaitNever KiWaitAlways KeNumberProcessors KeMaximumIncrement KeTickCount
  PsIdleProcess PsInitialSystemProcess MiUnloadedDrivers KiInitialThread KiInitialProcess KiIdleProcess KeBootTime
  KeInterruptTime KiBugCheckDriver KdVersionBlock MmPteBase KiTickOffset
`
  .trim()
  .split(/\s+/);

/** Names of kernel functions and variables, with their RVAs. */
export const symbolPattern = new RegExp(
  `^(${kdbgSymbolNames.join('|')}|${alternatives(`
  K(i|x|e|f|ei|dp?)[A-Z]\\w* KdpDataBlockEncoded
  Ex[pfi]*(Acquire|Release|TryTo|Try|Enter|Leave|TimerRundown|TimerDpc|WorkerThread|WaitForRundown|BlockOnAddress)\\w*
  Iof?(Call|Complete|Start|Release|Acquire)\\w* Iopf(Call|Complete)\\w* IopTimerDispatch IopProcessWorkItem
  Psp?(SystemThreadStartup|UserThreadStartup|ThreadStartup|ActiveProcessHead|LoadedModule\\w*|Initial\\w*|Idle\\w*|CidTable)
  P(o|op|pm)Idle\\w* PpmPerfAction\\w* HalProcessorIdle HalpProcessorIdle HalpAcpi\\w*Idle\\w* HalpDispatch\\w*Interrupt\\w*
  Halp?(Request|Clear|Enable|Disable|Perform|Preprocess|Handle|Send|Timer)\\w*(Nmi|NMI|Ipi|Interrupt|Clock\\w*) HalpMcaQueueDpc
  HvlLongSpinWait HvlNotifyLongSpinWait HvlpSwitch\\w* HvlGetEncounteredMachineCheck HvlEnlightenments
  Mm(Unloaded|LastUnloaded|Pfn|Pte|Paged|System|AccessFault)\\w* MiUnloadedDrivers
  Obp?(Root|TypeObject|HeaderCookie|TypeIndexTable|KernelHandleTable)\\w* Cc(WorkerThread|QueueLazyWriteScanThread)
  Rtlp?(RaiseStatus|RaiseException|DispatchException|LongestConsecutive\\w*|BackoffSpin) DbgBreakPoint\\w* 
  VerifierKe(Acquire|Release|Try|Wait|Raise|Lower)\\w* PoolTrackTable\\w* InitialThread\\w* xHalp?\\w*Interrupt\\w*
  MiState MmGlobal\\w* memcpy memset memmove _C_specific_handler ExAllocatePool\\w* ExFreePool\\w* HalInitializeProcessor
`)})$`,
);
