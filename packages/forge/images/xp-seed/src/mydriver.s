# The driver of the analysis. DispatchControl -> ProcessQueue takes the lock of the device extension (+1C) -> ParseFrame ->
# RcvData takes it again: the recursion that the page leaves to be found. RcvData alone is the page's. LEAK: ProcessQueue
# does not hold the lock; a function that has returned forgot to give it back. RELEASED: ProcessQueue gives it back before it
# calls down. LOWERED: it goes on at PASSIVE_LEVEL with the lock held.
.include "frame.inc"
.text
.set T, 0x1000
function _DispatchControl@8, 0x2000, T, 8
    mov edi,edi
    frame
    sub esp,0x44
    .cv_fpo_stackalloc 0x44
    push ebx
    .cv_fpo_pushreg ebx
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov eax,dword ptr [ebp+8]
    mov edi,dword ptr [eax+0x28]
    mov esi,dword ptr [ebp+0xc]
    mov ebx,dword ptr [esi+0x60]
    cmp dword ptr [ebx+0xc],0x222003
    jne 1f
    .org 0x2057 - T, 0x90
    push edi
    call _ProcessQueue@4
    # +5d
1:  mov dword ptr [esi+0x18],eax
    mov dword ptr [esi+0x1c],0
    xor edx,edx
    mov ecx,esi
    pop edi
    pop esi
    pop ebx
    leave
    ret 8
    done

function _ProcessQueue@4, 0x2200, T, 4
    mov edi,edi
    frame
    sub esp,0x34
    .cv_fpo_stackalloc 0x34
    push ebx
    .cv_fpo_pushreg ebx
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov edi,dword ptr [ebp+8]
.ifdef LEAK
    push edi
    call _TakePending@4
.else
    lea edx,[ebp-0x2c]
    lea ecx,[edi+0x1c]
    call dword ptr [__imp_@KeAcquireInStackQueuedSpinLock@8]
.endif
.ifdef LOWERED
    xor ecx,ecx
    call dword ptr [__imp_@KfLowerIrql@4]
.endif
.ifdef RELEASED
    lea ecx,[ebp-0x2c]
    call dword ptr [__imp_@KeReleaseInStackQueuedSpinLock@4]
.endif
    mov esi,dword ptr [edi+8]
    lea ebx,[edi+8]
1:  cmp esi,ebx
    je 2f
    mov ecx,dword ptr [esi]
    mov dword ptr [ebx],ecx
    lea eax,[esi+0x68]
    .org 0x224a - T, 0x90
    push eax
    push edi
    call _ParseFrame@8
    # +51
    mov esi,dword ptr [ebx]
    jmp 1b
2:
.ifndef LEAK
.ifndef RELEASED
    lea ecx,[ebp-0x2c]
    call dword ptr [__imp_@KeReleaseInStackQueuedSpinLock@4]
.endif
.endif
    xor eax,eax
    pop edi
    pop esi
    pop ebx
    leave
    ret 4
    done

.ifdef LEAK
# Takes the lock with an entry deep in its own frame ([ebp-fe0]) and forgets it where the count is zero.
function _TakePending@4, 0x2300, T, 4
    mov edi,edi
    frame
    sub esp,0xff0
    .cv_fpo_stackalloc 0xff0
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov edi,dword ptr [ebp+8]
    lea edx,[ebp-0xfe0]
    lea ecx,[edi+0x1c]
    call dword ptr [__imp_@KeAcquireInStackQueuedSpinLock@8]
    mov eax,dword ptr [edi+0x10]
    test eax,eax
    je 1f
    dec dword ptr [edi+0x10]
    lea ecx,[ebp-0xfe0]
    call dword ptr [__imp_@KeReleaseInStackQueuedSpinLock@4]
    mov eax,1
1:  pop edi
    leave
    ret 4
    done
.endif

function _ParseFrame@8, 0x2400, T, 8
    mov edi,edi
    frame
    sub esp,0x934
    .cv_fpo_stackalloc 0x934
    push ebx
    .cv_fpo_pushreg ebx
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov esi,dword ptr [ebp+0xc]
    mov ebx,dword ptr [ebp+8]
    mov ecx,dword ptr [esi+0xc]
    lea edi,[ebp-0x934]
    test ecx,ecx
    je 1f
    mov dword ptr [edi],ecx
    .org 0x2478 - T, 0x90
    push esi
    push ebx
    call _RcvData@8
    # +7f
1:  pop edi
    pop esi
    pop ebx
    leave
    ret 8
    done

# Saves no register on the stack: ebx, esi and edi lie in locals, the handle at [ebp-20].
function _RcvData@8, 0x26bd, T, 8
    mov edi,edi
    frame
    sub esp,0x28
    .cv_fpo_stackalloc 0x28
    .cv_fpo_endprologue
    mov dword ptr [ebp-4],ebx
    mov dword ptr [ebp-8],esi
    mov dword ptr [ebp-0xc],edi
    mov edi,dword ptr [ebp+8]
    mov esi,dword ptr [ebp+0xc]
    lea ebx,[ebp+8]
    mov eax,dword ptr [esi+8]
    cmp eax,0x5dc
    ja 1f
    mov dword ptr [ebp-0x24],eax
    mov eax,dword ptr [edi+8]
    mov dword ptr [ebp-0x28],eax
    .org 0x2749 - T, 0x90
    lea edx,[ebp-0x20]
    lea ecx,[edi+0x1c]
    call dword ptr [__imp_@KeAcquireInStackQueuedSpinLock@8]
    # +98
    mov eax,dword ptr [edi+8]
    mov dword ptr [esi],eax
    mov dword ptr [edi+8],esi
    lea ecx,[ebp-0x20]
    call dword ptr [__imp_@KeReleaseInStackQueuedSpinLock@4]
1:  mov ebx,dword ptr [ebp-4]
    mov esi,dword ptr [ebp-8]
    mov edi,dword ptr [ebp-0xc]
    leave
    ret 8
    done

# A DPC routine: (KDPC, device extension, two arguments).
function _RcvDpc@16, 0x2800, T, 16
    mov edi,edi
    frame
    sub esp,0x44
    .cv_fpo_stackalloc 0x44
    push ebx
    .cv_fpo_pushreg ebx
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov edi,dword ptr [ebp+0xc]
    inc dword ptr [edi+0x14]
    push edi
    call _ProcessQueue@4
    pop edi
    pop esi
    pop ebx
    leave
    ret 16
    done

# An interrupt service routine: (KINTERRUPT, device extension).
function _RcvIsr@8, 0x2880, T, 8
    mov edi,edi
    frame
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov edi,dword ptr [ebp+0xc]
    mov esi,dword ptr [edi+8]
    lea eax,[esi+0x68]
    push eax
    push edi
    call _RcvData@8
    mov al,1
    pop edi
    pop esi
    pop ebp
    ret 8
    done

function _DriverEntry@8, 0x2900, T, 8
    .cv_fpo_endprologue
    xor eax,eax
    ret 8
    done

.section .debug$S,"dr"
    .p2align 2
    .long 4
    records _DispatchControl@8
    records _ProcessQueue@4
    records _ParseFrame@8
    records _RcvData@8
    records _RcvDpc@16
    records _RcvIsr@8
.ifdef LEAK
    records _TakePending@4
.endif
    .cv_stringtable
