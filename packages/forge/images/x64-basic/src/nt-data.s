# Variables of our kernel that its own code uses. Everything that debuggers ask for by name (PsLoadedModuleList, ...) is
# left to the forge, which puts it where the build's own symbols say.
.data
.p2align 4
.globl HvlLongSpinCountMask
HvlLongSpinCountMask: .long 0xffffffff
.globl KiFreezeFlag
KiFreezeFlag: .long 0
.globl PerfGlobalGroupMask
PerfGlobalGroupMask: .long 0, 0, 0, 0, 0, 0, 0, 0
.p2align 4
# Signature, revision, size, KPRCB offset of the profile pointer, length of the profile in QWORDs.
.globl DpcWatchdogGlobalTriageBlock
DpcWatchdogGlobalTriageBlock:
.long 0xaebecede
.short 1, 0x10
.long PRCB_WATCHDOG_PROFILE
.long 0x8200
.globl PpmIdleHandler
PpmIdleHandler: .quad HalProcessorIdle
.globl ExWorkerQueue
ExWorkerQueue: .quad 0, 0, 0, 0, 0
.globl KiServiceTable
KiServiceTable:
.rept 7
.quad NtDeviceIoControlFile
.endr
.rept 0x2c
.quad NtOpenFile
.endr
.quad NtOpenFile
.globl KiInterruptObject
KiInterruptObject:
.rept 256
.quad 0
.endr
