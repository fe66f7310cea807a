/** Small decoders over byte arrays; the pure layers have no TextDecoder. */

/** `PAGE` as a little-endian u32: what Windows leaves in header fields that it did not write. */
export const PAGE_FILL = 0x45474150;

export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

/** Bytes past the end read as zero: check the length first where that matters. */
export function u32(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0;
}

export function u64(bytes: Uint8Array, at: number): bigint {
  return (BigInt(u32(bytes, at + 4)) << 32n) | BigInt(u32(bytes, at));
}

/** A u64 as a double: exact below 2^53, which covers every size, count and page number that can be real. */
export function u64Number(bytes: Uint8Array, at: number): number {
  return u32(bytes, at + 4) * 0x1_0000_0000 + u32(bytes, at);
}

/** Characters 0..255 up to the first NUL. */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    if (byte === 0) break;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** UTF-16LE up to the first NUL. */
export function utf16(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i + 1 < bytes.length; i += 2) {
    const unit = u16(bytes, i);
    if (unit === 0) break;
    text += String.fromCharCode(unit);
  }
  return text;
}

/** Whether every byte of the field continues the `PAGE` pattern, which starts at file offset 0. */
export function isPageFill(bytes: Uint8Array, fileOffset: number): boolean {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== ((PAGE_FILL >>> (8 * ((fileOffset + i) & 3))) & 0xff)) return false;
  }
  return bytes.length > 0;
}
