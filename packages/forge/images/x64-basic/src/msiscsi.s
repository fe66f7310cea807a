# The iSCSI initiator's way from a completed send to the next one, by the published stack.
.include "frame.inc"
.section T0b,"xr"
relayi iSpSendData, 0x98, 0x143, MsIscsiHandlers
.org 0x600, 0xcc
relay iSpProcessScsiCommand, 0x68, 0x2e6, iSpSendData
.org 0x900, 0xcc
relay iSpScsiCommandPostProcess, 0x58, 0x1b5, iSpProcessScsiCommand
.org 0xb00, 0xcc
relay iSpProcessScsiResponse, 0x78, 0x22c, iSpScsiCommandPostProcess
.org 0xd80, 0xcc
relay iSpProcessResponse, 0x48, 0x9a, iSpProcessScsiResponse
.org 0xe40, 0xcc
relay iSpSendCompletion, 0x88, 0x1ac, iSpProcessResponse
.org 0x1000, 0xcc
leaf DriverEntry
xor eax, eax
ret
.data
global MsIscsiHandlers
.quad DriverEntry
