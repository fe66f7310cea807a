/** Records that exceptions leave on a kernel stack, found by their shape: trap frames and exception records of a known pc. */
import type { Registers, StackRange, Target } from '@dumpscope/debugger';

/** Windows' largest kernel stack is 72 KB; what is larger is a corrupt bound. */
const MAX_STACK = 0x40000n;
const PAGE = 0x1000;

export interface StackRecords {
  /** KTRAP_FRAMEs whose pc is the wanted one, lowest first. */
  readonly trapFrames: readonly bigint[];
  /** EXCEPTION_RECORDs whose ExceptionAddress is the wanted one, lowest first. */
  readonly records: readonly bigint[];
}

/** The dead part below the stack pointer is searched as well: the dispatch of an exception returns before the bug check. */
export function searchStack(target: Target, stack: StackRange, pc: bigint): StackRecords {
  const trapFrames: bigint[] = [];
  const records: bigint[] = [];
  const wide = target.pointerSize === 8;
  const low = Number(pc & 0xffff_ffffn);
  const high = Number(pc >> 32n);
  const step = wide ? 8 : 4;
  const from = stack.base - stack.limit > MAX_STACK ? stack.base - MAX_STACK : stack.limit;
  const size = stack.base > from ? Number(stack.base - from) : 0;
  const buffer = new Uint8Array(size);
  const view = new DataView(buffer.buffer);
  for (let at = 0; at < size; ) {
    const got = target.memory.readInto((from + BigInt(at)) as never, buffer.subarray(at));
    for (let i = (at + step - 1) & ~(step - 1); i + step <= at + got; i += step) {
      if (view.getUint32(i, true) !== low || (wide && view.getUint32(i + 4, true) !== high)) continue;
      const slot = from + BigInt(i);
      // Small pcs (a call through null) stand everywhere: the selector and the exception code are looked at first.
      const cs = i + step + 2 <= at + got ? view.getUint16(i + step, true) : -1;
      if (target.arch === 'arm64' || cs === (wide ? 0x10 : 8)) {
        const trap = trapAt(target, stack, slot, pc);
        if (trap !== null) trapFrames.push(trap);
      }
      const codeAt = i - (wide ? 0x10 : 0xc);
      if (codeAt >= at && view.getUint32(codeAt, true) >= 0x80000000) {
        const record = recordAt(target, slot);
        if (record !== null) records.push(record);
      }
    }
    at = got < size - at ? Math.floor((at + got) / PAGE + 1) * PAGE : size;
  }
  return { trapFrames, records };
}

/** x64: RIP at +168, then CS 10, EFLAGS, an RSP in the stack, SS 18 or 0; x86: EIP at +68, CS 8. */
function trapAt(target: Target, stack: StackRange, slot: bigint, pc: bigint): bigint | null {
  const { memory } = target;
  if (target.arch === 'x64') {
    const cs = memory.u16(slot + 8n);
    const flags = memory.u32(slot + 0x10n);
    const rsp = memory.u64(slot + 0x18n);
    const ss = memory.u16(slot + 0x20n);
    if (cs !== 0x10 || (ss !== 0x18 && ss !== 0) || flags === undefined || (flags & 2) === 0) return null;
    return rsp !== undefined && rsp > slot && rsp <= stack.base && (rsp & 7n) === 0n ? slot - 0x168n : null;
  }
  if (target.arch === 'x86') {
    const cs = memory.u32(slot + 4n);
    const flags = memory.u32(slot + 8n);
    return cs !== undefined && (cs & 0xffff) === 8 && flags !== undefined && (flags & 2) !== 0 && flags < 0x400000
      ? slot - 0x68n
      : null;
  }
  const registers = target.trapFrame(slot - 0x148n);
  return registers !== null && registers.pc === pc && registers.sp > slot && registers.sp <= stack.base
    ? slot - 0x148n
    : null;
}

/** ExceptionAddress lies behind code, flags and the pointer to a nested record. */
function recordAt(target: Target, slot: bigint): bigint | null {
  const at = slot - (target.pointerSize === 8 ? 0x10n : 0xcn);
  const record = readException(target, at);
  return record === null || !isStatus(target, record.code) ? null : at;
}

/** The highest facility of ntstatus.h is below this. */
const FACILITIES = 0x100;

/**
 * An NTSTATUS that somebody raises: its reserved bit is clear, and its facility is one of the system's or the code is the
 * customer's own (E06D7363 of C++). On x86 the address of code or of a stack is of the same size and often has neither.
 */
function isStatus(target: Target, code: number): boolean {
  if ((code & 0x10000000) !== 0) return false;
  if ((code & 0x20000000) === 0 && ((code >>> 16) & 0xfff) >= FACILITIES) return false;
  return (
    target.pointerSize === 8 || (target.moduleAt(BigInt(code)) === undefined && target.stackAt(BigInt(code)) === null)
  );
}

export interface ExceptionRecordView {
  readonly address: bigint;
  readonly code: number;
  readonly flags: number;
  readonly pc: bigint;
  readonly information: readonly bigint[];
  /** Bytes from the code to the last parameter. */
  readonly length: number;
}

/** An EXCEPTION_RECORD; null where memory is missing or its numbers are not those of one. */
export function readException(target: Target, address: bigint): ExceptionRecordView | null {
  const { memory } = target;
  const wide = target.pointerSize === 8;
  const code = memory.u32(address);
  const flags = memory.u32(address + 4n);
  const pc = memory.pointer(address + (wide ? 0x10n : 0xcn));
  const count = memory.u32(address + (wide ? 0x18n : 0x10n));
  if (code === undefined || flags === undefined || pc === undefined || count === undefined) return null;
  // Errors and warnings have their severity bits set; a record holds 15 parameters at most.
  if (code < 0x80000000 || flags > 0xff || count > 15) return null;
  const first = wide ? 0x20n : 0x14n;
  const information: bigint[] = [];
  for (let i = 0n; i < BigInt(count); i++) {
    const value = memory.pointer(address + first + i * BigInt(target.pointerSize));
    if (value === undefined) return null;
    information.push(value);
  }
  return { address, code, flags, pc, information, length: Number(first) + count * target.pointerSize };
}

/** The stack that a register set runs on; where its bounds are not known, the pages around its stack pointer. */
export function stackOf(target: Target, registers: Registers): StackRange {
  const known = target.stackAt(registers.sp);
  if (known !== null) return known;
  const page = registers.sp & ~0xfffn;
  return {
    kind: 'unknown',
    base: (page + 0x4000n) as never,
    limit: (page - 0x3000n) as never,
    processor: null,
    thread: null,
    source: 'the pages around the stack pointer',
  };
}
