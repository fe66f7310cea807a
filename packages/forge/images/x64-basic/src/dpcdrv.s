# A driver whose DPCs and threads share a spin lock (device extension +40).
.include "frame.inc"
.text
# rcx KDPC, rdx device extension: takes the lock, and so does what it calls
func RingDpc
pushes rbx, rdi
alloc 0x28
body
mov rbx, rdx
lea rcx, [rbx+0x40]
import KeAcquireSpinLockAtDpcLevel
mov rcx, rbx
call RingConsume
lea rcx, [rbx+0x40]
import KeReleaseSpinLockFromDpcLevel
add rsp, 0x28
pop rdi
pop rbx
ret
endfunc
.p2align 4, 0xcc
# rcx device extension
func RingConsume
pushes rbx
alloc 0x20
body
mov rbx, rcx
lea rcx, [rbx+0x40]
import KeAcquireSpinLockAtDpcLevel
inc dword ptr [rbx+0x48]
lea rcx, [rbx+0x40]
import KeReleaseSpinLockFromDpcLevel
add rsp, 0x20
pop rbx
ret
endfunc
.p2align 4, 0xcc
# rcx KDPC, rdx device extension: takes the lock once
func TimerDpc
pushes rbx
alloc 0x20
body
mov rbx, rdx
lea rcx, [rbx+0x40]
import KeAcquireSpinLockAtDpcLevel
inc dword ptr [rbx+0x4c]
lea rcx, [rbx+0x40]
import KeReleaseSpinLockFromDpcLevel
add rsp, 0x20
pop rbx
ret
endfunc
.p2align 4, 0xcc
# rcx device extension. Takes the lock without raising the IRQL: a DPC can interrupt what follows.
func UpdateStatistics
pushes rbx, rsi
alloc 0x28
body
mov rbx, rcx
lea rcx, [rbx+0x40]
import KeAcquireSpinLockAtDpcLevel
mov esi, 0x40
xor eax, eax
global UpdateStatisticsLoop
add eax, [rbx+rsi*4+0x60]
dec esi
jne UpdateStatisticsLoop
mov [rbx+0x50], eax
lea rcx, [rbx+0x40]
import KeReleaseSpinLockFromDpcLevel
mov esi, 0x40
xor eax, eax
global UpdateStatisticsUnlocked
add eax, [rbx+rsi*4+0x60]
dec esi
jne UpdateStatisticsUnlocked
mov [rbx+0x54], eax
add rsp, 0x28
pop rsi
pop rbx
ret
endfunc
.p2align 4, 0xcc
# rcx device extension
func StatisticsThread
pushes rbx
alloc 0x20
body
mov rbx, rcx
1:
mov rcx, rbx
call UpdateStatistics
jmp 1b
endfunc
.p2align 4, 0xcc
# rcx device extension: as it should be, the IRQL raised with the lock
func SampleCounters
pushes rbx, rsi, rdi
alloc 0x20
body
mov rbx, rcx
lea rcx, [rbx+0x40]
import KeAcquireSpinLockRaiseToDpc
mov dil, al
mov esi, 0x40
xor eax, eax
global SampleCountersLoop
add eax, [rbx+rsi*4+0x60]
dec esi
jne SampleCountersLoop
mov [rbx+0x50], eax
movzx edx, dil
lea rcx, [rbx+0x40]
import KeReleaseSpinLock
add rsp, 0x20
pop rdi
pop rsi
pop rbx
ret
endfunc
.p2align 4, 0xcc
func SampleThread
pushes rbx
alloc 0x20
body
mov rbx, rcx
1:
mov rcx, rbx
call SampleCounters
jmp 1b
endfunc
.p2align 4, 0xcc
# ecx words, rdx buffer: a long but finite loop
func Checksum
pushes rbx
alloc 0x20
body
mov rbx, rdx
xor eax, eax
global ChecksumLoop
add eax, [rbx]
rol eax, 1
add rbx, 4
dec ecx
jne ChecksumLoop
add rsp, 0x20
pop rbx
ret
endfunc
.p2align 4, 0xcc
func ChecksumThread
pushes rbx, rdi
alloc 0x28
body
mov rbx, rcx
1:
mov ecx, 0x400
lea rdx, [rbx+0x1000]
call Checksum
mov [rbx+0x58], eax
jmp 1b
endfunc
.p2align 4, 0xcc
# rcx device extension: a reader/writer spin lock at +80, taken to read and then to write without giving it back
func RefreshTable
pushes rbx, rdi
alloc 0x28
body
mov rbx, rcx
lea rcx, [rbx+0x80]
import ExAcquireSpinLockShared
mov dil, al
cmp dword ptr [rbx+0x88], 0
jne 1f
lea rcx, [rbx+0x80]
import ExAcquireSpinLockExclusiveAtDpcLevel
inc dword ptr [rbx+0x88]
lea rcx, [rbx+0x80]
import ExReleaseSpinLockExclusiveFromDpcLevel
1:
movzx edx, dil
lea rcx, [rbx+0x80]
import ExReleaseSpinLockShared
add rsp, 0x28
pop rdi
pop rbx
ret
endfunc
.p2align 4, 0xcc
func RefreshThread
pushes rbx
alloc 0x20
body
mov rbx, rcx
1:
mov rcx, rbx
call RefreshTable
jmp 1b
endfunc
.p2align 4, 0xcc
leaf DriverEntry
lea rax, [rip + table]
xor eax, eax
ret
.data
table: .quad RingDpc, TimerDpc
