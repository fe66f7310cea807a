# Pageable code of a file system: the walk of a prefix hash table that touches a paged-out entry.
.include "frame.inc"
.section T0b,"xr"
.org 0x5d0, 0xcc
func NtfsFindPrefixHashEntry
pushes rbx, rsi, rdi
alloc 0x40
body
mov rsi, rcx
mov rbx, rdx
mov edi, r8d
and edi, 0x1ff
mov rcx, [rsi+rdi*8+0x20]
test rcx, rcx
je .Lprefix_none
jmp .Lprefix_look
at NtfsFindPrefixHashEntry, 0x1de
.Lprefix_look:
mov eax, [rcx+0x10]
cmp eax, r8d
je .Lprefix_found
mov rcx, [rcx]
test rcx, rcx
jne .Lprefix_look
.Lprefix_none:
xor ecx, ecx
.Lprefix_found:
mov rax, rcx
add rsp, 0x40
pop rdi
pop rsi
pop rbx
ret
endfunc
.section T1b,"xr"
.org 0x100, 0xcc
relay NtfsFindStartingNode, 0x118, 0x886, NtfsFindPrefixHashEntry
.section T2b,"xr"
.org 0x100, 0xcc
relay NtfsCommonCreate, 0x2c8, 0x11dd, NtfsFindStartingNode
.org 0x1400, 0xcc
relay NtfsFsdCreate, 0x108, 0x1db, NtfsCommonCreate
.org 0x1700, 0xcc
leaf DriverEntry
lea rax, [rip + NtfsDispatch]
xor eax, eax
ret
.data
global NtfsDispatch
.quad NtfsFsdCreate
