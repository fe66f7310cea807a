/**
 * Address and index spaces as types: one cannot be passed for the other.
 *
 * `Va` is the only bigint. It appears at public edges and never inside a loop over memory: loops take a page or a
 * stack as bytes once and work on numbers.
 */

type Brand<T, K extends string> = T & { readonly __brand: K };

/** Virtual address, unsigned 64-bit. Addresses of a 32-bit dump are zero-extended (0xa07be204). */
export type Va = Brand<bigint, 'Va'>;
/** Physical address in bytes; below 2^52, so exact in a double. */
export type Pa = Brand<number, 'Pa'>;
/** Page frame number. */
export type Pfn = Brand<number, 'Pfn'>;
/** Offset from a module's base. */
export type Rva = Brand<number, 'Rva'>;
/** Offset from the first byte of a file. */
export type FileOffset = Brand<number, 'FileOffset'>;

export const PAGE_SIZE = 0x1000;

/** Makes a virtual address, wrapping to 64 bits. */
export function va(value: bigint | number): Va {
  return BigInt.asUintN(64, BigInt(value)) as Va;
}

/** `address + delta`, wrapping to 64 bits. */
export function vaAdd(address: bigint, delta: bigint | number): Va {
  return BigInt.asUintN(64, address + BigInt(delta)) as Va;
}

export function pa(value: number): Pa {
  return value as Pa;
}

export function pfn(value: number): Pfn {
  return value as Pfn;
}

export function rva(value: number): Rva {
  return value as Rva;
}

export function fileOffset(value: number): FileOffset {
  return value as FileOffset;
}

/** `0x` and the shortest lower-case hex form: the form of every address in JSON. */
export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}
