import { CabError } from './cab-error.ts';
import type { LzxBits } from './lzx-bits.ts';

const FAST = 11;

/** Canonical Huffman decoder for codes of up to 16 bits, most significant bit first. */
export class Huffman {
  readonly #fast = new Uint16Array(1 << FAST); // symbol << 4 | length, 0 where the code is longer
  readonly #count = new Uint16Array(17);
  readonly #first = new Uint32Array(18); // first code of each length
  readonly #index = new Uint32Array(18); // where its symbols begin in #symbols
  readonly #symbols: Uint16Array;
  readonly #what: string;

  constructor(what: string, size: number) {
    this.#what = what;
    this.#symbols = new Uint16Array(size);
  }

  /** A tree without codes is allowed: it is an error only to use it. */
  build(lengths: Uint8Array, size: number): void {
    const count = this.#count.fill(0);
    for (let i = 0; i < size; i++) {
      const length = lengths[i] ?? 0;
      if (length > 0) count[length] = (count[length] ?? 0) + 1;
    }
    let code = 0;
    let index = 0;
    for (let length = 1; length <= 16; length++) {
      this.#first[length] = code;
      this.#index[length] = index;
      index += count[length] ?? 0;
      code += count[length] ?? 0;
      if (code > 1 << length) throw new CabError(`the ${this.#what} of the LZX data has more codes than fit`);
      code <<= 1;
    }
    const next = this.#index.slice();
    for (let i = 0; i < size; i++) {
      const length = lengths[i] ?? 0;
      if (length === 0) continue;
      const at = next[length] ?? 0;
      next[length] = at + 1;
      this.#symbols[at] = i;
    }
    this.#fast.fill(0);
    for (let length = 1; length <= FAST; length++) {
      const start = this.#index[length] ?? 0;
      for (let k = 0; k < (count[length] ?? 0); k++) {
        const from = ((this.#first[length] ?? 0) + k) << (FAST - length);
        this.#fast.fill(((this.#symbols[start + k] ?? 0) << 4) | length, from, from + (1 << (FAST - length)));
      }
    }
  }

  read(bits: LzxBits): number {
    const window = bits.peek16();
    const hit = this.#fast[window >>> (16 - FAST)] ?? 0;
    if (hit !== 0) {
      bits.drop(hit & 15);
      return hit >>> 4;
    }
    for (let length = FAST + 1; length <= 16; length++) {
      const offset = (window >>> (16 - length)) - (this.#first[length] ?? 0);
      if (offset >= 0 && offset < (this.#count[length] ?? 0)) {
        bits.drop(length);
        return this.#symbols[(this.#index[length] ?? 0) + offset] ?? 0;
      }
    }
    throw new CabError(`the LZX data has a code that is not in its ${this.#what} (byte ${bits.position})`);
  }
}
