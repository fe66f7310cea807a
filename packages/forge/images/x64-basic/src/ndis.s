# Frames between an interrupt's DPC, the transport and the miniport.
.include "frame.inc"
.text
relay NdisSendNetBufferLists, 0x68, 0x2a1, ndisMSendNBLToMiniport
.p2align 4, 0xcc
relayi ndisMSendNBLToMiniport, 0x48, 0x118, NdisHandlers
.p2align 4, 0xcc
relayi ndisMSendCompleteNetBufferListsInternal, 0x88, 0x135, NdisHandlers
.p2align 4, 0xcc
relay ndisInterruptDpc, 0xf8, 0x2b6, ndisMSendCompleteNetBufferListsInternal
.p2align 4, 0xcc
leaf DriverEntry
xor eax, eax
ret
.data
global NdisHandlers
.quad DriverEntry
