import type { Memory, Va } from '@dumpscope/core';

/** One decoded unwind code; `sp` offsets in bytes. */
export type ArmCode =
  | { readonly op: 'alloc'; readonly size: number }
  /** `count` registers from `first` at [sp + offset]; a negative offset is pre-indexed: [sp] and sp += -offset. */
  | { readonly op: 'save'; readonly first: number; readonly count: number; readonly offset: number }
  | { readonly op: 'save-lr-pair'; readonly first: number; readonly offset: number }
  | {
      readonly op: 'save-fp';
      readonly first: number;
      readonly count: number;
      readonly width: 8 | 16;
      readonly offset: number;
    }
  | { readonly op: 'set-fp' }
  | { readonly op: 'add-fp'; readonly offset: number }
  | { readonly op: 'nop' }
  | { readonly op: 'end' }
  | { readonly op: 'end-c' }
  | { readonly op: 'save-next' }
  | { readonly op: 'trap-frame' }
  | { readonly op: 'machine-frame' }
  | { readonly op: 'context' }
  | { readonly op: 'clear-unwound-to-call' }
  | { readonly op: 'pac-sign-lr' }
  | { readonly op: 'invalid'; readonly byte: number };

export interface ArmUnwindData {
  /** Bytes of code. */
  readonly functionLength: number;
  /** Codes by byte index (epilogs start at byte indices). */
  readonly codes: readonly { readonly index: number; readonly code: ArmCode }[];
  /** Byte offsets from the function's start, and the byte index of the first code. */
  readonly epilogs: readonly { readonly start: number; readonly index: number }[];
  /** A single epilog at the end of the function, by the byte index of its first code. */
  readonly tailEpilog: number | null;
  /** False for a fragment whose prologue lies elsewhere. */
  readonly hasProlog: boolean;
}

/** Instructions that a code stands for: the frame codes of trap handlers stand for none. */
export function instructionsOf(code: ArmCode): number {
  switch (code.op) {
    case 'trap-frame':
    case 'machine-frame':
    case 'context':
    case 'clear-unwound-to-call':
    case 'end':
    case 'end-c':
    case 'invalid':
      return 0;
    default:
      return 1;
  }
}

/** Decodes one code at `at`; returns it and its length in bytes. */
function decodeCode(bytes: Uint8Array, at: number): readonly [ArmCode, number] {
  const b = bytes[at] ?? 0xe4;
  const n = bytes[at + 1] ?? 0;
  if (b <= 0x1f) return [{ op: 'alloc', size: 16 * b }, 1];
  if (b <= 0x3f) return [{ op: 'save', first: 19, count: 2, offset: -8 * (b & 0x1f) }, 1];
  if (b <= 0x7f) return [{ op: 'save', first: 29, count: 2, offset: 8 * (b & 0x3f) }, 1];
  if (b <= 0xbf) return [{ op: 'save', first: 29, count: 2, offset: -8 * ((b & 0x3f) + 1) }, 1];
  if (b <= 0xc7) return [{ op: 'alloc', size: 16 * (((b & 7) << 8) | n) }, 2];
  const x = ((b & 3) << 2) | (n >> 6);
  if (b <= 0xcb) return [{ op: 'save', first: 19 + x, count: 2, offset: 8 * (n & 0x3f) }, 2];
  if (b <= 0xcf) return [{ op: 'save', first: 19 + x, count: 2, offset: -8 * ((n & 0x3f) + 1) }, 2];
  if (b <= 0xd3) return [{ op: 'save', first: 19 + x, count: 1, offset: 8 * (n & 0x3f) }, 2];
  if (b <= 0xd5)
    return [{ op: 'save', first: 19 + (((b & 1) << 3) | (n >> 5)), count: 1, offset: -8 * ((n & 0x1f) + 1) }, 2];
  if (b <= 0xd7)
    return [{ op: 'save-lr-pair', first: 19 + 2 * (((b & 1) << 2) | (n >> 6)), offset: 8 * (n & 0x3f) }, 2];
  const d = ((b & 1) << 2) | (n >> 6);
  if (b <= 0xd9) return [{ op: 'save-fp', first: 8 + d, count: 2, width: 8, offset: 8 * (n & 0x3f) }, 2];
  if (b <= 0xdb) return [{ op: 'save-fp', first: 8 + d, count: 2, width: 8, offset: -8 * ((n & 0x3f) + 1) }, 2];
  if (b <= 0xdd) return [{ op: 'save-fp', first: 8 + d, count: 1, width: 8, offset: 8 * (n & 0x3f) }, 2];
  if (b === 0xde) return [{ op: 'save-fp', first: 8 + (n >> 5), count: 1, width: 8, offset: -8 * ((n & 0x1f) + 1) }, 2];
  // alloc_z: scalable vectors, their length is not in the data and kernels do not use them
  if (b === 0xdf) return [{ op: 'invalid', byte: b }, 2];
  if (b === 0xe0)
    return [{ op: 'alloc', size: 16 * ((n << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) }, 4];
  if (b === 0xe1) return [{ op: 'set-fp' }, 1];
  if (b === 0xe2) return [{ op: 'add-fp', offset: 8 * n }, 2];
  if (b === 0xe3) return [{ op: 'nop' }, 1];
  if (b === 0xe4) return [{ op: 'end' }, 1];
  if (b === 0xe5) return [{ op: 'end-c' }, 1];
  if (b === 0xe6) return [{ op: 'save-next' }, 1];
  if (b === 0xe7) {
    // save_any_reg: 0pxrrrrr ffoooooo
    const m = bytes[at + 2] ?? 0;
    const pair = (n >> 6) & 1;
    const pre = (n >> 5) & 1;
    const form = m >> 6;
    if (n & 0x80 || form === 3) return [{ op: 'invalid', byte: b }, 3];
    const scale = pre || form === 2 || pair ? 16 : 8;
    const offset = ((m & 0x3f) + pre) * scale * (pre ? -1 : 1);
    const count = 1 + pair;
    if (form === 0) return [{ op: 'save', first: n & 0x1f, count, offset }, 3];
    return [{ op: 'save-fp', first: n & 0x1f, count, width: form === 2 ? 16 : 8, offset }, 3];
  }
  if (b === 0xe8) return [{ op: 'trap-frame' }, 1];
  if (b === 0xe9) return [{ op: 'machine-frame' }, 1];
  if (b === 0xea) return [{ op: 'context' }, 1];
  if (b === 0xec) return [{ op: 'clear-unwound-to-call' }, 1];
  if (b === 0xfc) return [{ op: 'pac-sign-lr' }, 1];
  // reserved ranges that are to be taken as one instruction each
  if (b >= 0xf8 && b <= 0xfb) return [{ op: 'nop' }, 2 + (b & 3)];
  if (b > 0xfc) return [{ op: 'nop' }, 1];
  return [{ op: 'invalid', byte: b }, 1];
}

function decodeCodes(bytes: Uint8Array): { index: number; code: ArmCode }[] {
  const out: { index: number; code: ArmCode }[] = [];
  for (let i = 0; i < bytes.length; ) {
    const [code, size] = decodeCode(bytes, i);
    out.push({ index: i, code });
    i += size;
  }
  return out;
}

/** Packed unwind data (flag 1 or 2 in its low bits) as the codes that it abbreviates. */
export function expandPacked(word: number): ArmUnwindData {
  const flag = word & 3;
  const functionLength = ((word >>> 2) & 0x7ff) * 4;
  const regF = (word >>> 13) & 7;
  const regI = (word >>> 16) & 15;
  const home = (word >>> 20) & 1;
  const cr = (word >>> 21) & 3;
  const frameSize = ((word >>> 23) & 0x1ff) * 16;
  // The save area holds integer registers, lr (CR 1), floating-point registers and, after them, the home area, rounded
  // to 16. A home area without saved registers lies among the locals and has no codes.
  const intBytes = regI * 8 + (cr === 1 ? 8 : 0);
  const fpBytes = regF === 0 ? 0 : (regF + 1) * 8;
  const used = intBytes + fpBytes;
  const saved = used === 0 ? 0 : (used + home * 64 + 15) & ~15;
  const locals = frameSize - saved;
  const forward: ArmCode[] = []; // in execution order
  if (cr === 2) forward.push({ op: 'pac-sign-lr' });
  let first = true;
  const at = (offset: number): number => {
    const pre = first && saved > 0;
    first = false;
    return pre ? -saved : offset;
  };
  let offset = 0;
  for (let i = 0; i + 1 < regI; i += 2) {
    forward.push({ op: 'save', first: 19 + i, count: 2, offset: at(offset) });
    offset += 16;
  }
  if (regI & 1) {
    // The odd register is paired with lr where lr is saved without a frame chain.
    if (cr === 1) {
      if (first) {
        first = false;
        // stp x19,lr,[sp,#-n]! is encoded as an allocation and a plain pair
        forward.push({ op: 'alloc', size: saved });
        forward.push({ op: 'save-lr-pair', first: 19 + regI - 1, offset: 0 });
      } else forward.push({ op: 'save-lr-pair', first: 19 + regI - 1, offset });
      offset += 16;
    } else {
      forward.push({ op: 'save', first: 19 + regI - 1, count: 1, offset: at(offset) });
      offset += 8;
    }
  } else if (cr === 1) {
    forward.push({ op: 'save', first: 30, count: 1, offset: at(offset) });
    offset += 8;
  }
  if (regF !== 0) {
    const count = regF + 1;
    let i = 0;
    for (; i + 1 < count; i += 2) {
      forward.push({ op: 'save-fp', first: 8 + i, count: 2, width: 8, offset: at(offset) });
      offset += 16;
    }
    if (count & 1) {
      forward.push({ op: 'save-fp', first: 8 + i, count: 1, width: 8, offset: at(offset) });
      offset += 8;
    }
  }
  if (home && !first) for (let i = 0; i < 4; i++) forward.push({ op: 'nop' });
  const chained = (cr === 3 || cr === 2) && locals > 0;
  if (chained && locals <= 512) forward.push({ op: 'save', first: 29, count: 2, offset: -locals });
  else {
    if (locals > 4080) {
      forward.push({ op: 'alloc', size: 4080 });
      forward.push({ op: 'alloc', size: locals - 4080 });
    } else if (locals > 0) forward.push({ op: 'alloc', size: locals });
    if (chained) forward.push({ op: 'save', first: 29, count: 2, offset: 0 });
  }
  if (chained) forward.push({ op: 'set-fp' });
  const prolog = forward.reverse();
  // The epilog undoes the same without the home stores and without touching fp.
  const epilog = prolog.filter((code) => code.op !== 'nop' && code.op !== 'set-fp');
  const codes = [...prolog, { op: 'end' } as const, ...epilog, { op: 'end' } as const].map((code, index) => ({
    index,
    code,
  }));
  return {
    functionLength,
    codes,
    epilogs: [],
    tailEpilog: flag === 1 ? prolog.length + 1 : null,
    hasProlog: flag === 1,
  };
}

/** Reads and decodes the unwind data of a function entry; a sentence where that fails. */
export function readArmUnwindData(memory: Memory, imageBase: Va, unwindData: number): ArmUnwindData | string {
  if ((unwindData & 3) === 1 || (unwindData & 3) === 2) return expandPacked(unwindData);
  if ((unwindData & 3) === 3) return 'a chained function entry';
  const address = imageBase + BigInt(unwindData >>> 0);
  const word = memory.u32(address);
  if (word === undefined) return `unwind data at ${address.toString(16)} cannot be read`;
  if (((word >>> 18) & 3) !== 0) return `unwind data version ${(word >>> 18) & 3}`;
  let at = address + 4n;
  let words = word >>> 27;
  let epilogCount = (word >>> 22) & 31;
  if (words === 0 && epilogCount === 0) {
    const extension = memory.u32(at);
    if (extension === undefined) return `unwind data at ${at.toString(16)} cannot be read`;
    at += 4n;
    epilogCount = extension & 0xffff;
    words = (extension >>> 16) & 0xff;
  }
  const single = ((word >>> 21) & 1) === 1;
  const scopes = single ? 0 : epilogCount;
  const bytes = memory.bytes(at, scopes * 4 + words * 4);
  if (bytes === undefined) return `unwind data at ${at.toString(16)} cannot be read to its end`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const epilogs: { start: number; index: number }[] = [];
  for (let i = 0; i < scopes; i++) {
    const scope = view.getUint32(i * 4, true);
    epilogs.push({ start: (scope & 0x3ffff) * 4, index: scope >>> 22 });
  }
  return {
    functionLength: (word & 0x3ffff) * 4,
    codes: decodeCodes(bytes.subarray(scopes * 4)),
    epilogs,
    tailEpilog: single ? epilogCount : null,
    hasProlog: true,
  };
}
