import { u32 } from '../pe/rva-reader.ts';

/**
 * A serialized closed hash table of u32 to u32: size, capacity, bit vectors of present and deleted buckets, then the
 * pairs. `end` is the offset after it; `entries` stops where the bytes do.
 */
export function readU32Map(
  bytes: Uint8Array,
  start: number,
): { readonly entries: [key: number, value: number][]; readonly end: number } {
  const entries: [number, number][] = [];
  const none = { entries, end: bytes.length };
  let at = start;
  if (at + 12 > bytes.length) return none;
  const size = u32(bytes, at);
  const capacity = u32(bytes, at + 4);
  const presentWords = u32(bytes, at + 8);
  const present = at + 12;
  at = present + presentWords * 4;
  if (at + 4 > bytes.length) return none;
  at += 4 + u32(bytes, at) * 4;
  if (at > bytes.length) return none;
  for (let i = 0; i < Math.min(capacity, presentWords * 32) && entries.length < size; i++) {
    if (((bytes[present + (i >> 3)] ?? 0) & (1 << (i & 7))) === 0) continue;
    if (at + 8 > bytes.length) return none;
    entries.push([u32(bytes, at), u32(bytes, at + 4)]);
    at += 8;
  }
  return { entries, end: at };
}
