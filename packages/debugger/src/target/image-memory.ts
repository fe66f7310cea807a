import { type MemoryGap, type MemoryReader, type Va, va } from '@dumpscope/core';

/** The module that holds an address, as far as reading its image goes. */
export interface ImageRange {
  readonly imageName: string;
  readonly base: bigint;
  readonly size: number;
  /** Bytes of the matching image file at an RVA, relocated; null without an image or for writable sections. */
  imageBytes(rva: number, length: number): Uint8Array | null;
}

/**
 * Dump memory first, then what a matching image file says of read-only sections. Windows patches code at boot (import
 * and retpoline optimisation), so that every byte that the dump has wins, and the file fills the holes between.
 */
export class ImageBackedMemory implements MemoryReader {
  readonly pointerSize: 4 | 8;
  readonly #dump: MemoryReader;
  readonly #find: (address: bigint) => ImageRange | undefined;
  readonly #grain: bigint;

  /** `grain`: how finely dump bytes and holes alternate (triage blocks: 64 bytes, pages elsewhere). */
  constructor(dump: MemoryReader, grain: number, find: (address: bigint) => ImageRange | undefined) {
    this.pointerSize = dump.pointerSize;
    this.#dump = dump;
    this.#find = find;
    this.#grain = BigInt(grain);
  }

  readInto(address: Va, into: Uint8Array): number {
    let done = this.#dump.readInto(address, into);
    while (done < into.length) {
      const at = va(address + BigInt(done));
      const range = this.#find(at);
      if (range === undefined) return done;
      const rest = into.length - done;
      const toGrain = Number(this.#grain - (at % this.#grain));
      const rva = Number(at - range.base);
      const want = Math.min(rest, toGrain, range.size - rva);
      const bytes = want > 0 ? range.imageBytes(rva, want) : null;
      if (bytes === null || bytes.length === 0) return done;
      into.set(bytes, done);
      done += bytes.length;
      if (done < into.length) {
        const more = this.#dump.readInto(va(address + BigInt(done)), into.subarray(done));
        done += more;
      }
    }
    return done;
  }

  gapAt(address: Va): MemoryGap | null {
    const gap = this.#dump.gapAt(address);
    if (gap === null) return null;
    const range = this.#find(address);
    if (range?.imageBytes(Number(address - range.base), 1) != null) return null;
    return gap;
  }

  sourceOf(address: Va): string {
    if (this.#dump.gapAt(address) === null) return 'dump';
    const range = this.#find(address);
    if (range?.imageBytes(Number(address - range.base), 1) != null) return `image ${range.imageName}`;
    return 'dump';
  }
}
