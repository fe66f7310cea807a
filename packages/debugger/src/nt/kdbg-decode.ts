/**
 * The encoded KDDEBUGGER_DATA64 of Windows 8 and later. Each qword is stored as
 *   C = KiWaitNever ^ rotr(bswap(P ^ KiWaitAlways) ^ &KdpDataBlockEncoded, KiWaitNever & 63).
 * Rotation, byte swap and XOR are linear, so that C = rotr(bswap(P), r) ^ K for one key K and one r: a single known
 * qword, KernBase, leaves 64 candidates, and the tag and size decide. Neither of the constants needs to be found.
 */

import { KDBG_MAX_SIZE, KDBG_MIN_SIZE, KDBG_TAG } from './kdbg.ts';

const M64 = 0xffffffffffffffffn;

function bswap64(value: bigint): bigint {
  let out = 0n;
  for (let i = 0n; i < 64n; i += 8n) out = (out << 8n) | ((value >> i) & 0xffn);
  return out;
}

function rotr64(value: bigint, count: number): bigint {
  const n = BigInt(count & 63);
  return n === 0n ? value : ((value >> n) | (value << (64n - n))) & M64;
}

function rotl64(value: bigint, count: number): bigint {
  return rotr64(value, (64 - (count & 63)) & 63);
}

export interface KdbgKey {
  readonly rotation: number;
  readonly key: bigint;
}

/** Finds the key of an encoded block from KernBase (sign-extended on 32-bit); null where no candidate decodes. */
export function findKdbgKey(bytes: Uint8Array, kernBase: bigint): KdbgKey | null {
  if (bytes.length < 0x20) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tagged = view.getBigUint64(0x10, true);
  const based = view.getBigUint64(0x18, true);
  for (let rotation = 0; rotation < 64; rotation++) {
    const key = based ^ rotr64(bswap64(kernBase), rotation);
    const plain = bswap64(rotl64(tagged ^ key, rotation));
    if ((plain & 0xffffffffn) !== BigInt(KDBG_TAG)) continue;
    const size = Number(plain >> 32n);
    if (size >= KDBG_MIN_SIZE && size <= KDBG_MAX_SIZE && size % 4 === 0) return { rotation, key };
  }
  return null;
}

/** Decodes whole qwords; a trailing partial one is left out. */
export function decodeKdbg(bytes: Uint8Array, key: KdbgKey): Uint8Array {
  const count = bytes.length >> 3;
  const out = new Uint8Array(count * 8);
  const from = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const to = new DataView(out.buffer);
  for (let i = 0; i < count; i++) {
    const value = from.getBigUint64(i * 8, true);
    to.setBigUint64(i * 8, bswap64(rotl64(value ^ key.key, key.rotation)), true);
  }
  return out;
}

/** The other direction, for writers and tests: encodes with the constants that a kernel would hold. */
export function encodeKdbg(bytes: Uint8Array, never: bigint, always: bigint, flagAddress: bigint): Uint8Array {
  const count = bytes.length >> 3;
  const out = new Uint8Array(count * 8);
  const from = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const to = new DataView(out.buffer);
  for (let i = 0; i < count; i++) {
    const plain = from.getBigUint64(i * 8, true);
    const mixed = bswap64(plain ^ always) ^ flagAddress;
    to.setBigUint64(i * 8, never ^ rotr64(mixed, Number(never & 0xffn)), true);
  }
  return out;
}

function popcount32(value: number): number {
  let v = value - ((value >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/**
 * Offsets in `bytes` where an encoded block may start: the key cancels in C(tag) ^ C(KernBase), and neither rotation nor
 * byte swap changes how many of its bits are set.
 */
export function findEncodedKdbg(bytes: Uint8Array, kernBase: bigint): number[] {
  const low = Number(kernBase & 0xffffffffn);
  const high = Number(kernBase >> 32n);
  const wanted = new Set<number>();
  for (let size = 0x300; size <= 0x400; size += 8) wanted.add(popcount32(low ^ KDBG_TAG) + popcount32(high ^ size));
  const words = new Uint32Array(bytes.length >> 2);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < words.length; i++) words[i] = view.getUint32(i * 4, true);
  const found: number[] = [];
  for (let i = 0; i + 8 <= words.length; i += 2) {
    // List.Flink and Blink are equal (one block in the list): so are their ciphers.
    if (words[i] !== words[i + 2] || words[i + 1] !== words[i + 3] || words[i] === 0) continue;
    const bits =
      popcount32((words[i + 4] ?? 0) ^ (words[i + 6] ?? 0)) + popcount32((words[i + 5] ?? 0) ^ (words[i + 7] ?? 0));
    if (!wanted.has(bits)) continue;
    if (findKdbgKey(bytes.subarray(i * 4, i * 4 + 0x20), kernBase) !== null) found.push(i * 4);
  }
  return found;
}
