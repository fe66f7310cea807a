# Our own kernel, function by function. Names, frame shapes and the places of saved state follow what Windows' public
# symbols, unwind data and published stacks show; the code is ours. A build (nt-builds.json) says which of them it has,
# where each lies, and the values of the symbols in capitals.

# ---- Plain spin locks ----

.macro fn_KeAcquireSpinLockRaiseToDpc
func KeAcquireSpinLockRaiseToDpc
push rbx
.seh_pushreg rbx
.if KEACQ_SMALL
alloc 0x18
.else
alloc 0x20
.endif
body
mov rax, cr8
movzx ebx, al
mov eax, 2
mov cr8, rax
lock bts qword ptr [rcx], 0
jb .Lraise_slow
.Lraise_done:
mov al, bl
.if KEACQ_SMALL
add rsp, 0x18
.else
add rsp, 0x20
.endif
pop rbx
ret
at KeAcquireSpinLockRaiseToDpc, (KEACQ_RET-5)
.Lraise_slow:
call KxWaitForSpinLockAndAcquire
jmp .Lraise_done
endfunc
.endm

.macro fn_KeAcquireSpinLockAtDpcLevel
func KeAcquireSpinLockAtDpcLevel
alloc 0x28
body
lock bts qword ptr [rcx], 0
jb .Latdpc_slow
.Latdpc_done:
add rsp, 0x28
ret
.Latdpc_slow:
call KxWaitForSpinLockAndAcquire
jmp .Latdpc_done
endfunc
.endm

.macro fn_KeTryToAcquireSpinLockAtDpcLevel
leaf KeTryToAcquireSpinLockAtDpcLevel
xor eax, eax
lock bts qword ptr [rcx], 0
setae al
ret
.endm

.macro fn_KeReleaseSpinLock
leaf KeReleaseSpinLock
lock and qword ptr [rcx], 0
movzx eax, dl
mov cr8, rax
ret
.endm

.macro fn_KeReleaseSpinLockFromDpcLevel
leaf KeReleaseSpinLockFromDpcLevel
lock and qword ptr [rcx], 0
ret
.endm

# KXWAIT 0: the leaf form (code_forms.plain_wait). 1: with a frame and a counter (plain_wait_hv). 2: the counter also
# decides when the hypervisor is told. 3: form 1 with other registers.
.macro fn_KxWaitForSpinLockAndAcquire
.if KXWAIT==0
leaf KxWaitForSpinLockAndAcquire
.Lwait0:
pause
mov rax, [rcx]
test rax, rax
jne .Lwait0
lock bts qword ptr [rcx], 0
jb .Lwait0
ret
.endif
.if KXWAIT==1
func KxWaitForSpinLockAndAcquire
mov [rsp+8], rbx
.seh_savereg rbx, 0x30
push rdi
.seh_pushreg rdi
alloc 0x20
body
mov rdi, rcx
xor ebx, ebx
.Lwait1:
inc ebx
pause
mov rax, [rdi]
test rax, rax
jne .Lwait1
lock bts qword ptr [rdi], 0
jb .Lwait1
mov eax, ebx
mov rbx, [rsp+0x30]
add rsp, 0x20
pop rdi
ret
endfunc
.endif
.if KXWAIT==2
func KxWaitForSpinLockAndAcquire
mov [rsp+8], rbx
.seh_savereg rbx, 0x30
push rdi
.seh_pushreg rdi
alloc 0x20
body
mov rdi, rcx
xor ebx, ebx
.Lwait2:
add ebx, 1
test dword ptr [rip + HvlLongSpinCountMask], ebx
je .Lwait2_notify
pause
.Lwait2_look:
mov rax, [rdi]
test rax, rax
jne .Lwait2
lock bts qword ptr [rdi], 0
jb .Lwait2
mov eax, ebx
mov rbx, [rsp+0x30]
add rsp, 0x20
pop rdi
ret
.Lwait2_notify:
mov ecx, ebx
call HvlNotifyLongSpinWait
jmp .Lwait2_look
endfunc
.endif
.if KXWAIT==3
func KxWaitForSpinLockAndAcquire
push r14
.seh_pushreg r14
push rbp
.seh_pushreg rbp
alloc 0x18
body
lea r14, [rcx-0x40]
mov ebp, 1
.Lwait3:
pause
mov r9, [r14+0x40]
cmp r9, 0
jne .Lwait3_count
lock bts qword ptr [r14+0x40], 0
jae .Lwait3_taken
.Lwait3_count:
add ebp, 1
jmp .Lwait3
.Lwait3_taken:
mov eax, ebp
add rsp, 0x18
pop rbp
pop r14
ret
endfunc
.endif
.endm

.macro fn_HvlNotifyLongSpinWait
leaf HvlNotifyLongSpinWait
pause
ret
.endm

# ---- Queued spin locks, C form: WAIT only ----

.macro fn_KeAcquireInStackQueuedSpinLock
func KeAcquireInStackQueuedSpinLock
alloc 0x28
body
mov [rdx+8], rcx
xor r8d, r8d
mov [rdx], r8
mov rax, cr8
mov [rdx+0x10], al
mov eax, 2
mov cr8, rax
mov rax, rdx
xchg [rcx], rax
test rax, rax
jne .Lqueue_slow
.Lqueue_done:
add rsp, 0x28
ret
.Lqueue_slow:
mov rcx, rdx
mov rdx, rax
call KxWaitForLockOwnerShip
jmp .Lqueue_done
endfunc
.endm

.macro fn_KeAcquireInStackQueuedSpinLockAtDpcLevel
func KeAcquireInStackQueuedSpinLockAtDpcLevel
alloc 0x28
body
mov [rdx+8], rcx
xor r8d, r8d
mov [rdx], r8
mov rax, rdx
xchg [rcx], rax
test rax, rax
jne .Lqueuedpc_slow
.Lqueuedpc_done:
add rsp, 0x28
ret
.Lqueuedpc_slow:
mov rcx, rdx
mov rdx, rax
call KxWaitForLockOwnerShip
jmp .Lqueuedpc_done
endfunc
.endm

# code_forms.queued_wait
.macro fn_KxWaitForLockOwnerShip
leaf KxWaitForLockOwnerShip
or qword ptr [rcx+8], 1
mov [rdx], rcx
.Lowner:
pause
mov rax, [rcx+8]
test al, 1
jne .Lowner
ret
.endm

.macro fn_KxWaitForLockChainValid
leaf KxWaitForLockChainValid
.Lchain:
pause
mov rax, [rcx]
test rax, rax
je .Lchain
ret
.endm

.macro fn_KeReleaseInStackQueuedSpinLock
func KeReleaseInStackQueuedSpinLock
push rbx
.seh_pushreg rbx
alloc 0x20
body
mov rbx, rcx
mov rax, [rcx]
test rax, rax
jne .Lrelease_next
mov rdx, [rcx+8]
mov rax, rcx
xor r8d, r8d
lock cmpxchg [rdx], r8
je .Lrelease_done
call KxWaitForLockChainValid
.Lrelease_next:
mov qword ptr [rbx], 0
lock xor qword ptr [rax+8], 1
.Lrelease_done:
movzx eax, byte ptr [rbx+0x10]
mov cr8, rax
add rsp, 0x20
pop rbx
ret
endfunc
.endm

.macro fn_KeReleaseInStackQueuedSpinLockFromDpcLevel
func KeReleaseInStackQueuedSpinLockFromDpcLevel
push rbx
.seh_pushreg rbx
alloc 0x20
body
mov rbx, rcx
mov rax, [rcx]
test rax, rax
jne .Lreleasedpc_next
mov rdx, [rcx+8]
mov rax, rcx
xor r8d, r8d
lock cmpxchg [rdx], r8
je .Lreleasedpc_done
call KxWaitForLockChainValid
.Lreleasedpc_next:
mov qword ptr [rbx], 0
lock xor qword ptr [rax+8], 1
.Lreleasedpc_done:
add rsp, 0x20
pop rbx
ret
endfunc
.endm

# ---- EX_SPIN_LOCK: bit 31 exclusive, bit 30 exclusive waiting, readers below ----

.macro fn_ExAcquireSpinLockExclusive
func ExAcquireSpinLockExclusive
push rbx
.seh_pushreg rbx
alloc 0x20
body
mov rax, cr8
movzx ebx, al
mov eax, 2
mov cr8, rax
xor eax, eax
mov edx, 0x80000000
lock cmpxchg [rcx], edx
je .Lexclusive_done
call ExpWaitForSpinLockExclusiveAndAcquire
.Lexclusive_done:
mov al, bl
add rsp, 0x20
pop rbx
ret
endfunc
.endm

.macro fn_ExAcquireSpinLockExclusiveAtDpcLevel
func ExAcquireSpinLockExclusiveAtDpcLevel
alloc 0x28
body
xor eax, eax
mov edx, 0x80000000
lock cmpxchg [rcx], edx
je .Lexclusivedpc_done
call ExpWaitForSpinLockExclusiveAndAcquire
.Lexclusivedpc_done:
add rsp, 0x28
ret
endfunc
.endm

# code_forms.ex_excl_wait
.macro fn_ExpWaitForSpinLockExclusiveAndAcquire
leaf ExpWaitForSpinLockExclusiveAndAcquire
.Lexwait:
pause
mov eax, [rcx]
test eax, 0x80000000
jne .Lexwait
test eax, 0x3fffffff
jne .Lexwait
lock bts dword ptr [rcx], 31
jb .Lexwait
ret
.endm

.macro fn_ExReleaseSpinLockExclusive
leaf ExReleaseSpinLockExclusive
mov dword ptr [rcx], 0
movzx eax, dl
mov cr8, rax
ret
.endm

.macro fn_ExReleaseSpinLockExclusiveFromDpcLevel
leaf ExReleaseSpinLockExclusiveFromDpcLevel
mov dword ptr [rcx], 0
ret
.endm

.macro fn_ExAcquireSpinLockShared
func ExAcquireSpinLockShared
push rbx
.seh_pushreg rbx
alloc 0x20
body
mov rax, cr8
movzx ebx, al
mov eax, 2
mov cr8, rax
mov eax, [rcx]
test eax, 0xc0000000
jne .Lshared_slow
lea edx, [rax+1]
lock cmpxchg [rcx], edx
je .Lshared_done
.Lshared_slow:
call ExpWaitForSpinLockSharedAndAcquire
.Lshared_done:
mov al, bl
add rsp, 0x20
pop rbx
ret
endfunc
.endm

.macro fn_ExAcquireSpinLockSharedAtDpcLevel
func ExAcquireSpinLockSharedAtDpcLevel
alloc 0x28
body
mov eax, [rcx]
test eax, 0xc0000000
jne .Lshareddpc_slow
lea edx, [rax+1]
lock cmpxchg [rcx], edx
je .Lshareddpc_done
.Lshareddpc_slow:
call ExpWaitForSpinLockSharedAndAcquire
.Lshareddpc_done:
add rsp, 0x28
ret
endfunc
.endm

.macro fn_ExpWaitForSpinLockSharedAndAcquire
leaf ExpWaitForSpinLockSharedAndAcquire
.Lshwait:
pause
mov eax, [rcx]
test eax, 0xc0000000
jne .Lshwait
lea edx, [rax+1]
lock cmpxchg [rcx], edx
jne .Lshwait
ret
.endm

.macro fn_ExReleaseSpinLockShared
leaf ExReleaseSpinLockShared
lock dec dword ptr [rcx]
movzx eax, dl
mov cr8, rax
ret
.endm

.macro fn_ExReleaseSpinLockSharedFromDpcLevel
leaf ExReleaseSpinLockSharedFromDpcLevel
lock dec dword ptr [rcx]
ret
.endm

# ---- Bug checks and exceptions ----

.macro fn_KeBugCheckEx
func KeBugCheckEx
mov [rsp+8], rcx
mov [rsp+0x10], rdx
mov [rsp+0x18], r8
mov [rsp+0x20], r9
pushfq
.seh_stackalloc 8
alloc 0x30
body
cli
mov r10, qword ptr gs:[0x20]
mov rax, [r10+PRCB_CONTEXT]
mov [rax+0x80], rcx
mov rax, [rsp+0x30]
mov [rsp+0x28], rax
mov rax, [rsp+0x60]
mov [rsp+0x20], rax
call KeBugCheck2
int3
endfunc
.endm

.macro fn_KeBugCheck2
func KeBugCheck2
pushes rbx, rsi, rdi
alloc 0x40
body
mov dword ptr [rip + KiFreezeFlag], 1
.Lbugcheck_wait:
hlt
jmp .Lbugcheck_wait
endfunc
.endm

.macro fn_KiBugCheckDispatch
func KiBugCheckDispatch
alloc 0x138
body
lea rax, [rsp+0x100]
mov [rax], rbx
mov [rax+8], rdi
mov [rax+0x10], rsi
mov [rsp+0x20], r10
jmp .Ldispatch_bugcheck
at KiBugCheckDispatch, 0x64
.Ldispatch_bugcheck:
call KeBugCheckEx
nop
endfunc
.endm

# KTRAP_FRAME at rsp: rbp +158, error code +160, machine frame +168. rbp points 80 bytes into it.
.macro trapframe
push rbp
.seh_pushreg rbp
alloc 0x158
lea rbp, [rsp+0x80]
.seh_setframe rbp, 0x80
body
.endm

.macro savevolatiles
mov [rbp-0x50], rax
mov [rbp-0x48], rcx
mov [rbp-0x40], rdx
mov [rbp-0x38], r8
mov [rbp-0x30], r9
mov [rbp-0x28], r10
mov [rbp-0x20], r11
.endm

.macro leavetrap
mov r11, [rbp-0x20]
mov r10, [rbp-0x28]
mov r9, [rbp-0x30]
mov r8, [rbp-0x38]
mov rdx, [rbp-0x40]
mov rcx, [rbp-0x48]
mov rax, [rbp-0x50]
mov rsp, rbp
mov rbp, [rbp+0xd8]
add rsp, 0xe8
iretq
.endm

.macro fn_KiPageFault
func KiPageFault
.seh_pushframe @code
trapframe
mov byte ptr [rbp-0x55], 1
savevolatiles
mov rcx, [rbp+0xe0]
mov rdx, cr2
mov r8, [rbp+0xe8]
call MmAccessFault
test eax, eax
jl .Lpagefault_bad
leavetrap
at KiPageFault, (KIPAGEFAULT_RET-0x20)
.Lpagefault_bad:
mov r9, [rbp+0xe8]
mov rdx, cr2
movzx r8d, byte ptr [rbp-0x57]
mov ecx, 0xd1
jmp .Lpagefault_dispatch
at KiPageFault, (KIPAGEFAULT_RET-5)
.Lpagefault_dispatch:
call KiBugCheckDispatch
nop
endfunc
.endm

.macro fn_MmAccessFault
leaf MmAccessFault
mov rax, cr8
cmp al, 2
jae .Laccess_bad
xor eax, eax
ret
.Laccess_bad:
mov eax, 0xd0000006
ret
.endm

# ---- Interrupts ----

# The trap frame is built on the interrupted stack; the service routine runs on the interrupt stack, whose last words
# hold the link back (the trap frame at base-10, as on a real 19041).
.macro interrupt name, sub
func \name
.seh_pushframe
push -0x6f
.seh_stackalloc 8
trapframe
mov byte ptr [rbp-0x55], 0
savevolatiles
mov rax, cr8
mov [rbp-0x57], al
mov eax, 8
mov cr8, rax
mov rdx, rsp
movzx eax, byte ptr [rbp+0xe0]
lea rcx, [rip + KiInterruptObject]
mov rcx, [rcx+rax*8]
mov r10, qword ptr gs:[0x20]
mov rax, [r10+PRCB_ISRSTACK]
sub rax, 0x20
mov [rax+0x10], rsp
mov rsp, rax
at \name, 0x95
call \sub
lea rsp, [rbp-0x80]
movzx eax, byte ptr [rbp-0x57]
mov cr8, rax
leavetrap
endfunc
.endm

.macro fn_KiInterruptDispatch
interrupt KiInterruptDispatch, KiInterruptSubDispatch
.endm

.macro fn_KiInterruptDispatchNoLockNoEtw
interrupt KiInterruptDispatchNoLockNoEtw, KiInterruptSubDispatchNoLockNoEtw
.endm

# Takes the interrupt's spin lock (KINTERRUPT.ActualLock +48) around the service routine.
.macro fn_KiInterruptSubDispatch
func KiInterruptSubDispatch
push rsi
.seh_pushreg rsi
alloc 0x20
body
mov rsi, rcx
mov rax, [rsi+0x48]
.Linterrupt_take:
lock bts qword ptr [rax], 0
jae .Linterrupt_call
pause
jmp .Linterrupt_take
.Linterrupt_call:
mov rcx, rsi
call KiCallInterruptServiceRoutine
mov rax, [rsi+0x48]
lock and qword ptr [rax], 0
add rsp, 0x20
pop rsi
ret
endfunc
.endm

.macro fn_KiInterruptSubDispatchNoLockNoEtw
func KiInterruptSubDispatchNoLockNoEtw
alloc 0x28
body
call KiCallInterruptServiceRoutine
add rsp, 0x28
ret
endfunc
.endm

.macro fn_KiCallInterruptServiceRoutine
func KiCallInterruptServiceRoutine
push rbx
.seh_pushreg rbx
alloc 0x30
body
mov rbx, rcx
mov rdx, [rcx+0x30]
call qword ptr [rcx+0x18]
mov [rsp+0x28], al
inc dword ptr [rbx+0x78]
add rsp, 0x30
pop rbx
ret
endfunc
.endm

.macro fn_HalpTimerClockInterrupt
func HalpTimerClockInterrupt
push rdi
.seh_pushreg rdi
alloc 0x20
body
mov rdi, rdx
mov rcx, rdi
xor edx, edx
call KeClockInterruptNotify
mov al, 1
add rsp, 0x20
pop rdi
ret
endfunc
.endm

.macro fn_KeClockInterruptNotify
func KeClockInterruptNotify
pushes rbx, rsi
alloc 0x28
body
mov rbx, rcx
mov esi, edx
mov rcx, qword ptr gs:[0x20]
mov rdx, rbx
call KeAccumulateTicks
add rsp, 0x28
pop rsi
pop rbx
ret
endfunc
.endm

# The DPC watchdog: counts ticks at DISPATCH_LEVEL, takes a profile sample beyond the threshold, bug checks at the period.
.macro fn_KeAccumulateTicks
func KeAccumulateTicks
pushes rbx
alloc 0x30
body
mov rbx, rcx
mov eax, [rbx+PRCB_WATCHDOG_COUNT]
add eax, 1
mov [rbx+PRCB_WATCHDOG_COUNT], eax
cmp eax, [rbx+PRCB_WATCHDOG_PERIOD]
jae .Ltick_expired
.Ltick_done:
add rsp, 0x30
pop rbx
ret
.Ltick_expired:
mov edx, 1
mov r8d, [rbx+PRCB_WATCHDOG_PERIOD]
lea r9, [rip + DpcWatchdogGlobalTriageBlock]
mov qword ptr [rsp+0x20], 0
mov ecx, 0x133
call KeBugCheckEx
int3
endfunc
.endm

.macro fn_KiNmiInterrupt
func KiNmiInterrupt
.seh_pushframe
sub rsp, 8
.seh_stackalloc 8
trapframe
mov byte ptr [rbp-0x55], 1
savevolatiles
mov rax, cr8
mov [rbp-0x57], al
mov rcx, rsp
call KxNmiInterrupt
leavetrap
endfunc
.endm

.macro fn_KxNmiInterrupt
func KxNmiInterrupt
alloc 0x138
body
lea rax, [rsp+0x100]
mov [rax], rbx
mov [rax+8], rdi
mov [rax+0x10], rsi
mov rdx, rsp
call KiProcessNMI
add rsp, 0x138
ret
endfunc
.endm

.macro fn_KiProcessNMI
func KiProcessNMI
push rbx
.seh_pushreg rbx
push rdi
.seh_pushreg rdi
alloc 0x28
body
mov rbx, rcx
mov rdi, rdx
cmp dword ptr [rip + KiFreezeFlag], 0
je .Lnmi_hardware
mov rcx, rbx
mov rdx, rdi
call KiFreezeTargetExecution
.Lnmi_done:
add rsp, 0x28
pop rdi
pop rbx
ret
.Lnmi_hardware:
xor ecx, ecx
call HalHandleNMI
jmp .Lnmi_done
endfunc
.endm

.macro fn_HalHandleNMI
func HalHandleNMI
alloc 0x38
body
mov edx, 0x4f4454
xor r8d, r8d
xor r9d, r9d
mov qword ptr [rsp+0x20], 0
mov ecx, 0x80
call KeBugCheckEx
int3
endfunc
.endm

.macro fn_KiFreezeTargetExecution
func KiFreezeTargetExecution
pushes rbx, rsi, rdi
alloc 0x40
body
mov rsi, rcx
mov rdi, rdx
mov rbx, qword ptr gs:[0x20]
mov dword ptr [rbx+PRCB_IPIFROZEN], 2
.Lfrozen:
pause
mov eax, [rbx+PRCB_IPIFROZEN]
cmp eax, 2
je .Lfrozen
mov dword ptr [rbx+PRCB_IPIFROZEN], 0
add rsp, 0x40
pop rdi
pop rsi
pop rbx
ret
endfunc
.endm

# ---- Idle loop and DPCs ----

.macro fn_KiIdleLoop
func KiIdleLoop
alloc 0x38
body
mov rbx, qword ptr gs:[0x20]
.Lidle:
mov eax, [rbx+PRCB_DPCDEPTH]
test eax, eax
je .Lidle_sleep
mov rcx, rbx
call KiRetireDpcList
.Lidle_sleep:
cmp qword ptr [rbx+0x10], 0
jne .Lidle_switch
mov rcx, rbx
xor edx, edx
call PoIdle
jmp .Lidle
.Lidle_switch:
mov rcx, rbx
mov rdx, [rbx+8]
call KiSwapContext
jmp .Lidle
endfunc
.endm

.macro fn_PoIdle
func PoIdle
pushes rbx, rsi, rdi
alloc 0x40
body
mov rbx, rcx
xor edi, edi
mov rcx, rbx
mov edx, edi
call PpmIdleExecuteTransition
add rsp, 0x40
pop rdi
pop rsi
pop rbx
ret
endfunc
.endm

.macro fn_PpmIdleExecuteTransition
func PpmIdleExecuteTransition
pushes rbp, rbx, rsi, rdi
alloc 0x48
body
mov rbx, rcx
mov rax, [rip + PpmIdleHandler]
mov rcx, rbx
call rax
sti
add rsp, 0x48
pop rdi
pop rsi
pop rbx
pop rbp
ret
endfunc
.endm

.macro fn_HalProcessorIdle
leaf HalProcessorIdle
sti
hlt
ret
.endm

.macro fn_KiRetireDpcList
func KiRetireDpcList
pushes rbp, rbx, rsi, rdi, r12, r13, r14, r15
alloc 0x68
body
mov rbx, rcx
mov byte ptr [rbx+PRCB_DPCACTIVE], 1
.Lretire:
mov rcx, rbx
lea rdx, [rbx+PRCB_DPCDATA]
call KiExecuteAllDpcs
mov eax, [rbx+PRCB_DPCDEPTH]
test eax, eax
jne .Lretire
mov byte ptr [rbx+PRCB_DPCACTIVE], 0
add rsp, 0x68
pop r15
pop r14
pop r13
pop r12
pop rdi
pop rsi
pop rbx
pop rbp
ret
endfunc
.endm

# Takes DPCs off the list, calls each: KDPC +18 routine, +20 context, +28 and +30 arguments.
.macro fn_KiExecuteAllDpcs
func KiExecuteAllDpcs
pushes rbx, rsi, rdi, r12, r14
alloc 0x30
body
mov r12, rcx
mov rsi, rdx
.Lexecute:
mov rax, [rsi]
test rax, rax
je .Lexecute_done
lea rdi, [rax-8]
mov rcx, [rax]
mov [rsi], rcx
dec dword ptr [r12+PRCB_DPCDEPTH]
mov r14, [rdi+0x18]
mov rdx, [rdi+0x20]
mov r8, [rdi+0x28]
mov r9, [rdi+0x30]
mov qword ptr [rdi+0x38], 0
mov rcx, rdi
call r14
jmp .Lexecute
.Lexecute_done:
add rsp, 0x30
pop r14
pop r12
pop rdi
pop rsi
pop rbx
ret
endfunc
.endm

# A software interrupt at DISPATCH_LEVEL: the DPCs run on the processor's DPC stack.
.macro fn_KiDpcInterrupt
func KiDpcInterrupt
.seh_pushframe
sub rsp, 8
.seh_stackalloc 8
trapframe
mov byte ptr [rbp-0x55], 0
savevolatiles
mov rax, cr8
mov [rbp-0x57], al
mov eax, 2
mov cr8, rax
sti
call KiDispatchInterruptContinue
cli
movzx eax, byte ptr [rbp-0x57]
mov cr8, rax
leavetrap
endfunc
.endm

.macro fn_KiDispatchInterruptContinue
func KiDispatchInterruptContinue
push rbx
.seh_pushreg rbx
alloc 0x20
body
mov rbx, qword ptr gs:[0x20]
mov rcx, rbx
mov r9, [rbx+PRCB_DPCSTACK]
call KxRetireDpcList
add rsp, 0x20
pop rbx
ret
endfunc
.endm

# Changes to the DPC stack. A machine frame there (rip, rsp) leads the unwinder back; its selectors are 0.
.macro fn_KxRetireDpcList
func KxRetireDpcList
.seh_pushframe
pop rax
mov [r9-0x28], rax
mov [r9-0x10], rsp
lea rsp, [r9-0x50]
.seh_stackalloc 0x28
body
call KiRetireDpcList
mov rax, [rsp+0x28]
mov rsp, [rsp+0x40]
jmp rax
endfunc
.endm

.macro fn_KeInitializeDpc
leaf KeInitializeDpc
mov dword ptr [rcx], 0x113
mov [rcx+0x18], rdx
mov [rcx+0x20], r8
mov qword ptr [rcx+0x38], 0
ret
.endm

.macro fn_KeInsertQueueDpc
leaf KeInsertQueueDpc
mov [rcx+0x28], rdx
mov [rcx+0x30], r8
mov al, 1
ret
.endm

# ---- Threads ----

# Non-volatile registers go to the KEXCEPTION_FRAME part; SwapContext pushes the KSWITCH_FRAME (Rbp +30, Return +38).
.macro fn_KiSwapContext
func KiSwapContext
alloc 0x138
lea rax, [rsp+0x100]
mov [rax], rbx
.seh_savereg rbx, 0x100
mov [rax+8], rdi
.seh_savereg rdi, 0x108
mov [rax+0x10], rsi
.seh_savereg rsi, 0x110
mov [rax+0x18], r12
.seh_savereg r12, 0x118
mov [rax+0x20], r13
.seh_savereg r13, 0x120
mov [rax+0x28], r14
.seh_savereg r14, 0x128
mov [rax+0x30], r15
.seh_savereg r15, 0x130
mov [rax-8], rbp
.seh_savereg rbp, 0xf8
body
mov rbx, qword ptr gs:[0x20]
mov rdi, rcx
mov rsi, rdx
at KiSwapContext, 0x71
call SwapContext
lea rcx, [rsp+0x100]
mov rbp, [rcx-8]
mov rbx, [rcx]
mov rdi, [rcx+8]
mov rsi, [rcx+0x10]
mov r12, [rcx+0x18]
mov r13, [rcx+0x20]
mov r14, [rcx+0x28]
mov r15, [rcx+0x30]
add rsp, 0x138
ret
endfunc
.endm

.macro fn_SwapContext
func SwapContext
alloc 0x38
body
mov [rsp+0x30], rbp
mov [rdi+0x58], rsp
mov rsp, [rsi+0x58]
mov [rbx+8], rsi
mov rbp, [rsp+0x30]
add rsp, 0x38
ret
endfunc
.endm

.macro fn_KiSwapThread
func KiSwapThread
pushes rbp, rbx, rsi, rdi, r12, r13, r14, r15
alloc 0x68
body
mov rbx, rcx
mov rsi, rdx
call KiSwapContext
add rsp, 0x68
pop r15
pop r14
pop r13
pop r12
pop rdi
pop rsi
pop rbx
pop rbp
ret
endfunc
.endm

.macro fn_KiCommitThreadWait
func KiCommitThreadWait
pushes rbx, rsi, rdi
alloc 0x50
body
mov rbx, rcx
mov rdi, rdx
call KiSwapThread
add rsp, 0x50
pop rdi
pop rsi
pop rbx
ret
endfunc
.endm

.macro fn_KeWaitForSingleObject
func KeWaitForSingleObject
pushes rbx, rsi, rdi, r14, r15
alloc 0x60
body
mov rsi, rcx
mov rbx, qword ptr gs:[0x188]
mov rcx, rbx
xor edx, edx
call KiCommitThreadWait
add rsp, 0x60
pop r15
pop r14
pop rdi
pop rsi
pop rbx
ret
endfunc
.endm

.macro fn_ExpWorkerThread
func ExpWorkerThread
pushes rbp, rsi, rdi
alloc 0x40
body
lea rsi, [rip + ExWorkerQueue]
.Lworker:
mov rcx, rsi
xor edx, edx
xor r8d, r8d
call KeWaitForSingleObject
mov rax, [rsi+0x20]
test rax, rax
je .Lworker
mov rcx, rsi
call rax
jmp .Lworker
endfunc
.endm

.macro fn_PspSystemThreadStartup
func PspSystemThreadStartup
push rbx
.seh_pushreg rbx
alloc 0x20
body
mov rbx, rcx
mov rax, rdx
mov rcx, rbx
jmp .Lstartup_call
at PspSystemThreadStartup, 0x55
.Lstartup_call:
call rax
mov ecx, eax
call PspTerminateThreadByPointer
int3
endfunc
.endm

.macro fn_PspTerminateThreadByPointer
func PspTerminateThreadByPointer
alloc 0x28
body
.Lterminate:
call KeWaitForSingleObject
jmp .Lterminate
endfunc
.endm

.macro fn_KiStartSystemThread
func KiStartSystemThread
alloc 0x38
body
mov rcx, [rsp+0x20]
mov rdx, [rsp+0x18]
mov rax, [rsp+0x10]
jmp .Lstartsystem
at KiStartSystemThread, 0x26
.Lstartsystem:
call rax
int3
endfunc
.endm

# ---- System services and I/O ----

.macro fn_KiSystemCall64
func KiSystemCall64
.seh_pushframe
swapgs
mov qword ptr gs:[0x10], rsp
mov rsp, qword ptr gs:[0x1a8]
push 0x2b
push qword ptr gs:[0x10]
push r11
push 0x33
push rcx
mov rcx, r10
sub rsp, 8
.seh_stackalloc 8
push rbp
.seh_pushreg rbp
sub rsp, 0x158
.seh_stackalloc 0x158
lea rbp, [rsp+0x80]
.seh_setframe rbp, 0x80
mov [rbp+0xc0], rbx
.seh_savereg rbx, 0x140
mov [rbp+0xc8], rdi
.seh_savereg rdi, 0x148
mov [rbp+0xd0], rsi
.seh_savereg rsi, 0x150
body
mov byte ptr [rbp-0x55], 2
sti
global KiSystemServiceStart
mov rbx, qword ptr gs:[0x188]
mov [rbx+0x90], rsp
mov edi, eax
and edi, 0xfff
lea r10, [rip + KiServiceTable]
mov r10, [r10+rdi*8]
at KiSystemCall64, COPYEND
global KiSystemServiceCopyEnd
test dword ptr [rip + PerfGlobalGroupMask], 0x40
jmp .Lservice_call
at KiSystemServiceCopyEnd, 0x22
.Lservice_call:
call r10
cli
mov rbx, [rbp+0xc0]
mov rdi, [rbp+0xc8]
mov rsi, [rbp+0xd0]
mov rcx, [rbp+0xe8]
mov r11, [rbp+0xf8]
mov rsp, [rbp+0x100]
mov rbp, [rbp+0xd8]
swapgs
.byte 0x48, 0x0f, 0x07
endfunc
.endm

# Zw entry points build the machine frame of a call from kernel mode by hand: rip is KiServiceLinkage, whose only
# instruction returns to the caller of Zw.
.macro fn_KiServiceLinkage
leaf KiServiceLinkage
ret
.endm

.macro fn_KiServiceInternal
func KiServiceInternal
.seh_pushframe
sub rsp, 8
.seh_stackalloc 8
push rbp
.seh_pushreg rbp
sub rsp, 0x158
.seh_stackalloc 0x158
lea rbp, [rsp+0x80]
.seh_setframe rbp, 0x80
mov [rbp+0xc0], rbx
.seh_savereg rbx, 0x140
mov [rbp+0xc8], rdi
.seh_savereg rdi, 0x148
mov [rbp+0xd0], rsi
.seh_savereg rsi, 0x150
body
sti
mov byte ptr [rbp-0x55], 2
jmp KiSystemServiceStart
endfunc
.endm

.macro zw name, number
leaf \name
mov rax, rsp
cli
sub rsp, 0x10
push rax
pushfq
push 0x10
lea rax, [rip + KiServiceLinkage]
push rax
mov eax, \number
jmp KiServiceInternal
.endm

.macro fn_ZwOpenFile
zw ZwOpenFile, 0x33
.endm

.macro fn_NtOpenFile
func NtOpenFile
alloc 0x88
body
mov dword ptr [rsp+0x20], 0
jmp .Lopenfile
at NtOpenFile, 0x53
.Lopenfile:
call IopCreateFile
add rsp, 0x88
ret
endfunc
.endm

.macro fn_IopCreateFile
relay IopCreateFile, 0xd8, 0x41f, ObOpenObjectByNameEx
.endm

.macro fn_ObOpenObjectByNameEx
relay ObOpenObjectByNameEx, 0xe8, 0x1f3, ObpLookupObjectName
.endm

.macro fn_ObpLookupObjectName
relay ObpLookupObjectName, 0x178, 0x1ae, IopParseDevice
.endm

.macro fn_IopParseDevice
relay IopParseDevice, 0x1c8, 0x8dd, IofCallDriver
.endm

.macro fn_NtDeviceIoControlFile
func NtDeviceIoControlFile
alloc 0x68
body
mov byte ptr [rsp+0x50], 1
jmp .Ldeviceio
at NtDeviceIoControlFile, 0x51
.Ldeviceio:
call IopXxxControlFile
add rsp, 0x68
ret
endfunc
.endm

.macro fn_IopXxxControlFile
relay IopXxxControlFile, 0x118, 0x6f8, IopSynchronousServiceTail
.endm

.macro fn_IopSynchronousServiceTail
relay IopSynchronousServiceTail, 0x68, 0x1a5, IofCallDriver
.endm

# Dispatch through DEVICE_OBJECT.DriverObject (+8) and its MajorFunction table (+70), by the current stack location.
.macro fn_IofCallDriver
func IofCallDriver
alloc 0x28
body
dec byte ptr [rdx+0x43]
mov rax, [rdx+0xb8]
sub rax, 0x48
mov [rdx+0xb8], rax
movzx eax, byte ptr [rax]
mov r8, [rcx+8]
at IofCallDriver, 0x54
call qword ptr [r8+rax*8+0x70]
add rsp, 0x28
ret
endfunc
.endm

.macro fn_IofCompleteRequest
func IofCompleteRequest
alloc 0x28
body
call IopfCompleteRequest
add rsp, 0x28
ret
endfunc
.endm

.macro fn_IopfCompleteRequest
func IopfCompleteRequest
pushes rbx, rsi, rdi, r14, r15
alloc 0xd0
body
mov rbx, rcx
mov rsi, [rbx+0xb8]
mov r8, [rsi+0x40]
mov rdx, rbx
xor ecx, ecx
jmp .Lcomplete_call
at IopfCompleteRequest, 0x2eb
.Lcomplete_call:
call qword ptr [rsi+0x38]
add rsp, 0xd0
pop r15
pop r14
pop rdi
pop rsi
pop rbx
ret
endfunc
.endm

.macro fn_KiSystemStartup
leaf KiSystemStartup
xor eax, eax
ret
.endm
