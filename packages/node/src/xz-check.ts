import { createHash } from 'node:crypto';
import { crc32, crc64 } from './crc.ts';

const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64] as const;

/**
 * Compares expanded data with the sizes and check sums of the .xz file it came from: the decoder knows CRC32 only, and
 * most files have CRC64. Null when all is well, else one clause.
 */
export function checkXz(packed: Uint8Array, data: Uint8Array): string | null {
  let end = packed.length;
  // Padding behind the stream.
  while (end >= 4 && packed[end - 1] === 0 && packed[end - 2] === 0) end -= 4;
  if (end < 32 || packed[end - 2] !== 0x59 || packed[end - 1] !== 0x5a) return 'the end of the stream is missing';
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const check = (packed[7] ?? 0) & 15;
  if (((packed[end - 3] ?? 0) & 15) !== check) return 'header and footer do not agree';
  const indexSize = (view.getUint32(end - 8, true) + 1) * 4;
  const indexAt = end - 12 - indexSize;
  if (indexAt < 12 || packed[indexAt] !== 0) return 'the index is missing';
  let at = indexAt + 1;
  const number = (): number => {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 9; i++) {
      const byte = packed[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    return value;
  };
  const size = CHECK_SIZES[check] ?? 0;
  let blockAt = 12;
  let dataAt = 0;
  for (let blocks = number(); blocks > 0; blocks--) {
    if (at >= end - 12) return 'the index is damaged';
    const unpadded = number();
    const expanded = number();
    // Padding to four bytes stands before the check sum and is not counted.
    const checkAt = blockAt + Math.ceil((unpadded - size) / 4) * 4;
    if (checkAt < 12 || checkAt + size > indexAt) return 'the index does not fit the blocks';
    if (dataAt + expanded > data.length) return `${data.length} bytes are not what the index says`;
    const block = data.subarray(dataAt, dataAt + expanded);
    if (!matches(check, packed.subarray(checkAt, checkAt + size), block))
      return `the check sum of the block at ${blockAt} is wrong`;
    dataAt += expanded;
    blockAt += Math.ceil(unpadded / 4) * 4;
  }
  return dataAt === data.length ? null : `${data.length} bytes are not what the index says`;
}

function matches(check: number, sum: Uint8Array, block: Uint8Array): boolean {
  const view = new DataView(sum.buffer, sum.byteOffset, sum.byteLength);
  if (check === 1) return view.getUint32(0, true) === crc32(block);
  if (check === 4) {
    const { low, high } = crc64(block);
    return view.getUint32(0, true) === low && view.getUint32(4, true) === high;
  }
  if (check === 10) return createHash('sha256').update(block).digest().equals(sum);
  return true; // none, or one that nobody has defined
}
