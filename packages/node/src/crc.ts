const table32 = new Uint32Array(256);
const low64 = new Uint32Array(256);
const high64 = new Uint32Array(256);
for (let i = 0; i < 256; i++) {
  let c = i;
  let low = i;
  let high = 0;
  for (let bit = 0; bit < 8; bit++) {
    c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
    const odd = low & 1;
    low = (low >>> 1) | (high << 31);
    high >>>= 1;
    if (odd) {
      low ^= 0xd7870f42;
      high ^= 0xc96c5795;
    }
  }
  table32[i] = c;
  low64[i] = low;
  high64[i] = high;
}

export function crc32(bytes: Uint8Array): number {
  let c = -1;
  for (let i = 0; i < bytes.length; i++) c = (table32[(c ^ (bytes[i] as number)) & 255] as number) ^ (c >>> 8);
  return ~c >>> 0;
}

/** CRC-64 as .xz has it (ECMA-182, reflected), in two halves. */
export function crc64(bytes: Uint8Array): { readonly low: number; readonly high: number } {
  let low = -1;
  let high = -1;
  for (let i = 0; i < bytes.length; i++) {
    const index = (low ^ (bytes[i] as number)) & 255;
    low = ((low >>> 8) | (high << 24)) ^ (low64[index] as number);
    high = (high >>> 8) ^ (high64[index] as number);
  }
  return { low: ~low >>> 0, high: ~high >>> 0 };
}
