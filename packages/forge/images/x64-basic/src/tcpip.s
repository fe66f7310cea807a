.include "frame.inc"
.text
relayi FlSendPackets, 0x368, 0x51d, TcpipHandlers
.p2align 4, 0xcc
relay IppSendDatagrams, 0x208, 0x3b7, FlSendPackets
.p2align 4, 0xcc
relay TcpTcbSend, 0x638, 0x7c1, IppSendDatagrams
.p2align 4, 0xcc
relay TcpTlConnectionSend, 0xf8, 0x71, TcpTcbSend
.p2align 4, 0xcc
relayi TcpTcbSendDatagramsComplete, 0x58, 0x194, TcpipHandlers
.p2align 4, 0xcc
leaf TcpPeriodicTimeoutHandler
xor eax, eax
ret
.p2align 4, 0xcc
leaf DriverEntry
xor eax, eax
ret
.data
global TcpipHandlers
.quad DriverEntry
