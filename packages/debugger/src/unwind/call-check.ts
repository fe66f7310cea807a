/**
 * Whether an address found on a stack is a return address: the bytes before it must be a call. Where the call names its
 * target, the target must fit the callee.
 */

export interface CallSite {
  /** Length of the call instruction. */
  readonly length: number;
  /** Where the call goes: relative target; the slot it reads (`call [slot]`); nothing known. */
  readonly target:
    | { readonly kind: 'direct'; readonly delta: number }
    | { readonly kind: 'slot'; readonly delta: number }
    | { readonly kind: 'absolute-slot'; readonly address: number }
    | { readonly kind: 'unknown' };
}

/** Bytes of a near call by register or memory (FF /2), ending exactly at the end of `bytes`; 0 when there is none. */
function indirectCallLength(bytes: Uint8Array): number {
  const end = bytes.length;
  for (let length = 2; length <= 7 && length <= end; length++) {
    const at = end - length;
    if (bytes[at] !== 0xff) continue;
    const modrm = bytes[at + 1] ?? 0;
    if ((modrm & 0x38) !== 0x10) continue;
    const mod = modrm >> 6;
    const rm = modrm & 7;
    const sib = mod !== 3 && rm === 4 ? 1 : 0;
    let displacement = mod === 1 ? 1 : mod === 2 ? 4 : 0;
    if (mod === 0 && rm === 5) displacement = 4;
    if (mod === 0 && sib && ((bytes[at + 2] ?? 0) & 7) === 5) displacement = 4;
    if (2 + sib + displacement === length) return length;
  }
  return 0;
}

/** The call that ends at the end of `bytes` (up to 8 bytes before the return address); null when there is none. */
export function callBefore(bytes: Uint8Array, arch: 'x86' | 'x64'): CallSite | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.length;
  if (end >= 5 && bytes[end - 5] === 0xe8)
    return { length: 5, target: { kind: 'direct', delta: view.getInt32(end - 4, true) } };
  const length = indirectCallLength(bytes);
  if (length === 0) return null;
  const modrm = bytes[end - length + 1] ?? 0;
  if (modrm === 0x15) {
    if (arch === 'x64') return { length, target: { kind: 'slot', delta: view.getInt32(end - 4, true) } };
    return { length, target: { kind: 'absolute-slot', address: view.getUint32(end - 4, true) } };
  }
  return { length, target: { kind: 'unknown' } };
}

/** ARM64: the word before a return address is BL (immediate), BLR or an authenticated BLR. Returns the BL's delta. */
export function armCallBefore(word: number): { readonly delta: number | null } | null {
  if (word >>> 26 === 0x25) {
    const immediate = (word & 0x3ffffff) << 6;
    return { delta: (immediate >> 6) * 4 - 4 };
  }
  if ((word & 0xfffffc1f) >>> 0 === 0xd63f0000 || (word & 0xfefff800) >>> 0 === 0xd63f0800) return { delta: null };
  return null;
}
