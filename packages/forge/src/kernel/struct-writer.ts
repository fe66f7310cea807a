import { type AddressSpace, ForgeError } from '../memory/address-space.ts';
import type { Layout } from './layout.ts';

/** Writes structures of one build into an address space, field by field. */
export class StructWriter {
  readonly layout: Layout;
  readonly space: AddressSpace;
  readonly pointerSize: 4 | 8;

  constructor(layout: Layout, space: AddressSpace, pointerSize: 4 | 8) {
    this.layout = layout;
    this.space = space;
    this.pointerSize = pointerSize;
  }

  /** Writes a field if the build has it; false when it has not. */
  set(type: string, at: bigint, path: string, value: bigint | number): boolean {
    const place = this.layout.find(type, path);
    if (place === undefined) return false;
    const address = at + BigInt(place.offset);
    if (place.size > 8) throw new ForgeError(`${type}.${path} is ${place.size} bytes: not a number`);
    let raw = BigInt(value);
    if (place.bits !== null) {
      const mask = ((1n << BigInt(place.bits.length)) - 1n) << BigInt(place.bits.position);
      const old = this.space.readInteger(address, place.size);
      raw = (old & ~mask) | ((raw << BigInt(place.bits.position)) & mask);
    }
    this.space.writeInteger(address, place.size, raw);
    return true;
  }

  /** Writes a field that must exist. */
  must(type: string, at: bigint, path: string, value: bigint | number): void {
    if (!this.set(type, at, path, value)) this.layout.offset(type, path);
  }

  /** The first of several names (fields were renamed between versions) that the build has. */
  any(type: string, at: bigint, paths: readonly string[], value: bigint | number): boolean {
    return paths.some((path) => this.set(type, at, path, value));
  }

  pointer(at: bigint, value: bigint): void {
    this.space.writeInteger(at, this.pointerSize, value);
  }

  u16(at: bigint, value: number): void {
    this.space.writeInteger(at, 2, BigInt(value));
  }

  u32(at: bigint, value: number | bigint): void {
    this.space.writeInteger(at, 4, BigInt(value));
  }

  u64(at: bigint, value: bigint): void {
    this.space.writeInteger(at, 8, value);
  }

  /** Address of a field, undefined where the build lacks it. */
  at(type: string, base: bigint, path: string): bigint | undefined {
    const place = this.layout.find(type, path);
    return place === undefined ? undefined : base + BigInt(place.offset);
  }

  /** An empty LIST_ENTRY: both links to itself. */
  emptyList(at: bigint): void {
    this.pointer(at, at);
    this.pointer(at + BigInt(this.pointerSize), at);
  }

  emptyListField(type: string, base: bigint, path: string): void {
    const at = this.at(type, base, path);
    if (at !== undefined) this.emptyList(at);
  }

  /** A closed doubly linked list in the given order. */
  linkList(head: bigint, entries: readonly bigint[]): void {
    const ring = [head, ...entries];
    ring.forEach((entry, index) => {
      this.pointer(entry, ring[(index + 1) % ring.length] ?? head);
      this.pointer(entry + BigInt(this.pointerSize), ring[(index + ring.length - 1) % ring.length] ?? head);
    });
  }

  bytes(at: bigint, bytes: Uint8Array): void {
    this.space.write(at, bytes);
  }

  ascii(at: bigint, text: string): void {
    this.space.write(at, asciiBytes(text));
  }

  /** UNICODE_STRING at `at` whose characters lie at `buffer`. */
  unicodeString(at: bigint, buffer: bigint, text: string): void {
    this.u16(at, text.length * 2);
    this.u16(at + 2n, text.length * 2 + 2);
    this.pointer(at + BigInt(this.pointerSize), buffer);
    this.space.write(buffer, utf16Bytes(`${text}\0`));
  }
}

export function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0) & 0xff);
}

export function utf16Bytes(text: string): Uint8Array {
  const out = new Uint8Array(text.length * 2);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    out[i * 2] = code & 0xff;
    out[i * 2 + 1] = code >> 8;
  }
  return out;
}

export function hexToBytes(text: string): Uint8Array {
  const clean = text.replace(/\s+/g, '');
  const out = new Uint8Array(clean.length >> 1);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(clean.slice(i * 2, i * 2 + 2), 16);
  return out;
}
