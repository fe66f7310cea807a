# The in-stack queued spin lock of the multiprocessor HAL: acquire at RVA 49f0, its bytes those of the page (mov eax,edx
# encoded 89 d0); the IRQL table at RVA f218. TPR of the local APIC at FFFE0080. REGISTERS, TESTBYTE and BITTEST: the
# same wait in another form.
.include "frame.inc"
.text
.set T, 0x1000
function @KeAcquireInStackQueuedSpinLock@8, 0x49f0, T, 0
    .cv_fpo_endprologue
    mov eax,dword ptr [0xfffe0080]
    shr eax,4
    mov al,byte ptr [eax+_HalpVectorToIRQL]
    mov dword ptr [0xfffe0080],0x41
    mov byte ptr [edx+8],al
    mov dword ptr [edx+4],ecx
    mov dword ptr [edx],0
    mov eax,edx
    xchg dword ptr [ecx],edx
    cmp edx,0
    jne 1f
    or ecx,2
    mov dword ptr [eax+4],ecx
0:  ret
1:  or ecx,1
    mov dword ptr [eax+4],ecx
    mov dword ptr [edx],eax
.ifdef REGISTERS
    # Own entry in ECX with a displacement, the predecessor nowhere any more.
    lea ecx,[eax-0x10]
    xor eax,eax
    xor edx,edx
2:  test dword ptr [ecx+0x14],1
    je 0b
.else
.ifdef TESTBYTE
2:  test byte ptr [eax+4],1
    je 0b
.else
.ifdef BITTEST
2:  bt dword ptr [eax+4],0
    jae 0b
.else
2:  test dword ptr [eax+4],1
    je 0b
.endif
.endif
.endif
    pause
    jmp 2b
    done

# ecx: handle. Hands the lock to the next entry, else frees the word, then lowers to the handle's OldIrql.
function @KeReleaseInStackQueuedSpinLock@4, 0x4a60, T, 0
    .cv_fpo_endprologue
    push ebx
    mov bl,byte ptr [ecx+8]
    mov edx,dword ptr [ecx+4]
    and edx,0xfffffffc
    mov dword ptr [ecx+4],edx
    mov eax,ecx
    cmp dword ptr [ecx],0
    jne 2f
    push ecx
    xor ecx,ecx
    lock cmpxchg dword ptr [edx],ecx
    pop ecx
    je 3f
1:  pause
    cmp dword ptr [ecx],0
    je 1b
2:  mov eax,dword ptr [ecx]
    mov dword ptr [ecx],0
    xor dword ptr [eax+4],3
3:  movzx ecx,bl
    mov al,byte ptr [ecx+_HalpIRQLtoTPR]
    movzx eax,al
    mov dword ptr [0xfffe0080],eax
    pop ebx
    ret
    done

# Plain spin locks, the word in ecx.
function @KfAcquireSpinLock@4, 0x4b00, T, 0
    .cv_fpo_endprologue
    mov edx,dword ptr [0xfffe0080]
    mov dword ptr [0xfffe0080],0x41
    shr edx,4
    movzx eax,byte ptr [edx+_HalpVectorToIRQL]
1:  lock bts dword ptr [ecx],0
    jb 2f
    ret
2:  test dword ptr [ecx],1
    je 1b
    pause
    jmp 2b
    done

function @KfReleaseSpinLock@8, 0x4b60, T, 0
    .cv_fpo_endprologue
    xor eax,eax
    mov al,byte ptr [edx+_HalpIRQLtoTPR]
    mov dword ptr [ecx],0
    mov dword ptr [0xfffe0080],eax
    ret
    done

# To the level in cl.
function @KfLowerIrql@4, 0x4bc0, T, 0
    .cv_fpo_endprologue
    movzx eax,cl
    movzx eax,byte ptr [eax+_HalpIRQLtoTPR]
    mov dword ptr [0xfffe0080],eax
    ret
    done

# The interrupt at DISPATCH_LEVEL: a trap frame on the stack that it meets, then nt's DPC dispatcher.
function _HalpDispatchInterrupt@0, 0x4c00, T, 0
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
    mov dword ptr [ebp+0x2c],0
    cld
    # The priority to go back to.
    push dword ptr [0xfffe0080]
    .cv_fpo_stackalloc 4
    .cv_fpo_endprologue
    mov dword ptr [0xfffe0080],0x41
    mov dword ptr [0xfffe00b0],0
    sti
    .org 0x4c4a - T, 0x90
    call dword ptr [__imp__KiDispatchInterrupt@0]
    # +50
    cli
    pop dword ptr [0xfffe0080]
    mov esp,ebp
    add esp,0x54
    pop edi
    pop esi
    pop ebx
    pop ebp
    add esp,4
    iretd
    done
    .org 0xefe0 - T, 0xcc

.section .rdata,"dr"
    .org 0x218
    .globl _HalpVectorToIRQL
_HalpVectorToIRQL:
    .byte 0, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 27, 28, 31
    .globl _HalpIRQLtoTPR
_HalpIRQLtoTPR:
    .byte 0, 0x3d, 0x41, 0x51, 0x61, 0x71, 0x81, 0x91, 0xa1, 0xb1, 0xb1, 0xb1, 0xb1, 0xb1, 0xb1, 0xb1
    .byte 0xb1, 0xb1, 0xb1, 0xb1, 0xb1, 0xb1, 0xb1, 0xb1, 0xb1, 0xb1, 0xb1, 0xc1, 0xd1, 0xe1, 0xef, 0xff
    .org 0x1000

.section .data,"bw"
    .zero 0xf000

.section .debug$S,"dr"
    .p2align 2
    .long 4
    records @KeAcquireInStackQueuedSpinLock@8
    records @KeReleaseInStackQueuedSpinLock@4
    records @KfAcquireSpinLock@4
    records @KfReleaseSpinLock@8
    records @KfLowerIrql@4
    records _HalpDispatchInterrupt@0
    .cv_stringtable
