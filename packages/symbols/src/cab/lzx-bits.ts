import { CabError } from './cab-error.ts';

/** LZX's bit stream: 16-bit little-endian words, the most significant bit of each first. */
export class LzxBits {
  readonly #bytes: Uint8Array;
  #at = 0;
  #buffer = 0;
  #left = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Byte position of the next word, for messages. */
  get position(): number {
    return this.#at;
  }

  #refill(): void {
    const at = this.#at;
    // A code is looked up through 16 bits, of which the last ones may lie behind the end.
    if (at > this.#bytes.length + 4) throw new CabError(`the LZX data ends too early (byte ${this.#bytes.length})`);
    const word = (this.#bytes[at] ?? 0) | ((this.#bytes[at + 1] ?? 0) << 8);
    this.#at = at + 2;
    this.#buffer |= word << (16 - this.#left);
    this.#left += 16;
  }

  peek16(): number {
    if (this.#left < 16) this.#refill();
    return this.#buffer >>> 16;
  }

  drop(count: number): void {
    this.#buffer <<= count;
    this.#left -= count;
  }

  /** Up to 17 bits. */
  read(count: number): number {
    if (count === 0) return 0;
    while (this.#left < count) this.#refill();
    const value = this.#buffer >>> (32 - count);
    this.#buffer <<= count;
    this.#left -= count;
    return value;
  }

  /** To the next word boundary: at the end of each frame. */
  align(): void {
    const odd = this.#left & 15;
    this.#buffer <<= odd;
    this.#left -= odd;
  }

  /** To the raw bytes of an uncompressed block: 1 to 16 bits are skipped, so a whole word when already aligned. */
  toBytes(): void {
    if ((this.#left & 15) === 0) {
      if (this.#left === 0) this.#refill();
      this.drop(16);
    } else {
      this.align();
    }
    this.#at -= this.#left >> 3;
    this.#buffer = 0;
    this.#left = 0;
  }

  /** Raw bytes; only directly after {@link toBytes} or another call of this. */
  bytes(into: Uint8Array, at: number, count: number): void {
    if (this.#at + count > this.#bytes.length) {
      throw new CabError(`the LZX data ends in an uncompressed block (byte ${this.#bytes.length})`);
    }
    into.set(this.#bytes.subarray(this.#at, this.#at + count), at);
    this.#at += count;
  }

  /** A byte of padding behind an uncompressed block of odd length. */
  skipByte(): void {
    this.#at++;
  }
}
