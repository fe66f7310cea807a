# The processor driver's idle state: where an idle Windows 10 processor stands.
.include "frame.inc"
.text
func MWaitIdle
alloc 0x28
body
mov rdx, [rsp+0x30]
xor eax, eax
xor ecx, ecx
monitor
mov eax, 0x20
jmp 1f
at MWaitIdle, 0x1c
1:
mwait
mov eax, 1
add rsp, 0x28
ret
endfunc
.p2align 4, 0xcc
leaf DriverEntry
lea rax, [rip + table]
xor eax, eax
ret
.data
table: .quad MWaitIdle
