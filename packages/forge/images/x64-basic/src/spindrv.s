# A driver whose functions wait in loops of every shape that is not a lock's own slow path.
.include "frame.inc"
.text

# rcx processor block: until the targets of an IPI are through (TargetCount of 19041)
leaf StallOnTargets
.Lipi:
cmp dword ptr [rcx+0x2d84], 0
je .Lipi_done
pause
jmp .Lipi
.Lipi_done:
ret
.p2align 4, 0xcc
# rcx device extension: asks the others for something while it holds the lock at +40
func FlushUnderLock
pushes rbx
alloc 0x20
body
mov rbx, rcx
lea rcx, [rbx+0x40]
import KeAcquireSpinLockAtDpcLevel
mov rcx, [rbx+0x30]
call StallOnTargets
lea rcx, [rbx+0x40]
import KeReleaseSpinLockFromDpcLevel
add rsp, 0x20
pop rbx
ret
endfunc
.p2align 4, 0xcc
# rcx device extension: takes the lock at +40 with interrupts off
func AskWithInterruptsOff
pushes rbx
alloc 0x20
body
mov rbx, rcx
cli
lea rcx, [rbx+0x40]
import KeAcquireSpinLockAtDpcLevel
inc dword ptr [rbx+0x48]
lea rcx, [rbx+0x40]
import KeReleaseSpinLockFromDpcLevel
sti
add rsp, 0x20
pop rbx
ret
endfunc
.p2align 4, 0xcc

# rcx array of reader counters, a cache line each, edx how many: until every reader is out
leaf WaitForReaders
.Lreaders:
cmp dword ptr [rcx], 0
je .Lreaders_next
pause
jmp .Lreaders
.Lreaders_next:
add rcx, 0x40
dec edx
jne .Lreaders
ret
.p2align 4, 0xcc
# The same in one loop: the sum of all counters must be zero. r8 array, edx how many
leaf WaitForSum
.Lsum_again:
pause
mov rcx, r8
mov r9d, edx
xor eax, eax
.Lsum:
add eax, [rcx]
add rcx, 0x40
dec r9d
jne .Lsum
test eax, eax
jne .Lsum_again
ret
.p2align 4, 0xcc

# rcx device registers: until bit 0 of the status is set
leaf WaitDone
.Ldone:
test dword ptr [rcx+4], 1
jne .Ldone_out
pause
jmp .Ldone
.Ldone_out:
ret
.p2align 4, 0xcc

# ecx microseconds: by the time-stamp counter, 2000 cycles each
leaf Stall
imul ecx, ecx, 0x7d0
mov r8d, ecx
rdtsc
shl rdx, 0x20
or rax, rdx
add r8, rax
global StallLoop
pause
rdtsc
shl rdx, 0x20
or rax, rdx
cmp rax, r8
jb StallLoop
ret
.p2align 4, 0xcc
# rcx device extension: 50 microseconds at a time until the flag at +10 is set
func WaitWithStall
pushes rbx
alloc 0x20
body
mov rbx, rcx
global WaitWithStallLoop
mov ecx, 0x32
call Stall
global WaitWithStallBack
test dword ptr [rbx+0x10], 1
je WaitWithStallLoop
add rsp, 0x20
pop rbx
ret
endfunc
.p2align 4, 0xcc

# A list whose elements are compared three calls further down: the loop is four frames up. rcx list head, edx key
func FindEntry
pushes rbx, rsi, rdi
alloc 0x20
body
mov rdi, rcx
mov esi, edx
mov rbx, [rcx]
global FindEntryLoop
cmp rbx, rdi
je .Lfind_out
mov rcx, rbx
mov edx, esi
call IsWanted
global FindEntryBack
test eax, eax
jne .Lfind_out
mov rbx, [rbx]
jmp FindEntryLoop
.Lfind_out:
mov rax, rbx
add rsp, 0x20
pop rdi
pop rsi
pop rbx
ret
endfunc
.p2align 4, 0xcc
func IsWanted
alloc 0x28
body
call SameKey
global IsWantedBack
add rsp, 0x28
ret
endfunc
.p2align 4, 0xcc
func SameKey
alloc 0x28
body
call CompareKey
global SameKeyBack
add rsp, 0x28
ret
endfunc
.p2align 4, 0xcc
leaf CompareKey
xor eax, eax
cmp [rcx+0x10], edx
global CompareKeyEnd
sete al
ret
.p2align 4, 0xcc

# Two ways into one cycle. rcx flag, edx which way
leaf TwoEntries
test edx, edx
jne .Lpause
.Llook:
cmp qword ptr [rcx], 0
jne .Lout
nop
.Lpause:
pause
jmp .Llook
.Lout:
ret
.p2align 4, 0xcc

# A loop of which half lies in a cold chunk, as optimised kernels keep it. rcx flag
.globl HotWait
HotWait:
sub rsp, 0x28
HotWait_body:
global HotWaitLoop
cmp qword ptr [rcx], 0
je ColdWait
add rsp, 0x28
ret
HotWait_end:
.p2align 4, 0xcc
.org HotWait+0x800, 0xcc
.globl ColdWait
ColdWait:
inc dword ptr [rcx+0x20]
pause
jmp HotWaitLoop
ColdWait_end:
.p2align 4, 0xcc

# An interrupt service routine's helper: rcx KINTERRUPT, its lock through ActualLock. SynchronizeIrql is the caller's matter.
func SynchronizeWithInterrupt
pushes rbx
alloc 0x20
body
mov rbx, rcx
mov rcx, [rbx+0x48]
import KeAcquireSpinLockAtDpcLevel
inc dword ptr [rip + Work]
mov rcx, [rbx+0x48]
import KeReleaseSpinLockFromDpcLevel
add rsp, 0x20
pop rbx
ret
endfunc
.p2align 4, 0xcc

# rcx EX_SPIN_LOCK, taken to read for the length of a callback (rdx)
func ReadUnderLock
pushes rbx, rdi
alloc 0x28
body
mov rbx, rcx
import ExAcquireSpinLockSharedAtDpcLevel
mov edi, 0x1000
global ReadUnderLockLoop
dec edi
jne ReadUnderLockLoop
mov rcx, rbx
import ExReleaseSpinLockSharedFromDpcLevel
add rsp, 0x28
pop rdi
pop rbx
ret
endfunc
.p2align 4, 0xcc
# rcx EX_SPIN_LOCK
func WriteUnderLock
pushes rbx
alloc 0x20
body
mov rbx, rcx
import ExAcquireSpinLockExclusiveAtDpcLevel
global WriteUnderLockHeld
inc dword ptr [rbx+8]
mov rcx, rbx
import ExReleaseSpinLockExclusiveFromDpcLevel
add rsp, 0x20
pop rbx
ret
endfunc
.p2align 4, 0xcc

# rcx lock at any place
func AskFor
pushes rbx
alloc 0x20
body
mov rbx, rcx
import KeAcquireSpinLockAtDpcLevel
inc dword ptr [rbx+8]
mov rcx, rbx
import KeReleaseSpinLockFromDpcLevel
add rsp, 0x20
pop rbx
ret
endfunc
.p2align 4, 0xcc

# rcx argument of the function at rdx
func WorkerThread
alloc 0x28
body
call rdx
global WorkerThreadBack
add rsp, 0x28
ret
endfunc
.p2align 4, 0xcc
leaf DriverEntry
lea rax, [rip + table]
xor eax, eax
ret
.data
Work: .long 0
.p2align 3
.globl GlobalLock
GlobalLock: .quad 0
table: .quad FlushUnderLock, AskWithInterruptsOff, WaitForReaders, WaitForSum, WaitDone, WaitWithStall
.quad FindEntry, TwoEntries, HotWait, SynchronizeWithInterrupt, ReadUnderLock, WriteUnderLock, AskFor, WorkerThread

# Unwind data of the function in two parts: the cold one is chained to the hot one.
.section .xdata,"dr"
.p2align 2
HotWait_info:
.byte 1, 4, 1, 0
.byte 4, 0x42
.byte 0, 0
ColdWait_info:
.byte 0x21, 0, 0, 0
.rva HotWait, HotWait_end, HotWait_info
.section .pdata,"dr"
.p2align 2
.rva HotWait, HotWait_end, HotWait_info
.rva ColdWait, ColdWait_end, ColdWait_info
