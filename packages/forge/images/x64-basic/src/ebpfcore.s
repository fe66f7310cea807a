# A driver with the call chain of microsoft/ebpf-for-windows#1510: a reference is dropped under the lock of the object list,
# and the last reference of another object wants the same lock. Return addresses as published.
# VARIANT 0: the older frame holds the lock over the call. 1: it releases it first. 2: only one of its paths takes it.
.include "frame.inc"

.text
.org 0x100, 0xcc
# rcx device object, rdx IRP
func _ebpf_driver_io_device_control
pushes rbx, rsi, rdi
alloc 0x40
body
mov rdi, rdx
mov rbx, [rcx+0x40]
mov rsi, [rdi+0x18]
mov rcx, rsi
mov rdx, rbx
jmp 1f
at _ebpf_driver_io_device_control, 0x1ae
1:
call ebpf_core_invoke_protocol_handler
mov [rdi+0x30], eax
xor edx, edx
mov rcx, rdi
import IofCompleteRequest
add rsp, 0x40
pop rdi
pop rsi
pop rbx
ret
endfunc

.org 0x500, 0xcc
func ebpf_core_invoke_protocol_handler
pushes rbx, rdi
alloc 0x38
body
mov rbx, rcx
movzx edi, word ptr [rbx+2]
mov ecx, [rbx+8]
lea rdx, [rsp+0x28]
jmp 1f
at ebpf_core_invoke_protocol_handler, 0x152
1:
call ebpf_object_dereference_by_id
add rsp, 0x38
pop rdi
pop rbx
ret
endfunc

# rcx program: drops the reference on every map that it uses
.org 0xe10, 0xcc
func _ebpf_program_free
pushes rbx, rbp, rsi, rdi, r12, r14, r15
alloc 0xe0
body
mov rbx, rcx
mov r14, [rbx+0x60]
mov r12d, [rbx+0x68]
xor esi, esi
test r12d, r12d
je .Lfree_done
jmp .Lfree_next
at _ebpf_program_free, 0x20a
.Lfree_next:
mov rdi, [r14+rsi*8]
test rdi, rdi
je .Lfree_skip
mov rcx, rdi
nop
nop
call ebpf_object_release_reference
.Lfree_skip:
inc rsi
cmp esi, r12d
jb .Lfree_next
.Lfree_done:
mov qword ptr [rbx+0x60], 0
add rsp, 0xe0
pop r15
pop r14
pop r12
pop rdi
pop rsi
pop rbp
pop rbx
ret
endfunc

.section T1b,"xr"
# rcx object, the list's lock is held by the caller
.org 0x50, 0xcc
func _ebpf_object_release_reference_under_lock
pushes rbx, rdi
alloc 0x48
body
mov rbx, rcx
mov eax, -1
lock xadd [rbx+8], eax
cmp eax, 1
jne .Lunder_done
mov rcx, [rbx+0x28]
mov rax, [rbx+0x30]
mov [rax], rcx
mov [rcx+8], rax
mov rcx, rbx
jmp .Lunder_free
at _ebpf_object_release_reference_under_lock, 0x7d
.Lunder_free:
call qword ptr [rbx+0x18]
.Lunder_done:
xor eax, eax
add rsp, 0x48
pop rdi
pop rbx
ret
endfunc

# ecx id, rdx receives the object's type
.org 0x4d0, 0xcc
func ebpf_object_dereference_by_id
pushes rbx, rsi, rdi, r14
alloc 0x38
body
mov edi, ecx
mov r14, rdx
xor ebx, ebx
.if VARIANT==2
test edi, edi
js .Lderef_unlocked
.endif
lea rcx, [rip + _ebpf_object_tracking_list_lock]
call ebpf_lock_lock
mov bl, al
.Lderef_unlocked:
mov eax, edi
and eax, 0x3ff
lea rcx, [rip + _ebpf_id_table]
mov rsi, [rcx+rax*8]
test rsi, rsi
je .Lderef_missing
mov eax, [rsi+0xc]
mov [r14], eax
.if VARIANT==1
movzx edx, bl
lea rcx, [rip + _ebpf_object_tracking_list_lock]
call ebpf_lock_unlock
.endif
jmp .Lderef_release
at ebpf_object_dereference_by_id, 0xc5
.Lderef_release:
mov rcx, rsi
call _ebpf_object_release_reference_under_lock
xor esi, esi
jmp .Lderef_unlock
.Lderef_missing:
.if VARIANT==1
movzx edx, bl
lea rcx, [rip + _ebpf_object_tracking_list_lock]
call ebpf_lock_unlock
.endif
mov esi, 0x17
.Lderef_unlock:
.if VARIANT==2
test edi, edi
js .Lderef_return
.endif
.if VARIANT!=1
movzx edx, bl
lea rcx, [rip + _ebpf_object_tracking_list_lock]
call ebpf_lock_unlock
.endif
.Lderef_return:
mov eax, esi
add rsp, 0x38
pop r14
pop rdi
pop rsi
pop rbx
ret
endfunc

# rcx object
.org 0x9b0, 0xcc
func ebpf_object_release_reference
pushes rbx, rbp, rsi, rdi, r12, r14, r15
alloc 0xa0
body
mov rbx, rcx
test rbx, rbx
je .Lrelease_done
mov eax, -1
lock xadd [rbx+8], eax
cmp eax, 1
jne .Lrelease_done
jmp .Lrelease_last
at ebpf_object_release_reference, 0x209
.Lrelease_last:
lea rcx, [rip + _ebpf_object_tracking_list_lock]
call ebpf_lock_lock
mov dil, al
mov rcx, [rbx+0x28]
mov rax, [rbx+0x30]
mov [rax], rcx
mov [rcx+8], rax
movzx edx, dil
lea rcx, [rip + _ebpf_object_tracking_list_lock]
call ebpf_lock_unlock
mov rcx, rbx
call qword ptr [rbx+0x18]
.Lrelease_done:
add rsp, 0xa0
pop r15
pop r14
pop r12
pop rdi
pop rsi
pop rbp
pop rbx
ret
endfunc

.section T2b,"xr"
# rcx lock; al: the IRQL before
.org 0x650, 0xcc
func ebpf_lock_lock
alloc 0x28
body
mov [rsp+0x30], rcx
mov rcx, [rsp+0x30]
import KeAcquireSpinLockRaiseToDpc
add rsp, 0x28
ret
endfunc

.org 0x680, 0xcc
func ebpf_lock_unlock
alloc 0x28
body
import KeReleaseSpinLock
add rsp, 0x28
ret
endfunc

.org 0x6a0, 0xcc
leaf DriverEntry
lea rax, [rip + _ebpf_driver_io_device_control]
mov [rcx+0xe0], rax
xor eax, eax
ret

.section T3b,"dw"
.org 0x100
global _ebpf_driver_dispatch
.quad _ebpf_driver_io_device_control
.org 0x1c0
global _ebpf_object_tracking_list_lock
.quad 0
global _ebpf_object_tracking_list
.quad 0, 0
.p2align 4
global _ebpf_id_table
.zero 0x400*8
