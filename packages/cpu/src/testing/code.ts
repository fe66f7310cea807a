import type { CodeReader } from '../instruction.ts';

export function hexBytes(hex: string): Uint8Array {
  return Uint8Array.from((hex.replaceAll(/\s/g, '').match(/../g) ?? []).map((x) => Number.parseInt(x, 16)));
}

/** A reader over bytes at one address; shorter near their end, null outside. For tests. */
export function codeAt(base: bigint, code: string | Uint8Array): CodeReader {
  const bytes = typeof code === 'string' ? hexBytes(code) : code;
  return (address, length) => {
    const offset = Number(address - base);
    if (offset < 0 || offset >= bytes.length) return null;
    return bytes.subarray(offset, Math.min(bytes.length, offset + length));
  };
}
