# A network driver that moves buffers between two transmit queues with both locks held, in the order of the call
# (shape of virtio-win#52; return addresses as published). The lock of a queue is at +70.
# VARIANT 1: the first queue is given up before the second is asked for.
.include "frame.inc"
.section T0b,"xr"
.org 0x3f0, 0xcc
# rcx queue
func ParaNdis_DoWithTXLock
push rbx
.seh_pushreg rbx
alloc 0x20
body
mov rbx, rcx
lea rcx, [rbx+0x70]
jmp 1f
at ParaNdis_DoWithTXLock, 0x37
1:
import KeAcquireSpinLockRaiseToDpc
mov [rbx+0x78], al
inc dword ptr [rbx+0x80]
movzx edx, byte ptr [rbx+0x78]
lea rcx, [rbx+0x70]
import KeReleaseSpinLock
add rsp, 0x20
pop rbx
ret
endfunc

.org 0xb20, 0xcc
# rcx queue to take from, rdx queue to add to
func ParaNdis_MoveBuffers
pushes rbx, rdi
alloc 0x28
body
mov rbx, rcx
mov rdi, rdx
lea rcx, [rbx+0x70]
import KeAcquireSpinLockRaiseToDpc
mov [rbx+0x78], al
dec dword ptr [rbx+0x80]
.if VARIANT==1
movzx edx, byte ptr [rbx+0x78]
lea rcx, [rbx+0x70]
import KeReleaseSpinLock
.endif
mov rcx, rdi
jmp 1f
at ParaNdis_MoveBuffers, 0x53
1:
call ParaNdis_DoWithTXLock
.if VARIANT==0
movzx edx, byte ptr [rbx+0x78]
lea rcx, [rbx+0x70]
import KeReleaseSpinLock
.endif
add rsp, 0x28
pop rdi
pop rbx
ret
endfunc

.org 0xc00, 0xcc
# rcx adapter: queues at +100 and +108
func ParaNdis6_SendNetBufferLists
pushes rbx
alloc 0x30
body
mov rbx, rcx
mov rcx, [rbx+0x100]
mov rdx, [rbx+0x108]
call ParaNdis_MoveBuffers
add rsp, 0x30
pop rbx
ret
endfunc

.org 0xc40, 0xcc
# rcx KDPC, rdx adapter
func ParaNdis_DPCWorkBody
pushes rbx
alloc 0x30
body
mov rbx, rdx
mov rcx, [rbx+0x108]
mov rdx, [rbx+0x100]
call ParaNdis_MoveBuffers
mov rax, [rip + ParaNdis_CompleteHandler]
mov rcx, rbx
call rax
add rsp, 0x30
pop rbx
ret
endfunc

.org 0xc90, 0xcc
# rcx KDPC, rdx adapter: asks for one queue only
func ParaNdis_ResetStatistics
pushes rbx, rdi
alloc 0x28
body
mov rbx, rdx
mov rcx, [rbx+0x100]
call ParaNdis_DoWithTXLock
mov dword ptr [rbx+0x110], 0
add rsp, 0x28
pop rdi
pop rbx
ret
endfunc
.org 0xd00, 0xcc
leaf ParaNdis_Complete
ret
leaf DriverEntry
xor eax, eax
ret
.data
global ParaNdis_CompleteHandler
.quad ParaNdis_Complete
