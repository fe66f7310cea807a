// A driver whose functions have packed unwind data: registers saved first, then the frame record or lr alone.
.text
// x0 device extension: frame record (packed, CR = 3), x19 and x20
.globl RefreshTable
.p2align 4
RefreshTable:
.seh_proc RefreshTable
stp x19, x20, [sp, #-16]!
.seh_save_r19r20_x 16
stp x29, x30, [sp, #-16]!
.seh_save_fplr_x 16
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
bl RefreshEntry
add x0, x19, #0x40
mov w1, w20
adrp x8, __imp_KeReleaseSpinLock
ldr x8, [x8, :lo12:__imp_KeReleaseSpinLock]
blr x8
.seh_startepilogue
ldp x29, x30, [sp], #16
.seh_save_fplr_x 16
ldp x19, x20, [sp], #16
.seh_save_r19r20_x 16
.seh_endepilogue
ret
.seh_endproc

// x0 device extension: lr without a frame record (packed, CR = 1)
.globl RefreshEntry
.p2align 4
RefreshEntry:
.seh_proc RefreshEntry
stp x19, x20, [sp, #-32]!
.seh_save_r19r20_x 32
str x30, [sp, #16]
.seh_save_reg x30, 16
.seh_endprologue
mov x19, x0
add x0, x19, #0x40
adrp x8, __imp_KeAcquireSpinLockRaiseToDpc
ldr x8, [x8, :lo12:__imp_KeAcquireSpinLockRaiseToDpc]
blr x8
ldr w20, [x19, #0x48]
add w20, w20, #1
str w20, [x19, #0x48]
mov w1, w0
add x0, x19, #0x40
adrp x8, __imp_KeReleaseSpinLock
ldr x8, [x8, :lo12:__imp_KeReleaseSpinLock]
blr x8
.seh_startepilogue
ldr x30, [sp, #16]
.seh_save_reg x30, 16
ldp x19, x20, [sp], #32
.seh_save_r19r20_x 32
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
.quad RefreshTable
