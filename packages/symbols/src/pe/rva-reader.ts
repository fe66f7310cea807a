import { cString } from './text.ts';

/** Copies out `length` bytes at `rva`, or null when any of them is not there. */
export type ReadRva = (rva: number, length: number) => Uint8Array | null;

const PAGE = 0x1000;
const MAX_PAGES = 4096; // 16 MB of an image at most stay cached

/** Small typed reads over a {@link ReadRva}, a page at a time; `undefined` where bytes are missing. */
export class RvaReader {
  readonly #read: ReadRva;
  readonly #pages = new Map<number, Uint8Array | null>();

  constructor(read: ReadRva) {
    this.#read = read;
  }

  #page(index: number): Uint8Array | null {
    let page = this.#pages.get(index);
    if (page === undefined) {
      page = this.#read(index * PAGE, PAGE);
      if (page !== null && page.length < PAGE) page = null;
      if (this.#pages.size >= MAX_PAGES) this.#pages.clear();
      this.#pages.set(index, page);
    }
    return page;
  }

  /** Exactly `length` bytes; pieces that are missing as whole pages are asked for once more by their exact extent. */
  bytes(rva: number, length: number): Uint8Array | undefined {
    if (rva < 0 || length < 0 || rva + length > 0x1_0000_0000) return undefined;
    const first = Math.floor(rva / PAGE);
    if (length > 0 && rva + length <= (first + 1) * PAGE) {
      const page = this.#page(first);
      if (page !== null) return page.subarray(rva - first * PAGE, rva - first * PAGE + length);
      return this.#exact(rva, length);
    }
    if (length > MAX_PAGES * PAGE) return undefined;
    const out = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const index = Math.floor((rva + at) / PAGE);
      const within = rva + at - index * PAGE;
      const count = Math.min(PAGE - within, length - at);
      const page = this.#page(index);
      const piece = page === null ? this.#exact(rva + at, count) : page.subarray(within, within + count);
      if (piece === undefined) return undefined;
      out.set(piece, at);
      at += count;
    }
    return out;
  }

  #exact(rva: number, length: number): Uint8Array | undefined {
    const piece = this.#read(rva, length);
    return piece === null || piece.length < length ? undefined : piece;
  }

  u8(rva: number): number | undefined {
    return this.bytes(rva, 1)?.[0];
  }

  u16(rva: number): number | undefined {
    const b = this.bytes(rva, 2);
    return b === undefined ? undefined : (b[0] ?? 0) | ((b[1] ?? 0) << 8);
  }

  u32(rva: number): number | undefined {
    const b = this.bytes(rva, 4);
    return b === undefined ? undefined : u32(b, 0);
  }

  /** A NUL-terminated string of at most `max` bytes; undefined when bytes are missing before its end. */
  cString(rva: number, max = 512): string | undefined {
    const out: Uint8Array[] = [];
    let total = 0;
    while (total < max) {
      const at = rva + total;
      const count = Math.min(max - total, PAGE - (at % PAGE));
      const piece = this.bytes(at, count) ?? this.#upToNul(at, count);
      if (piece === undefined) return undefined;
      const end = piece.indexOf(0);
      if (end >= 0) {
        if (out.length === 0) return cString(piece, 0, end);
        out.push(piece.subarray(0, end));
        total += end;
        break;
      }
      out.push(piece);
      total += piece.length;
    }
    const joined = new Uint8Array(total);
    let at = 0;
    for (const piece of out) {
      joined.set(piece, at);
      at += piece.length;
    }
    return cString(joined, 0, total);
  }

  /** Byte by byte, for a string that ends just before missing bytes. */
  #upToNul(rva: number, count: number): Uint8Array | undefined {
    const out = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      const byte = this.u8(rva + i);
      if (byte === undefined) return undefined;
      out[i] = byte;
      if (byte === 0) return out.subarray(0, i + 1);
    }
    return out;
  }
}

export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

export function u32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0
  );
}
