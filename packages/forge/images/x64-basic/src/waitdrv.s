# A driver that waits in all the ways a driver can: its own thread for work (as it should), a request for its device, a
# close for other requests, and a thread of the system on its behalf.
.include "frame.inc"
.text
# Thread routine. rcx start context: waits for work in the driver's own data, for ever.
func ServiceThread
pushes rbx
alloc 0x30
body
mov rbx, rcx
.Lservice:
mov qword ptr [rsp+0x20], 0
xor r9d, r9d
xor r8d, r8d
xor edx, edx
lea rcx, [rip + WorkEvent]
import KeWaitForSingleObject
mov rcx, rbx
call ServeRequests
jmp .Lservice
endfunc
.p2align 4, 0xcc
# rcx device extension: sends a request down and waits for an event on the stack
func ServeRequests
pushes rbx, rdi
alloc 0x58
body
mov rbx, rcx
mov rdi, [rbx+0x10]
lea rax, [rsp+0x40]
mov [rdi+0x50], rax
mov rdx, rdi
mov rcx, [rbx+8]
import IofCallDriver
mov qword ptr [rsp+0x20], 0
xor r9d, r9d
xor r8d, r8d
xor edx, edx
lea rcx, [rsp+0x40]
import KeWaitForSingleObject
mov [rbx+0x20], eax
add rsp, 0x58
pop rdi
pop rbx
ret
endfunc
.p2align 4, 0xcc
# rcx device object, rdx IRP: the same on the thread of whoever asks
func ReadDispatch
pushes rbx, rdi
alloc 0x28
body
mov rdi, rdx
mov rbx, [rcx+0x40]
mov rcx, rbx
call ServeRequests
mov [rdi+0x30], eax
xor eax, eax
add rsp, 0x28
pop rdi
pop rbx
ret
endfunc
.p2align 4, 0xcc
# rcx device object, rdx IRP: waits for an event of the device extension that the last other request sets
func CleanupDispatch
pushes rbx, rdi
alloc 0x38
body
mov rdi, rdx
mov rbx, [rcx+0x40]
mov qword ptr [rsp+0x20], 0
xor r9d, r9d
xor r8d, r8d
xor edx, edx
lea rcx, [rbx+0x60]
import KeWaitForSingleObject
mov dword ptr [rdi+0x30], 0
xor eax, eax
add rsp, 0x38
pop rdi
pop rbx
ret
endfunc
.p2align 4, 0xcc
leaf DriverEntry
lea rax, [rip + Dispatch]
xor eax, eax
ret
.data
global WorkEvent
.quad 1, 0, 0
global Dispatch
.quad ServiceThread, ReadDispatch, CleanupDispatch
