// A driver that takes its spin lock (device extension +40) again below a function that holds it.
.text
.globl QueueWork
.p2align 4
QueueWork:
.seh_proc QueueWork
stp x29, x30, [sp, #-32]!
.seh_save_fplr_x 32
stp x19, x20, [sp, #16]
.seh_save_regp x19, 16
mov x29, sp
.seh_set_fp
.seh_endprologue
mov x19, x0
add x0, x19, #0x40
adrp x8, __imp_KeAcquireSpinLockRaiseToDpc
ldr x8, [x8, :lo12:__imp_KeAcquireSpinLockRaiseToDpc]
blr x8
mov w20, w0
mov x0, x19
bl CompleteWork
add x0, x19, #0x40
mov w1, w20
adrp x8, __imp_KeReleaseSpinLock
ldr x8, [x8, :lo12:__imp_KeReleaseSpinLock]
blr x8
.seh_startepilogue
mov sp, x29
.seh_set_fp
ldp x19, x20, [sp, #16]
.seh_save_regp x19, 16
ldp x29, x30, [sp], #32
.seh_save_fplr_x 32
.seh_endepilogue
ret
.seh_endproc

.globl CompleteWork
.p2align 4
CompleteWork:
.seh_proc CompleteWork
stp x29, x30, [sp, #-32]!
.seh_save_fplr_x 32
stp x19, x20, [sp, #16]
.seh_save_regp x19, 16
mov x29, sp
.seh_set_fp
.seh_endprologue
mov x19, x0
add x0, x19, #0x40
adrp x8, __imp_KeAcquireSpinLockRaiseToDpc
ldr x8, [x8, :lo12:__imp_KeAcquireSpinLockRaiseToDpc]
blr x8
ldr w8, [x19, #0x48]
add w8, w8, #1
str w8, [x19, #0x48]
mov w1, w0
add x0, x19, #0x40
adrp x8, __imp_KeReleaseSpinLock
ldr x8, [x8, :lo12:__imp_KeReleaseSpinLock]
blr x8
.seh_startepilogue
mov sp, x29
.seh_set_fp
ldp x19, x20, [sp, #16]
.seh_save_regp x19, 16
ldp x29, x30, [sp], #32
.seh_save_fplr_x 32
.seh_endepilogue
ret
.seh_endproc

.globl DriverEntry
.p2align 4
DriverEntry:
mov w0, #0
ret
.data
.p2align 3
.quad QueueWork
