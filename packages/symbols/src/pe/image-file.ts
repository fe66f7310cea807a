import { PeError } from './errors.ts';
import type { PeSection } from './headers.ts';
import { PeImage } from './pe.ts';
import { parseRelocations, type RelocationIndex, relocate, relocationDirectory } from './relocations.ts';
import { u16, u32 } from './rva-reader.ts';

/**
 * An image file (.exe, .dll, .sys) read as the loader would map it: sections at their RVAs, zero-filled to their virtual
 * size, relocated to a given base.
 */
export class ImageFile {
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly pe: PeImage;
  #relocations: RelocationIndex | undefined;
  #map: PeSection[] | undefined;

  /** @throws {PeError} when `bytes` are no PE image. */
  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
    const lfanew = bytes.length >= 0x40 && u16(bytes, 0) === 0x5a4d ? u32(bytes, 0x3c) : -1;
    if (lfanew < 0) throw new PeError(`${name}: no PE image (no MZ signature)`);
    try {
      this.pe = new PeImage((rva, length) => this.#unrelocated(rva, length));
    } catch (error) {
      if (error instanceof PeError) throw new PeError(`${name}: ${error.message}`);
      throw error;
    }
    this.#map = [...(this.pe.sections ?? [])].sort((a, b) => a.virtualAddress - b.virtualAddress);
  }

  /** Bytes at `rva` as linked (for the preferred base); null when any of them lies outside of the image. */
  read(rva: number, length: number): Uint8Array | null {
    return this.#unrelocated(rva, length);
  }

  /** Bytes at `rva` as they are when the image is loaded at `base`. */
  readAt(base: bigint, rva: number, length: number): Uint8Array | null {
    const bytes = this.#unrelocated(rva, length);
    if (bytes === null) return null;
    const delta = base - this.pe.headers.imageBase;
    if (delta !== 0n) relocate(bytes, rva, delta, this.relocations, (at, n) => this.#unrelocated(at, n));
    return bytes;
  }

  get relocations(): RelocationIndex {
    if (this.#relocations === undefined) {
      const directory = relocationDirectory(this.pe.headers.directories);
      // A directory that runs past the image is read as far as it goes; it cannot be larger than the file.
      const size =
        directory === undefined ? 0 : Math.min(directory.size, this.bytes.length, this.#limit() - directory.rva);
      const bytes = directory === undefined || size <= 0 ? null : this.#unrelocated(directory.rva, size);
      this.#relocations = bytes === null ? new Map() : parseRelocations(bytes);
    }
    return this.#relocations;
  }

  #limit(): number {
    return Math.min(Math.max(this.pe.headers.sizeOfImage, 0x1000), 0x8000_0000);
  }

  #unrelocated(rva: number, length: number): Uint8Array | null {
    const map = this.#map;
    if (rva < 0 || length < 0) return null;
    if (map === undefined) {
      // While the headers are being read: the file's first page(s) as they are.
      if (rva + length > 0x11_0000) return null;
      const out = new Uint8Array(length);
      out.set(this.bytes.subarray(rva, rva + length));
      return rva >= this.bytes.length ? null : out;
    }
    // Rounded up to a page: the last section's tail is there, zero.
    const limit = Math.ceil(this.#limit() / 0x1000) * 0x1000;
    if (rva + length > limit || length > limit) return null;
    const out = new Uint8Array(length);
    const headers = Math.min(this.pe.headers.sizeOfHeaders, this.bytes.length);
    if (rva < headers) out.set(this.bytes.subarray(rva, Math.min(headers, rva + length)));
    for (const section of map) {
      const start = section.virtualAddress;
      if (start >= rva + length) break;
      const size = section.virtualSize === 0 ? section.rawSize : Math.min(section.virtualSize, section.rawSize);
      const from = Math.max(rva, start);
      const to = Math.min(rva + length, start + size);
      if (from >= to) continue;
      // The loader ignores the low 9 bits of PointerToRawData.
      const raw = section.rawOffset - (section.rawOffset % 0x200);
      out.set(this.bytes.subarray(raw + (from - start), raw + (to - start)), from - rva);
    }
    return out;
  }
}
