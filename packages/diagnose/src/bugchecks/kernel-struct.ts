/** Members of kernel structures by the chosen layouts, each with the address that evidence cites. */
import { resolveFieldPath, type Target } from '@dumpscope/debugger';
import { typeSize } from '@dumpscope/symbols';

export interface Member {
  readonly address: bigint;
  /** Bytes that hold it: 1, 2, 4 or 8. */
  readonly size: number;
  /** Unsigned; null where the memory is missing. */
  readonly value: bigint | null;
}

/** `path` in `_STRUCT` at `base`; null where the layout lacks it or it is no scalar of 1 to 8 bytes. */
export function member(target: Target, struct: string, base: bigint, path: string): Member | null {
  const { table } = target.layouts;
  const place = resolveFieldPath(table, { kind: 'struct', name: struct }, path);
  if (place === undefined) return null;
  const size = place.type.kind === 'function' ? undefined : typeSize(table, place.type);
  if (size !== 1 && size !== 2 && size !== 4 && size !== 8) return null;
  const address = base + BigInt(place.offset);
  const unit = scalar(target, address, size);
  if (unit === null || place.type.kind !== 'bitfield') return { address, size, value: unit };
  const mask = (1n << BigInt(place.type.length)) - 1n;
  return { address, size, value: (unit >> BigInt(place.type.position)) & mask };
}

/** The first of several spellings that the layout has: fields were renamed over the builds. */
export function memberOf(target: Target, struct: string, base: bigint, paths: readonly string[]): Member | null {
  for (const path of paths) {
    const found = member(target, struct, base, path);
    if (found !== null) return found;
  }
  return null;
}

export function scalar(target: Target, address: bigint, size: 1 | 2 | 4 | 8): bigint | null {
  const { memory } = target;
  if (size === 8) return memory.u64(address) ?? null;
  const value = size === 4 ? memory.u32(address) : size === 2 ? memory.u16(address) : memory.u8(address);
  return value === undefined ? null : BigInt(value);
}
