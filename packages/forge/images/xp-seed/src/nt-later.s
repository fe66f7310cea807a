# Kernels of later builds with the functions that the seed's stack passes through: Windows 7, or Windows 10 with WIN10, where
# the in-stack queued spin lock is nt's own, compiled from C: no OWNER bit, the wait in a function of its own.
.include "frame.inc"
.ifdef WIN10
    .set TRAP_EDX, 0x38
    .set TRAP_DR7, 0x28
    .set DPC_LIST, 0x120 + 0x21e0
    .set INITIAL_STACK, 0x20
    .set TRAP_FRAME, 0x6c
    .set SERVICE_TABLE, 0x3c
    .set PREVIOUS_MODE, 0x15a
    .set DISPATCH_COUNT, 0x4c
    .set IRP_LIST, 0x2cc
    .set WAIT_STATUS, 0x94
    .set KERNEL_STACK, 0x48
    .set CURRENT_THREAD, 0x124
.else
    .set TRAP_EDX, 0x3c
    .set TRAP_DR7, 0x2c
    .set DPC_LIST, 0x120 + 0x18e0
    .set INITIAL_STACK, 0x28
    .set TRAP_FRAME, 0x128
    .set SERVICE_TABLE, 0xbc
    .set PREVIOUS_MODE, 0x13a
    .set DISPATCH_COUNT, 0x48
    .set IRP_LIST, 0x24c
    .set WAIT_STATUS, 0x6c
    .set KERNEL_STACK, 0x30
    .set CURRENT_THREAD, 0x124
.endif
.text
.set T, 0x1000

function _KeBugCheckEx@20, 0x1000, T, 20
    mov edi,edi
    frame
    .cv_fpo_endprologue
    push 0
    push dword ptr [ebp+0x18]
    push dword ptr [ebp+0x14]
    push dword ptr [ebp+0x10]
    push dword ptr [ebp+0xc]
    push dword ptr [ebp+8]
    call _KeBugCheck2@24
    # +1b
    pop ebp
    ret 20
    done

function _KeBugCheck2@24, 0x1100, T, 24
    mov edi,edi
    frame
    sub esp,0x40
    .cv_fpo_stackalloc 0x40
    .cv_fpo_endprologue
    cli
1:  pause
    jmp 1b
    done

function @IofCallDriver@8, 0x1200, T, 0
    mov edi,edi
    frame
    push ecx
    .cv_fpo_stackalloc 4
    push esi
    .cv_fpo_pushreg esi
    .cv_fpo_endprologue
    mov dword ptr [ebp-4],ecx
    dec byte ptr [edx+0x23]
    mov esi,dword ptr [edx+0x60]
    sub esi,0x24
    mov dword ptr [edx+0x60],esi
    mov dword ptr [esi+0x14],ecx
    movzx eax,byte ptr [esi]
    push edx
    mov esi,dword ptr [ecx+8]
    push ecx
    .org 0x122a - T, 0x90
    call dword ptr [esi+eax*4+0x38]
    # +2e
    pop esi
    leave
    ret
    done

function _IopSynchronousServiceTail@28, 0x1300, T, 28
    mov edi,edi
    frame
    sub esp,0x10
    .cv_fpo_stackalloc 0x10
    push ebx
    .cv_fpo_pushreg ebx
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov esi,dword ptr [ebp+0xc]
    mov edi,dword ptr [ebp+0x10]
    mov byte ptr [ebp-1],0
    mov eax,dword ptr fs:[0x124]
    lea ecx,[eax+IRP_LIST]
    lea eax,[esi+0x10]
    mov edx,dword ptr [ecx]
    mov dword ptr [eax],edx
    mov dword ptr [eax+4],ecx
    mov dword ptr [edx+4],eax
    mov dword ptr [ecx],eax
    mov ecx,dword ptr [ebp+8]
    .org 0x1359 - T, 0x90
    mov edx,esi
    call @IofCallDriver@8
    # +60
    mov ebx,eax
    mov eax,ebx
    pop edi
    pop esi
    pop ebx
    leave
    ret 28
    done

function _IopXxxControlFile@44, 0x1400, T, 44
    mov edi,edi
    frame
    sub esp,0x78
    .cv_fpo_stackalloc 0x78
    push ebx
    .cv_fpo_pushreg ebx
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov edi,dword ptr [ebp+0x20]
    .org 0x19ab - T, 0x90
    push 1
    push 0
    push 1
    push 0
    push esi
    push ebx
    mov ecx,dword ptr [ebp-8]
    push ecx
    .org 0x19c0 - T, 0x90
    call _IopSynchronousServiceTail@28
    # +5c5
    pop edi
    pop esi
    pop ebx
    leave
    ret 44
    done

function _NtDeviceIoControlFile@40, 0x1a00, T, 40
    mov edi,edi
    frame
    .cv_fpo_endprologue
    push 1
    push dword ptr [ebp+0x2c]
    push dword ptr [ebp+0x28]
    push dword ptr [ebp+0x24]
    push dword ptr [ebp+0x20]
    push dword ptr [ebp+0x1c]
    push dword ptr [ebp+0x18]
    push dword ptr [ebp+0x14]
    push dword ptr [ebp+0x10]
    push dword ptr [ebp+0xc]
    push dword ptr [ebp+8]
    call _IopXxxControlFile@44
    # +2a
    pop ebp
    ret 40
    done

# The user's stack is left; a trap frame is built on the thread's own.
function _KiFastCallEntry, 0x1b00, T, 0
    mov ecx,0x23
    push 0x30
    pop fs
    mov ecx,dword ptr fs:[0x40]
    mov esp,dword ptr [ecx+4]
    push 0x23
    push edx
    pushfd
    push 2
    popfd
    or byte ptr [esp+1],2
    push 0x1b
    push 0
    push 0
    push ebp
    push ebx
    push esi
    push edi
    mov ebx,dword ptr fs:[0x1c]
    push 0x3b
    mov esi,dword ptr [ebx+0x124]
    push dword ptr [ebx]
    mov dword ptr [ebx],0xffffffff
    mov ebp,dword ptr [esi+INITIAL_STACK]
    push 1
    sub esp,0x48
    sub ebp,0x29c
    mov byte ptr [esi+PREVIOUS_MODE],1
    cmp ebp,esp
    jne 2f
    and dword ptr [ebp+TRAP_DR7],0
    mov dword ptr [esi+TRAP_FRAME],ebp
    mov ebx,dword ptr [ebp+0x60]
    mov edi,dword ptr [ebp+0x68]
    mov dword ptr [ebp+8],0xbadb0d00
    mov dword ptr [ebp],ebx
    mov dword ptr [ebp+4],edi
    sti
    .cv_fpo_endprologue
    mov edi,eax
    shr edi,8
    and edi,0x10
    mov ecx,edi
    add edi,dword ptr [esi+SERVICE_TABLE]
    mov ebx,eax
    and eax,0xfff
    mov esi,edx
    mov ebx,dword ptr [edi]
    mov edi,dword ptr [edi+0xc]
    xor ecx,ecx
    mov cl,byte ptr [eax+edi]
    mov ebx,dword ptr [ebx+eax*4]
    sub esp,ecx
    shr ecx,2
    mov edi,esp
    rep movsd
    .org 0x1c28 - T, 0x90
    call ebx
    # +12a
    mov esp,ebp
    jmp 3f
2:  ud2
3:  mov ecx,dword ptr fs:[0x124]
    mov esp,ebp
    add esp,0x54
    pop edi
    pop esi
    pop ebx
    pop ebp
    add esp,4
    iretd
    done

# The idle loop: interrupts on, halt; then a look at the DPC queue and the next thread.
function @KiIdleLoop@0, 0x1d00, T, 0
    .cv_fpo_endprologue
    mov ebx,dword ptr fs:[0x1c]
    lea ecx,[ebx+DPC_LIST]
    jmp 1f
1:  sti
    nop
    nop
    sti
    hlt
    # +14: where an interrupt of the idle processor returns to
    cli
    cmp dword ptr [ecx],ecx
    jne 2f
    cmp dword ptr [ebx+0x128],0
    je 1b
2:  sti
    call _KiRetireDpcList@4
    jmp 1b
    done

function _KiRetireDpcList@4, 0x1e00, T, 0
    push ebx
    .cv_fpo_pushreg ebx
    .cv_fpo_endprologue
    mov ebx,dword ptr [ecx]
    pop ebx
    ret
    done

function _KiThreadStartup, 0x1f00, T, 0
    .cv_fpo_endprologue
    xor ebx,ebx
    pop ecx
    pop edx
    push ecx
    call edx
    ud2
    done

function _KiInterruptDispatch, 0x2000, T, 0
    push esp
    push ebp
    push ebx
    push esi
    push edi
    sub esp,0x54
    mov ebp,esp
    mov dword ptr [esp+TRAP_EDX+8],eax
    mov dword ptr [esp+TRAP_EDX+4],ecx
    mov dword ptr [esp+TRAP_EDX],edx
.ifdef WIN10
    # The level that was interrupted, in the trap frame itself.
    mov al,byte ptr fs:[0x24]
    mov byte ptr [esp+0x47],al
    sub esp,0x14
    .cv_fpo_stackalloc 8
    .cv_fpo_endprologue
    mov al,byte ptr [edi+0x30]
    mov byte ptr fs:[0x24],al
.else
    # Locals: OldIrql at [ebp-4], the vector at [ebp-8]; 0Ch bytes below them are for the HAL's calls.
    sub esp,0x14
    .cv_fpo_stackalloc 8
    .cv_fpo_endprologue
    mov eax,dword ptr [edi+0x2c]
    mov dword ptr [ebp-8],eax
.endif
    inc dword ptr [edi+DISPATCH_COUNT]
    mov dword ptr [ebp+TRAP_DR7],0
    cld
    push dword ptr [edi+0x18]
    push edi
    .org 0x2042 - T, 0x90
    call dword ptr [edi+0xc]
    # +45
    mov esp,ebp
    add esp,0x54
    pop edi
    pop esi
    pop ebx
    pop ebp
    add esp,4
    iretd
    done

.ifdef WIN10
# ecx: lock, edx: queue entry.
function @KeAcquireInStackQueuedSpinLock@8, 0x2100, T, 0
    push esi
    .cv_fpo_pushreg esi
    .cv_fpo_endprologue
    mov esi,edx
    mov dword ptr [esi+4],ecx
    mov dword ptr [esi],0
    mov al,byte ptr fs:[0x24]
    mov byte ptr fs:[0x24],2
    mov byte ptr [esi+8],al
    xchg dword ptr [ecx],edx
    test edx,edx
    je 1f
    mov ecx,esi
    call @KxWaitForLockOwnerShip@8
    # +2d
1:  pop esi
    ret
    done

# ecx: own entry, edx: the entry before it.
function @KxWaitForLockOwnerShip@8, 0x2180, T, 0
    .cv_fpo_endprologue
    or dword ptr [ecx+4],1
    mov dword ptr [edx],ecx
1:  pause
    mov eax,dword ptr [ecx+4]
    test al,1
    jne 1b
    ret
    done

# ecx: queue entry.
function @KeReleaseInStackQueuedSpinLock@4, 0x2200, T, 0
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov esi,ecx
    mov edi,dword ptr [esi]
    test edi,edi
    jne 2f
    mov edx,dword ptr [esi+4]
    mov eax,esi
    xor ecx,ecx
    lock cmpxchg dword ptr [edx],ecx
    je 3f
1:  pause
    mov edi,dword ptr [esi]
    test edi,edi
    je 1b
2:  mov dword ptr [esi],0
    lock xor dword ptr [edi+4],1
3:  mov al,byte ptr [esi+8]
    mov byte ptr fs:[0x24],al
    pop edi
    pop esi
    ret
    done
.endif
    .org 0x2400 - T, 0xcc

# Absolute addresses, so that the image has relocations; behind them nt's variables.

# The way into a wait, as on XP (nt.s).
function _KeWaitForSingleObject@20, 0x2500, T, 20
    mov edi,edi
    frame
    sub esp,0x14
    .cv_fpo_stackalloc 0x14
    push ebx
    .cv_fpo_pushreg ebx
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov esi,dword ptr [ebp+8]
    xor edi,edi
    mov ebx,dword ptr fs:[CURRENT_THREAD]
    cmp dword ptr [esi+4],0
    jg  1f
    call _KiSwapThread@0
    mov edi,eax
1:  mov eax,edi
    pop edi
    pop esi
    pop ebx
    leave
    ret 20
    done

function _KiSwapThread@0, 0x2580, T, 0
    mov edi,edi
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov edi,dword ptr fs:[0x20]
    mov esi,dword ptr [edi+8]
    mov ecx,esi
    call @KiSwapContext@4
    mov eax,dword ptr [esi+WAIT_STATUS]
    pop edi
    pop esi
    ret
    done

function @KiSwapContext@4, 0x2600, T, 0
    sub esp,0x10
    .cv_fpo_stackalloc 0x10
    .cv_fpo_endprologue
    mov dword ptr [esp+0xc],ebx
    mov dword ptr [esp+8],esi
    mov dword ptr [esp+4],edi
    mov dword ptr [esp],ebp
    mov ebx,dword ptr fs:[0x1c]
    mov esi,ecx
    mov edi,dword ptr [ebx+CURRENT_THREAD]
    mov dword ptr [ebx+CURRENT_THREAD],esi
    call SwapContext
    mov ebp,dword ptr [esp]
    mov edi,dword ptr [esp+4]
    mov esi,dword ptr [esp+8]
    mov ebx,dword ptr [esp+0xc]
    add esp,0x10
    ret
    done

function SwapContext, 0x2680, T, 0
    pushfd
    .cv_fpo_endprologue
    push dword ptr [ebx]
    mov dword ptr [edi+KERNEL_STACK],esp
    mov esp,dword ptr [esi+KERNEL_STACK]
    pop dword ptr [ebx]
    popfd
    xor eax,eax
    ret
    done

.section .rdata,"dr"
    .long _KeBugCheckEx@20, _KiThreadStartup
.section PAGEDATA,"bw"
    .zero 0x1e0000

.section .debug$S,"dr"
    .p2align 2
    .long 4
    records _KeBugCheckEx@20
    records _KeBugCheck2@24
    records @IofCallDriver@8
    records _IopSynchronousServiceTail@28
    records _IopXxxControlFile@44
    records _NtDeviceIoControlFile@40
    records @KiIdleLoop@0
    records _KiRetireDpcList@4
    records _KiInterruptDispatch
    records _KeWaitForSingleObject@20
    records _KiSwapThread@0
    records @KiSwapContext@4
    records SwapContext
.ifdef WIN10
    records @KeAcquireInStackQueuedSpinLock@8
    records @KxWaitForLockOwnerShip@8
    records @KeReleaseInStackQueuedSpinLock@4
.endif
    .cv_stringtable
