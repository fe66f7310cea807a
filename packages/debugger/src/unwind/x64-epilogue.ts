/**
 * Recognition of an x64 epilogue at a pc: only `add rsp,n` or `lea rsp,[reg+n]`, then pops, then a return or a jump out
 * of the function are allowed there. A frame is undone by acting them out instead of by unwind codes.
 */

/** What the rest of an epilogue does, in order. */
export type EpilogueAction =
  | { readonly kind: 'add'; readonly amount: number }
  | { readonly kind: 'lea'; readonly register: number; readonly displacement: number }
  | { readonly kind: 'pop'; readonly register: number };

/**
 * Actions up to the return, or null where the code at `bytes[0]` is no epilogue. `leaves` says whether a relative jump
 * target (offset from the first byte) lies outside the function, which makes the jump a tail call.
 */
export function parseEpilogue(
  bytes: Uint8Array,
  frameRegister: number,
  leaves: (offset: number) => boolean,
): readonly EpilogueAction[] | null {
  const actions: EpilogueAction[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = (i: number): number => bytes[i] ?? -1;
  let i = 0;
  // add rsp, imm8 / imm32
  if (at(0) === 0x48 && at(1) === 0x83 && at(2) === 0xc4 && bytes.length >= 4) {
    actions.push({ kind: 'add', amount: view.getInt8(3) });
    i = 4;
  } else if (at(0) === 0x48 && at(1) === 0x81 && at(2) === 0xc4 && bytes.length >= 7) {
    actions.push({ kind: 'add', amount: view.getInt32(3, true) });
    i = 7;
  } else if ((at(0) & 0xfe) === 0x48 && at(1) === 0x8d && (at(2) & 0x38) === 0x20) {
    // lea rsp, [frame register + disp]
    const register = (at(2) & 7) | ((at(0) & 1) << 3);
    const mod = at(2) >> 6;
    // rm 4 takes a SIB byte (r12): base in its low three bits, no index.
    const sib = (at(2) & 7) === 4 ? 1 : 0;
    if (frameRegister !== 0 && register === frameRegister && (sib === 0 || at(3) === 0x24)) {
      if (mod === 1 && bytes.length >= 4 + sib) {
        actions.push({ kind: 'lea', register, displacement: view.getInt8(3 + sib) });
        i = 4 + sib;
      } else if (mod === 2 && bytes.length >= 7 + sib) {
        actions.push({ kind: 'lea', register, displacement: view.getInt32(3 + sib, true) });
        i = 7 + sib;
      } else if (mod === 0 && (at(2) & 7) !== 5) {
        actions.push({ kind: 'lea', register, displacement: 0 });
        i = 3 + sib;
      }
    }
  }
  for (;;) {
    if (at(i) >= 0x58 && at(i) <= 0x5f && at(i) !== 0x5c) {
      actions.push({ kind: 'pop', register: at(i) - 0x58 });
      i += 1;
    } else if (at(i) >= 0x40 && at(i) <= 0x4f && at(i + 1) >= 0x58 && at(i + 1) <= 0x5f) {
      actions.push({ kind: 'pop', register: (at(i + 1) - 0x58) | ((at(i) & 1) << 3) });
      i += 2;
    } else break;
  }
  const rex = at(i) >= 0x48 && at(i) <= 0x4f ? 1 : 0;
  // ret, ret imm16, rep ret
  if (at(i) === 0xc3 || at(i) === 0xc2 || (at(i) === 0xf3 && at(i + 1) === 0xc3)) return actions;
  if (at(i) === 0xeb && i + 2 <= bytes.length) return leaves(i + 2 + view.getInt8(i + 1)) ? actions : null;
  if (at(i) === 0xe9 && i + 5 <= bytes.length) return leaves(i + 5 + view.getInt32(i + 1, true)) ? actions : null;
  // jmp qword ptr [rip+n] and rex.w jmp r/m: only a tail call may be written so in an epilogue.
  if (at(i) === 0xff && at(i + 1) === 0x25) return actions;
  if (rex === 1 && at(i + 1) === 0xff && (at(i + 2) & 0x38) === 0x20) return actions;
  return null;
}
