export * from './commands/index.ts';
export { threadRegisters } from './commands/session/thread-context.ts';
export * from './expressions/index.ts';
export * from './nt/alpc.ts';
export { baseBugcheckCode, bugcheckRow } from './nt/bugcheck.ts';
export { bugcheckRows } from './nt/bugcheck-names.ts';
export { type DeviceExtension, deviceExtensionAt } from './nt/device-extension.ts';
export { type BottomDevice, bottomDevice } from './nt/device-stack.ts';
export { type DpcListEnd, type DpcQueue, dpcQueues, type QueuedDpc, readDpc } from './nt/dpc-queue.ts';
export * from './nt/eresource.ts';
export { type FastMutex, fastMutexAround } from './nt/fast-mutex.ts';
export { type InterruptLock, interruptLockAt } from './nt/interrupt-object.ts';
export { type IpiCell, ipiCellAt, type PendingTarget, type PendingTargets, pendingTargets } from './nt/ipi.ts';
export * from './nt/irp.ts';
export { IRP_MAJOR_NAMES } from './nt/irp-names.ts';
export { encodeKdbg } from './nt/kdbg-decode.ts';
export { type KernelQueue, readKernelQueue } from './nt/kernel-queue.ts';
export { checkLinks, type LinkCheck, type LinkFault } from './nt/list-links.ts';
export { hasLockEntries, type LockEntry, readLockEntries } from './nt/lock-entries.ts';
export * from './nt/lpc.ts';
export { type PoolBlock, poolBlockAt } from './nt/pool-block.ts';
export * from './nt/pushlock.ts';
export { type SharedTime, sharedInterruptTime, sharedSleepTime, sharedSystemTime } from './nt/shared-user-data.ts';
export { enumName, type ListEnd, Structure, walkList } from './nt/structure.ts';
export { type ProcessFreeze, readProcessFreeze, readSuspension, type Suspension } from './nt/suspension.ts';
export { taskState } from './nt/task-state.ts';
export * from './nt/thread-wait.ts';
export { type PendingTimer, type TimerTable, timersDueBefore } from './nt/timer-table.ts';
export { type PnpTriage, type PowerTriage, triage9f } from './nt/triage-9f.ts';
export { OBJECT_TYPES, THREAD_STATES, WAIT_REASON, WAIT_REASONS } from './nt/wait-names.ts';
export * from './target/answers.ts';
export * from './target/model.ts';
export { openTarget, type TargetOptions } from './target/open.ts';
export { contextRegisters, isUserMode } from './target/registers.ts';
export { type ArmUnwindData, readArmUnwindData } from './unwind/arm64-unwind-data.ts';
export {
  decodeUnwindInfo,
  readUnwindInfo,
  type UnwindCode,
  type UnwindInfo,
  uwop,
  x64RegisterNames,
} from './unwind/x64-unwind-info.ts';
