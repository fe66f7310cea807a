# A driver that waits in all the ways a driver can (the x64 set has the same one): its own thread for work, a request for its
# device with an event on the stack, a cleanup for an event of the device extension.
.include "frame.inc"
.text
.set T, 0x1000
# (start context)
function _ServiceThread@4, 0x1000, T, 4
    mov edi,edi
    frame
    push esi
    .cv_fpo_pushreg esi
    .cv_fpo_endprologue
    mov esi,dword ptr [ebp+8]
1:  push 0
    push 0
    push 0
    push 0
    lea eax,[_WorkEvent]
    push eax
    call dword ptr [__imp__KeWaitForSingleObject@20]
    push esi
    call _ServeRequests@4
    jmp 1b
    done

# (device extension): sends a request down and waits for an event on the stack
function _ServeRequests@4, 0x1100, T, 4
    mov edi,edi
    frame
    sub esp,0x18
    .cv_fpo_stackalloc 0x18
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov esi,dword ptr [ebp+8]
    mov edi,dword ptr [esi+0x10]
    lea eax,[ebp-0x10]
    mov dword ptr [edi+0x2c],eax
    mov edx,edi
    mov ecx,dword ptr [esi+8]
    call dword ptr [__imp_@IofCallDriver@8]
    push 0
    push 0
    push 0
    push 0
    lea eax,[ebp-0x10]
    push eax
    call dword ptr [__imp__KeWaitForSingleObject@20]
    mov dword ptr [esi+0x20],eax
    pop edi
    pop esi
    leave
    ret 4
    done

# (device object, IRP): the same on the thread of whoever asks
function _ReadDispatch@8, 0x1200, T, 8
    mov edi,edi
    frame
    push esi
    .cv_fpo_pushreg esi
    .cv_fpo_endprologue
    mov esi,dword ptr [ebp+0xc]
    mov eax,dword ptr [ebp+8]
    push dword ptr [eax+0x28]
    call _ServeRequests@4
    mov dword ptr [esi+0x18],eax
    xor eax,eax
    pop esi
    pop ebp
    ret 8
    done

# (device object, IRP): waits for an event of the device extension that the last other request sets
function _CleanupDispatch@8, 0x1300, T, 8
    mov edi,edi
    frame
    push esi
    .cv_fpo_pushreg esi
    .cv_fpo_endprologue
    mov esi,dword ptr [ebp+0xc]
    mov eax,dword ptr [ebp+8]
    mov eax,dword ptr [eax+0x28]
    push 0
    push 0
    push 0
    push 0
    lea eax,[eax+0x60]
    push eax
    call dword ptr [__imp__KeWaitForSingleObject@20]
    mov dword ptr [esi+0x18],0
    xor eax,eax
    pop esi
    pop ebp
    ret 8
    done

function _DriverEntry@8, 0x1400, T, 8
    .cv_fpo_endprologue
    xor eax,eax
    ret 8
    done

.data
.globl _WorkEvent
_WorkEvent:
    .long 1, 0, 0, 0

.section .debug$S,"dr"
    .p2align 2
    .long 4
    records _ServiceThread@4
    records _ServeRequests@4
    records _ReadDispatch@8
    records _CleanupDispatch@8
    .cv_stringtable
