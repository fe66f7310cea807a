/** A file or buffer that can be read at any offset. The only port through which bytes enter the pure layers. */
export interface ByteSource {
  /** Size in bytes at the time of opening. */
  readonly size: number;
  /** A name for messages; no path logic is applied to it. */
  readonly name: string;
  /**
   * Copies up to `length` bytes from file offset `offset` to `into[at…]` and returns how many were copied: fewer than
   * asked only at the end of the source. Never throws for an offset beyond the end (returns 0).
   */
  read(offset: number, into: Uint8Array, at: number, length: number): number;
}

/** A source over bytes already in memory. */
export function bytesSource(bytes: Uint8Array, name = '<memory>'): ByteSource {
  return {
    size: bytes.length,
    name,
    read(offset, into, at, length) {
      if (offset < 0 || offset >= bytes.length) return 0;
      const count = Math.min(length, bytes.length - offset);
      into.set(bytes.subarray(offset, offset + count), at);
      return count;
    },
  };
}
