# The PS/2 keyboard driver as far as a crash on request needs it (CrashOnCtrlScroll).
.include "frame.inc"
.text
# rcx KINTERRUPT, rdx device extension
func I8042KeyboardInterruptService
pushes rbx, rdi
alloc 0x38
body
mov rbx, rdx
mov edi, 0x1d
mov rcx, rbx
mov edx, edi
jmp 1f
at I8042KeyboardInterruptService, 0x217
1:
call I8xProcessCrashDump
mov al, 1
add rsp, 0x38
pop rdi
pop rbx
ret
endfunc
.p2align 4, 0xcc
func I8xProcessCrashDump
pushes rbx
alloc 0x30
body
mov rbx, rcx
cmp dword ptr [rbx+0x58], 3
jne 2f
mov qword ptr [rsp+0x20], 0
xor r9d, r9d
xor r8d, r8d
xor edx, edx
mov ecx, 0xe2
jmp 1f
at I8xProcessCrashDump, 0x22d
1:
import KeBugCheckEx
nop
2:
add rsp, 0x30
pop rbx
ret
endfunc
.p2align 4, 0xcc
leaf DriverEntry
lea rax, [rip + table]
xor eax, eax
ret
.data
table: .quad I8042KeyboardInterruptService
