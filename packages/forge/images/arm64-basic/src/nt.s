// A small ARM64 kernel: a plain spin lock, the idle loop, a bugcheck. Names as in Windows, code ours.
.text
.macro func name
.globl \name
.p2align 4
\name:
.seh_proc \name
.endm
.macro leaf name
.globl \name
.p2align 4
\name:
.endm
.macro enter
stp x29, x30, [sp, #-16]!
.seh_save_fplr_x 16
mov x29, sp
.seh_set_fp
.seh_endprologue
.endm
.macro leave
.seh_startepilogue
mov sp, x29
.seh_set_fp
ldp x29, x30, [sp], #16
.seh_save_fplr_x 16
.seh_endepilogue
ret
.endm

func KeBugCheckEx
enter
bl KeBugCheck2
brk #0xf000
.seh_endfunclet
.seh_endproc

leaf KeBugCheck2
1: wfi
b 1b

// x0: the lock, one word, 0 free
func KeAcquireSpinLockRaiseToDpc
stp x29, x30, [sp, #-32]!
.seh_save_fplr_x 32
str x19, [sp, #16]
.seh_save_reg x19, 16
mov x29, sp
.seh_set_fp
.seh_endprologue
mrs x19, s3_0_c4_c6_0
mov x8, #0x20
msr s3_0_c4_c6_0, x8
bl KxWaitForSpinLockAndAcquire
mov x0, x19
.seh_startepilogue
mov sp, x29
.seh_set_fp
ldr x19, [sp, #16]
.seh_save_reg x19, 16
ldp x29, x30, [sp], #32
.seh_save_fplr_x 32
.seh_endepilogue
ret
.seh_endproc

leaf KxWaitForSpinLockAndAcquire
1: yield
ldr x8, [x0]
cbnz x8, 1b
2: ldaxr x8, [x0]
cbnz x8, 1b
mov x9, #1
stxr w10, x9, [x0]
cbnz w10, 2b
ret

// x0: the lock, w1: the level to go back to
leaf KeReleaseSpinLock
stlr xzr, [x0]
and x1, x1, #0xff
msr s3_0_c4_c6_0, x1
ret

func KiIdleLoop
enter
1: bl HalProcessorIdle
b 1b
.seh_endfunclet
.seh_endproc

leaf HalProcessorIdle
wfi
ret

.data
.p2align 3
.quad KeBugCheckEx
