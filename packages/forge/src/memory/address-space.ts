import { newPage, PAGE, type Page } from './page.ts';

/**
 * How a virtual page is mapped. `valid` is an ordinary PTE; the others are the software states of the memory manager:
 * `transition` and `prototype` keep their page in memory, `paged-out` and `demand-zero` have none.
 */
export type MappingState =
  | { readonly kind: 'valid' }
  | { readonly kind: 'transition' }
  | { readonly kind: 'prototype'; readonly prototypeState: 'valid' | 'transition' | 'paged-out' }
  | { readonly kind: 'paged-out'; readonly pageFile: number; readonly offset: number }
  | { readonly kind: 'demand-zero' };

export interface Mapping {
  readonly page: Page;
  state: MappingState;
  writable: boolean;
  executable: boolean;
}

export class ForgeError extends Error {
  override readonly name = 'ForgeError';
}

const MAX_VPN = 2 ** 52 - 1;

/** Virtual page number: the address divided by 4096, at most 2^52 and so exact in a double. */
export function vpnOf(address: bigint): number {
  return Number(address >> 12n);
}

/**
 * The pages of one address space: the shared kernel half, or the user half of one process. Pages come into being when
 * something is written to them.
 */
export class AddressSpace {
  readonly name: string;
  readonly mappings: Map<number, Mapping> = new Map();
  /** Large pages asked for: first page number and number of 4 KiB pages (one large page of the architecture). */
  readonly large: { readonly vpn: number; readonly pages: number }[] = [];
  /** Set once page tables are planned: a page that came into being now would have no frame and no entry. */
  frozen = false;
  readonly #owner: 'kernel' | 'user';

  constructor(name: string, owner: 'kernel' | 'user') {
    this.name = name;
    this.#owner = owner;
  }

  map(vpn: number): Mapping {
    if (vpn > MAX_VPN) throw new ForgeError(`page ${vpn.toString(16)} of ${this.name} is beyond the address space`);
    let mapping = this.mappings.get(vpn);
    if (mapping === undefined) {
      if (this.frozen) throw new ForgeError(`page ${vpn.toString(16)} of ${this.name} was not planned`);
      mapping = { page: newPage(this.#owner), state: { kind: 'valid' }, writable: true, executable: true };
      this.mappings.set(vpn, mapping);
    }
    return mapping;
  }

  /** Maps a page of another space here as well (KUSER_SHARED_DATA at 7ffe0000). */
  share(vpn: number, page: Page): void {
    this.mappings.set(vpn, { page, state: { kind: 'valid' }, writable: false, executable: false });
  }

  touch(address: bigint, length: number): void {
    if (length <= 0) return;
    const last = vpnOf(address + BigInt(length - 1));
    for (let vpn = vpnOf(address); vpn <= last; vpn++) this.map(vpn);
  }

  write(address: bigint, bytes: Uint8Array): void {
    let vpn = vpnOf(address);
    let at = Number(address & 0xfffn);
    let done = 0;
    while (done < bytes.length) {
      const count = Math.min(PAGE - at, bytes.length - done);
      this.map(vpn).page.bytes.set(bytes.subarray(done, done + count), at);
      done += count;
      at = 0;
      vpn += 1;
    }
  }

  /** Bytes as they stand; zero where no page exists. */
  read(address: bigint, length: number): Uint8Array {
    const out = new Uint8Array(length);
    let vpn = vpnOf(address);
    let at = Number(address & 0xfffn);
    let done = 0;
    while (done < length) {
      const count = Math.min(PAGE - at, length - done);
      const mapping = this.mappings.get(vpn);
      if (mapping !== undefined) out.set(mapping.page.bytes.subarray(at, at + count), done);
      done += count;
      at = 0;
      vpn += 1;
    }
    return out;
  }

  /** Writes the low `size` bytes of a value, little-endian. */
  writeInteger(address: bigint, size: number, value: bigint): void {
    const bytes = new Uint8Array(size);
    let rest = BigInt.asUintN(size * 8, value);
    for (let i = 0; i < size; i++) {
      bytes[i] = Number(rest & 0xffn);
      rest >>= 8n;
    }
    this.write(address, bytes);
  }

  readInteger(address: bigint, size: number): bigint {
    const bytes = this.read(address, size);
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] ?? 0);
    return value;
  }
}
