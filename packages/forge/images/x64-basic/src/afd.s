.include "frame.inc"
.text
relayi WskProTLSendOrDisconnectComplete, 0x38, 0x72, AfdHandlers
.p2align 4, 0xcc
relayi WskProAPISend, 0x88, 0x9d, AfdHandlers
.p2align 4, 0xcc
leaf DriverEntry
xor eax, eax
ret
.data
global AfdHandlers
.quad DriverEntry
