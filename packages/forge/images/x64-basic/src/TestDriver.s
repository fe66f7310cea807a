# Three system threads, one spin lock in the device extension, file services under it (DebugPrivilege/InsightEngineering,
# section 10; return addresses as published).
.include "frame.inc"
.text
.macro fileunderlock name, acquire, open
func \name
pushes rbx, rdi
alloc 0x98
body
mov rdi, [rip + TestDeviceObject]
mov rbx, [rdi+0x40]
mov dword ptr [rsp+0x40], 0x30
mov qword ptr [rsp+0x48], 0
lea rcx, [rbx+0x18]
jmp 1f
at \name, (\acquire-6)
1:
import KeAcquireSpinLockRaiseToDpc
mov [rsp+0x88], al
mov dword ptr [rsp+0x28], 0x20
mov dword ptr [rsp+0x20], 7
lea r9, [rsp+0x70]
lea r8, [rsp+0x40]
mov edx, 0x100001
lea rcx, [rsp+0x80]
jmp 2f
at \name, (\open-6)
2:
import ZwOpenFile
mov [rbx+0x20], eax
movzx edx, byte ptr [rsp+0x88]
lea rcx, [rbx+0x18]
import KeReleaseSpinLock
add rsp, 0x98
pop rdi
pop rbx
ret
endfunc
.endm
.org 0x100, 0xcc
fileunderlock FirstThread, 0x53, 0xa5
.org 0x2d0, 0xcc
fileunderlock SecondThread, 0x53, 0xa5
.org 0x410, 0xcc
fileunderlock ThirdThread, 0x58, 0xa5
.org 0x500, 0xcc
leaf DriverEntry
lea rax, [rip + TestThreads]
xor eax, eax
ret
.data
global TestDeviceObject
.quad 0
global TestThreads
.quad FirstThread, SecondThread, ThirdThread
