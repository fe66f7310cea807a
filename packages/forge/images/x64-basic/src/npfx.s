# A packet filter that looks its open instances up by key in a singly linked list, under a spin lock. code_forms.list_walk_key.
.include "frame.inc"
.text
.org 0x3300, 0xcc
# rcx device object, rdx IRP
func FilterDeviceControl
pushes rbx, rdi
alloc 0x28
body
mov rbx, [rcx+0x40]
mov rdi, rdx
lea rcx, [rbx+0x40]
import KeAcquireSpinLockRaiseToDpc
mov [rsp+0x20], al
mov rax, [rdi+0x18]
mov r8d, [rax]
lea rdx, [rbx+8]
mov rax, [rdx]
at FilterDeviceControl, 0x4b
call FindOpen
mov [rdi+0x38], rax
movzx edx, byte ptr [rsp+0x20]
lea rcx, [rbx+0x40]
import KeReleaseSpinLock
xor eax, eax
add rsp, 0x28
pop rdi
pop rbx
ret
endfunc
.org 0x3410, 0xcc
# rax first entry, rdx list head, r8d key; rax: the entry or the head
leaf FindOpen
.Lfind:
cmp [rax+0x10], r8d
je .Lfound
mov rax, [rax]
cmp rax, rdx
jne .Lfind
.Lfound:
ret
.org 0x3440, 0xcc
leaf DriverEntry
lea rax, [rip + FilterDispatch]
xor eax, eax
ret
.data
global FilterDispatch
.quad FilterDeviceControl
