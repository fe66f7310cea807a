import type { Memory, Va } from '@dumpscope/core';

/** Unwind operations by number; names as in the x64 exception-handling reference. */
export const uwop = {
  pushNonvol: 0,
  allocLarge: 1,
  allocSmall: 2,
  setFpreg: 3,
  saveNonvol: 4,
  saveNonvolFar: 5,
  epilog: 6,
  spare: 7,
  saveXmm128: 8,
  saveXmm128Far: 9,
  pushMachframe: 10,
} as const;

/** Register numbers of unwind codes. */
export const x64RegisterNames: readonly string[] = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];

export interface UnwindCode {
  /** Offset of the end of the prologue instruction; for epilog codes the raw low byte. */
  readonly offset: number;
  readonly op: number;
  readonly info: number;
  /** Bytes allocated, offset of the save slot; 0 where the operation has none. */
  readonly operand: number;
  /** Index of its first slot. */
  readonly slot: number;
}

export interface UnwindInfo {
  readonly version: number;
  /** 1 exception handler, 2 termination handler, 4 chained. */
  readonly flags: number;
  readonly prologSize: number;
  readonly frameRegister: number;
  /** In bytes (the stored value times 16). */
  readonly frameOffset: number;
  readonly codes: readonly UnwindCode[];
  /** CountOfCodes: two-byte slots, those of epilogs included. */
  readonly slots: number;
  /** Version 2: distances of epilogs from the function's end, and their common size. */
  readonly epilogs: readonly { readonly fromEnd: number; readonly size: number }[];
  readonly chained: { readonly begin: number; readonly end: number; readonly unwindData: number } | null;
}

/** Slots (of two bytes) that a code takes; 0 for one that does not exist. */
function slotsOf(op: number, info: number, version: number): number {
  switch (op) {
    case uwop.pushNonvol:
    case uwop.allocSmall:
    case uwop.setFpreg:
    case uwop.pushMachframe:
      return 1;
    case uwop.allocLarge:
      return info === 0 ? 2 : 3;
    case uwop.saveNonvol:
    case uwop.saveXmm128:
      return 2;
    case uwop.saveNonvolFar:
    case uwop.saveXmm128Far:
      return 3;
    // Version 1 used 6 and 7 for 64-bit XMM saves (two and three slots); version 2 made 6 the epilog code, one slot each.
    case uwop.epilog:
      return version >= 2 ? 1 : 2;
    case uwop.spare:
      return 3;
    default:
      return 0;
  }
}

/**
 * Decodes the UNWIND_INFO in `bytes`. Returns a sentence where the data is not unwind information: an unknown version
 * or operation, or codes past the end.
 */
export function decodeUnwindInfo(bytes: Uint8Array): UnwindInfo | string {
  if (bytes.length < 4) return 'fewer than 4 bytes of unwind information';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint8(0) & 7;
  const flags = view.getUint8(0) >> 3;
  if (version < 1 || version > 2) return `unwind information version ${version}`;
  const count = view.getUint8(2);
  const codes: UnwindCode[] = [];
  const epilogs: { fromEnd: number; size: number }[] = [];
  let epilogSize = -1;
  for (let i = 0; i < count; ) {
    const at = 4 + i * 2;
    if (at + 2 > bytes.length) return 'unwind codes run past the readable bytes';
    const offset = view.getUint8(at);
    const op = view.getUint8(at + 1) & 15;
    const info = view.getUint8(at + 1) >> 4;
    const slots = slotsOf(op, info, version);
    if (slots === 0) return `unwind operation ${op}`;
    if (i + slots > count || at + slots * 2 > bytes.length) return 'an unwind code runs past the last slot';
    let operand = 0;
    if (op === uwop.allocSmall) operand = info * 8 + 8;
    else if (op === uwop.allocLarge)
      operand = slots === 2 ? view.getUint16(at + 2, true) * 8 : view.getUint32(at + 2, true);
    else if (op === uwop.saveNonvol) operand = view.getUint16(at + 2, true) * 8;
    else if (op === uwop.saveXmm128) operand = view.getUint16(at + 2, true) * 16;
    else if (op === uwop.saveNonvolFar || op === uwop.saveXmm128Far) operand = view.getUint32(at + 2, true);
    if (op === uwop.epilog && version >= 2) {
      // The first code gives the size of every epilog, and in info bit 0 whether one ends the function; each further
      // one gives 12 bits of distance from the function's end, 0 being padding.
      if (epilogSize < 0) {
        epilogSize = offset;
        if (info & 1) epilogs.push({ fromEnd: offset, size: offset });
      } else {
        const fromEnd = offset | (info << 8);
        if (fromEnd !== 0) epilogs.push({ fromEnd, size: epilogSize });
      }
    } else {
      codes.push({ offset, op, info, operand, slot: i });
    }
    i += slots;
  }
  let chained: UnwindInfo['chained'] = null;
  if (flags & 4) {
    const at = 4 + ((count + 1) & ~1) * 2;
    if (at + 12 > bytes.length) return 'the chained function entry runs past the readable bytes';
    chained = {
      begin: view.getUint32(at, true),
      end: view.getUint32(at + 4, true),
      unwindData: view.getUint32(at + 8, true),
    };
  }
  return {
    version,
    flags,
    prologSize: view.getUint8(1),
    frameRegister: view.getUint8(3) & 15,
    frameOffset: (view.getUint8(3) >> 4) * 16,
    codes,
    slots: count,
    epilogs,
    chained,
  };
}

/** Reads UNWIND_INFO at `imageBase + rva`; a sentence where it cannot be read or decoded. */
export function readUnwindInfo(memory: Memory, imageBase: Va, rva: number): UnwindInfo | string {
  const address = imageBase + BigInt(rva);
  const head = memory.bytes(address, 4);
  if (head === undefined) return `unwind information at ${address.toString(16)} cannot be read`;
  const count = head[2] ?? 0;
  const chained = ((head[0] ?? 0) >> 3) & 4;
  const bytes = memory.bytes(address, 4 + ((count + 1) & ~1) * 2 + (chained ? 12 : 0));
  if (bytes === undefined) return `unwind information at ${address.toString(16)} cannot be read to its end`;
  return decodeUnwindInfo(bytes);
}
