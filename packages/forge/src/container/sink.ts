/** Where a dump is written: any offset, in ascending order; what is never written reads as zero. */
export interface Sink {
  write(offset: number, bytes: Uint8Array): void;
}

/** Collects a dump in memory. */
export class MemorySink implements Sink {
  #bytes: Uint8Array = new Uint8Array(0x40000);
  #end = 0;

  write(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, offset);
    this.#end = Math.max(this.#end, end);
  }

  /** The first `size` bytes. */
  take(size: number): Uint8Array {
    if (size > this.#bytes.length) this.write(size - 1, new Uint8Array(1));
    return this.#bytes.slice(0, size);
  }
}
