# The keyboard port driver: its interrupt service routine sees the crash-dump key and calls KeBugCheckEx(E2).
.include "frame.inc"
.text
.set T, 0x1000
function _I8042KeyboardInterruptService@8, 0x6e16, T, 8
    mov edi,edi
    frame
    sub esp,0x28
    .cv_fpo_stackalloc 0x28
    push ebx
    .cv_fpo_pushreg ebx
    push esi
    .cv_fpo_pushreg esi
    push edi
    .cv_fpo_pushreg edi
    .cv_fpo_endprologue
    mov esi,dword ptr [ebp+0xc]
    lea edi,[esi+0xb8]
    mov ecx,dword ptr [edi]
    in al,0x60
    mov byte ptr [ebp-1],al
    cmp al,0x46
    jne 1f
    .org 0x7023 - T, 0x90
    push 0
    movzx eax,byte ptr [ebp-1]
    push eax
    push edi
    .org 0x702d - T, 0x90
    call _I8xProcessCrashDump@12
    # +21c
1:  mov al,1
    pop edi
    pop esi
    pop ebx
    leave
    ret 8
    done

function _I8xProcessCrashDump@12, 0x75c3, T, 12
    mov edi,edi
    frame
    .cv_fpo_endprologue
    mov eax,dword ptr [ebp+8]
    cmp byte ptr [ebp+0xc],0x46
    jne 1f
    inc dword ptr [eax+0x20]
    cmp dword ptr [eax+0x20],2
    jb 1f
    .org 0x77e5 - T, 0x90
    push 0
    push 0
    push 0
    push 0
    push 0xe2
    .org 0x77f4 - T, 0x90
    call dword ptr [__imp__KeBugCheckEx@20]
    # +237
1:  pop ebp
    ret 12
    done

function _DriverEntry@8, 0x7900, T, 8
    .cv_fpo_endprologue
    xor eax,eax
    ret 8
    done

.section .debug$S,"dr"
    .p2align 2
    .long 4
    records _I8042KeyboardInterruptService@8
    records _I8xProcessCrashDump@12
    .cv_stringtable
