# A kernel with the functions that the seed's stack passes through. .text begins at RVA 1000, PAGE at RVA 97000, as in the
# XP kernels; only the addresses that the page prints are the page's (KiInterruptDispatch, KiIdleLoop+14), the rest differ
# from every real build on purpose, so that no table of real names fits.
.include "frame.inc"
.text
.set T, 0x1000

function _KeWaitForSingleObject@20, 0x14000, T, 20
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
    mov ebx,dword ptr fs:[0x124]
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

function @IofCallDriver@8, 0x18000, T, 0
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
    .org 0x1802a - T, 0x90
    call dword ptr [esi+eax*4+0x38]
    # +2e
    pop esi
    leave
    ret
    done

function _KiSwapThread@0, 0x1d000, T, 0
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
    mov eax,dword ptr [esi+0x54]
    pop edi
    pop esi
    ret
    done

function _KeBugCheckEx@20, 0x22000, T, 20
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

function _KeBugCheck2@24, 0x22100, T, 24
    mov edi,edi
    frame
    sub esp,0x40
    .cv_fpo_stackalloc 0x40
    .cv_fpo_endprologue
    cli
1:  pause
    jmp 1b
    done

function _KiFastCallEntry, 0x67000, T, 0
    # The user's stack is left; a trap frame is built on the thread's own.
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
    mov ebp,dword ptr [esi+0x18]
    push 1
    sub esp,0x48
    sub ebp,0x29c
    mov byte ptr [esi+0x140],1
    cmp ebp,esp
    jne 2f
    and dword ptr [ebp+0x2c],0
    mov dword ptr [esi+0x134],ebp
    mov ebx,dword ptr [ebp+0x60]
    mov edi,dword ptr [ebp+0x68]
    mov dword ptr [ebp+0xc],edx
    mov dword ptr [ebp+8],0xbadb0d00
    mov dword ptr [ebp],ebx
    mov dword ptr [ebp+4],edi
    sti
    .cv_fpo_endprologue
    mov edi,eax
    shr edi,8
    and edi,0x30
    mov ecx,edi
    add edi,dword ptr [esi+0xe0]
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
    .org 0x670f6 - T, 0x90
    call ebx
    # +f8
    mov esp,ebp
    jmp 3f
2:  ud2
3:  mov ecx,dword ptr fs:[0x124]
    mov esp,ebp
    add esp,0x58
    pop edi
    pop esi
    pop ebx
    pop ebp
    add esp,8
    iretd
    done

function @KiSwapContext@4, 0x6a800, T, 0
    sub esp,0x10
    .cv_fpo_stackalloc 0x10
    .cv_fpo_endprologue
    mov dword ptr [esp+0xc],ebx
    mov dword ptr [esp+8],esi
    mov dword ptr [esp+4],edi
    mov dword ptr [esp],ebp
    mov ebx,dword ptr fs:[0x1c]
    mov esi,ecx
    mov edi,dword ptr [ebx+0x124]
    mov dword ptr [ebx+0x124],esi
    mov cl,byte ptr [edi+0x58]
    call SwapContext
    mov ebp,dword ptr [esp]
    mov edi,dword ptr [esp+4]
    mov esi,dword ptr [esp+8]
    mov ebx,dword ptr [esp+0xc]
    add esp,0x10
    ret
    done

function SwapContext, 0x6a900, T, 0
    or cl,cl
    .cv_fpo_endprologue
    mov byte ptr es:[esi+0x2d],2
    pushfd
    push dword ptr [ebx]
    mov dword ptr [edi+0x28],esp
    mov esp,dword ptr [esi+0x28]
    pop dword ptr [ebx]
    popfd
    xor eax,eax
    ret
    done

# The idle loop: interrupts on, halt; then a look at the DPC queue and the next thread.
function @KiIdleLoop@0, 0x6b000, T, 0
    .cv_fpo_endprologue
    mov ebx,dword ptr fs:[0x1c]
    lea ecx,[ebx+0x980]
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
    call _KiRetireDpcList
    jmp 1b
    done

function _KiRetireDpcList, 0x6b100, T, 0
    push ebp
    .cv_fpo_pushreg ebp
    push ebx
    .cv_fpo_pushreg ebx
    sub esp,4
    .cv_fpo_stackalloc 4
    .cv_fpo_endprologue
    mov dword ptr [esp],ecx
    mov ebp,dword ptr [ecx]
1:  cmp ebp,ecx
    je 2f
    mov edx,dword ptr [ebp]
    mov dword ptr [ecx],edx
    mov dword ptr [edx+4],ecx
    mov ebx,dword ptr [ebp+8]
    lea eax,[ebp-4]
    push dword ptr [ebp+0x14]
    push dword ptr [ebp+0x10]
    push dword ptr [ebp+0xc]
    push eax
    .org 0x6b138 - T, 0x90
    call ebx
    # +3a
    mov ecx,dword ptr [esp]
    mov ebp,dword ptr [ecx]
    jmp 1b
2:  add esp,4
    pop ebx
    pop ebp
    ret
    done

# Called by the HAL's dispatch interrupt. DPCs run on the processor's own stack, whose first word is the ESP to return to.
function _KiDispatchInterrupt@0, 0x6b200, T, 0
    .cv_fpo_endprologue
    mov ebx,dword ptr fs:[0x1c]
    lea eax,[ebx+0x980]
    cli
    cmp eax,dword ptr [eax]
    je 1f
    push ebp
    push dword ptr [ebx]
    mov dword ptr [ebx],0xffffffff
    mov edx,esp
    mov esp,dword ptr [ebx+0x988]
    push edx
    mov ebp,eax
    mov ecx,eax
    call _KiRetireDpcList
    pop esp
    pop dword ptr [ebx]
    pop ebp
1:  sti
    ret
    done

function _KiThreadStartup, 0x6c000, T, 0
    .cv_fpo_endprologue
    xor ebx,ebx
    pop ecx
    pop edx
    push ecx
    call edx
    ud2
    done
# Interrupts on this processor go through it: the per-interrupt stub has pushed nothing; the trap frame is built here.
function _KiInterruptDispatch, 0x6d8a0, T, 0
    push esp
    push ebp
    push ebx
    push esi
    push edi
    sub esp,0x54
    mov ebp,esp
    mov dword ptr [esp+0x44],eax
    mov dword ptr [esp+0x40],ecx
    mov dword ptr [esp+0x3c],edx
    # Locals: OldIrql at [ebp-4], the vector at [ebp-8]; 0Ch bytes below them are for the HAL's calls.
    sub esp,0x14
    .cv_fpo_stackalloc 8
    .cv_fpo_endprologue
    mov eax,dword ptr [edi+0x24]
    movzx ecx,byte ptr [edi+0x28]
    mov byte ptr [ebp-4],cl
    mov dword ptr [ebp-8],eax
    inc dword ptr [edi+0x38]
    mov dword ptr [ebp+0x2c],0
    cld
    push dword ptr [edi+0x10]
    push edi
    .org 0x6d8e2 - T, 0x90
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

    .org 0x6e000 - T, 0xcc

# Globals: the forge writes them where the layouts of the build expect them.
.section .data,"dw"
    # Absolute addresses, so that the image has relocations.
    .long _KeBugCheckEx@20, _KiThreadStartup
    .org 0x29000

.section PAGE,"xr"
.set P, 0x97000
function _NtDeviceIoControlFile@40, 0x97800, P, 40
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

function _IopSynchronousServiceTail@28, 0x9e000, P, 28
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
    lea ecx,[eax+0x210]
    lea eax,[esi+0x10]
    mov edx,dword ptr [ecx]
    mov dword ptr [eax],edx
    mov dword ptr [eax+4],ecx
    mov dword ptr [edx+4],eax
    mov dword ptr [ecx],eax
    .org 0x9e059 - P, 0x90
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

function _IopXxxControlFile@44, 0x9e800, P, 44
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
    .org 0x9edab - P, 0x90
    push 1
    push 0
    push 1
    push 0
    push esi
    push ebx
    mov ecx,dword ptr [ebp-8]
    push ecx
    .org 0x9edc0 - P, 0x90
    call _IopSynchronousServiceTail@28
    # +5c5
    pop edi
    pop esi
    pop ebx
    leave
    ret 44
    done
    .org 0xa0000 - P, 0xcc

.section PAGEDATA,"bw"
    .zero 0x158000

.section .debug$S,"dr"
    .p2align 2
    .long 4
    records _KeWaitForSingleObject@20
    records @IofCallDriver@8
    records _KiSwapThread@0
    records _KeBugCheckEx@20
    records _KeBugCheck2@24
    records @KiSwapContext@4
    records SwapContext
    records _KiInterruptDispatch
    records @KiIdleLoop@0
    records _KiRetireDpcList
    records _KiDispatchInterrupt@0
    records _NtDeviceIoControlFile@40
    records _IopSynchronousServiceTail@28
    records _IopXxxControlFile@44
    .cv_stringtable
