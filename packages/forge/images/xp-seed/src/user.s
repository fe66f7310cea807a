# User images of the process: only the names that !thread and the trap frame of the system call need.
.include "frame.inc"
.text
.set T, 0x1000
.ifdef MYAPP
function _ThreadImpersonation@4, 0x6821, T, 4
    frame
    .cv_fpo_endprologue
    push 0
    call dword ptr [__imp__NtDeviceIoControlFile@40]
    pop ebp
    ret 4
    done
    .org 0x8000 - T, 0xcc
.endif
.ifdef KERNEL32
function _BaseThreadStartThunk@8, 0x10659, T, 0
    .cv_fpo_endprologue
    xor ebp,ebp
    push ebx
    push eax
    push 0
    call eax
    ud2
    done
    .org 0x12000 - T, 0xcc
.endif
.ifdef NTDLL
function _KiFastSystemCall@0, 0xe4f0, T, 0
    .cv_fpo_endprologue
    mov edx,esp
    sysenter
    done
    .globl _KiFastSystemCallRet@0
    .def _KiFastSystemCallRet@0; .scl 2; .type 32; .endef
_KiFastSystemCallRet@0:
    ret
function _NtDeviceIoControlFile@40, 0xe500, T, 40
    .cv_fpo_endprologue
    mov eax,0x42
    mov edx,0x7ffe0300
    call dword ptr [edx]
    ret 40
    done
    .org 0x10000 - T, 0xcc
.endif
