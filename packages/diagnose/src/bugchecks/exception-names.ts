/** Exception and trap codes, names from ntstatus.h and the processor manuals. */

const exceptions: ReadonlyMap<number, string> = new Map([
  [0x80000001, 'STATUS_GUARD_PAGE_VIOLATION'],
  [0x80000002, 'STATUS_DATATYPE_MISALIGNMENT'],
  [0x80000003, 'STATUS_BREAKPOINT'],
  [0x80000004, 'STATUS_SINGLE_STEP'],
  [0xc0000005, 'STATUS_ACCESS_VIOLATION'],
  [0xc0000006, 'STATUS_IN_PAGE_ERROR'],
  [0xc000001d, 'STATUS_ILLEGAL_INSTRUCTION'],
  [0xc0000025, 'STATUS_NONCONTINUABLE_EXCEPTION'],
  [0xc0000026, 'STATUS_INVALID_DISPOSITION'],
  [0xc000008c, 'STATUS_ARRAY_BOUNDS_EXCEEDED'],
  [0xc000008e, 'STATUS_FLOAT_DIVIDE_BY_ZERO'],
  [0xc0000090, 'STATUS_FLOAT_INVALID_OPERATION'],
  [0xc0000094, 'STATUS_INTEGER_DIVIDE_BY_ZERO'],
  [0xc0000095, 'STATUS_INTEGER_OVERFLOW'],
  [0xc0000096, 'STATUS_PRIVILEGED_INSTRUCTION'],
  [0xc00000fd, 'STATUS_STACK_OVERFLOW'],
  [0xc0000374, 'STATUS_HEAP_CORRUPTION'],
  [0xc0000409, 'STATUS_STACK_BUFFER_OVERRUN'],
  [0xc0000420, 'STATUS_ASSERTION_FAILURE'],
]);

/** `c0000005 (STATUS_ACCESS_VIOLATION)`, or the number alone. */
export function exceptionText(code: number): string {
  const name = exceptions.get(code);
  return name === undefined ? code.toString(16) : `${code.toString(16)} (${name})`;
}

export const ACCESS_VIOLATION = 0xc0000005;
export const IN_PAGE_ERROR = 0xc0000006;
export const GUARD_PAGE = 0x80000001;

interface Trap {
  readonly vector: number;
  readonly name: string;
}

const traps: readonly (Trap & { readonly handler: RegExp })[] = [
  { vector: 0x0, name: 'divide error', handler: /^Ki(DivideErrorFault|Trap00)/ },
  { vector: 0x1, name: 'debug trap', handler: /^Ki(DebugTrapOrFault|Trap01)/ },
  { vector: 0x2, name: 'non-maskable interrupt', handler: /^Ki(Nmi|Trap02)/ },
  { vector: 0x3, name: 'breakpoint', handler: /^Ki(BreakpointTrap|Trap03)/ },
  { vector: 0x4, name: 'overflow', handler: /^Ki(OverflowTrap|Trap04)/ },
  { vector: 0x5, name: 'bound range exceeded', handler: /^Ki(BoundFault|Trap05)/ },
  { vector: 0x6, name: 'invalid opcode', handler: /^Ki(InvalidOpcodeFault|Trap06)/ },
  { vector: 0x7, name: 'coprocessor not available', handler: /^Ki(NpxNotAvailableFault|Trap07)/ },
  { vector: 0x8, name: 'double fault', handler: /^Ki(DoubleFaultAbort|Trap08)/ },
  { vector: 0xa, name: 'invalid TSS', handler: /^Ki(InvalidTssFault|Trap0A)/ },
  { vector: 0xb, name: 'segment not present', handler: /^Ki(SegmentNotPresentFault|Trap0B)/ },
  { vector: 0xc, name: 'stack-segment fault', handler: /^Ki(StackFault|Trap0C)/ },
  { vector: 0xd, name: 'general protection fault', handler: /^Ki(GeneralProtectionFault|Trap0D)/ },
  { vector: 0xe, name: 'page fault', handler: /^Ki(PageFault|Trap0E)/ },
  { vector: 0x10, name: 'floating-point error', handler: /^Ki(FloatingErrorFault|Trap10)/ },
  { vector: 0x11, name: 'alignment check', handler: /^Ki(AlignmentFault|Trap11)/ },
  { vector: 0x12, name: 'machine check', handler: /^Ki(McheckAbort|Trap12)/ },
  { vector: 0x13, name: 'SIMD floating-point error', handler: /^Ki(XmmException|Trap13)/ },
];

/** What a processor exception vector is; null for a vector that is none. */
export function trapName(vector: number): string | null {
  return traps.find((trap) => trap.vector === vector)?.name ?? null;
}

/** The vector that a handler serves, by the handler's name; null for other functions. */
export function trapOfHandler(symbol: string): Trap | null {
  return traps.find((trap) => trap.handler.test(symbol)) ?? null;
}
