import { hex } from './brands.ts';
import { u16, u32 } from './bytes.ts';
import type { BlockCache } from './cache/block-cache.ts';
import type { SecondaryBlob } from './dump.ts';
import type { ProblemList } from './problems.ts';

/** The C constants 'pmuD' and 'bolB': file bytes `DumpBlob`, confirmed on eight real dumps. */
const SIGNATURE_1 = 0x706d7544;
const SIGNATURE_2 = 0x626f6c42;
/** The same constants written most significant byte first. */
const SWAPPED_1 = 0x44756d70;
const SWAPPED_2 = 0x426c6f62;
const BLOB_HEADER = 32;
const MAX_BLOBS = 64 * 1024;

/**
 * Tagged secondary data at `start`: {signatures, HeaderSize u32, BuildNumber u32}, then blobs {HeaderSize u32, tag
 * GUID, DataSize u32, PrePad u32, PostPad u32, data} up to the end of the file; a zero tag ends the list in dumps of
 * 9600. Null when no signature stands there.
 */
export function readBlobs(cache: BlockCache, start: number, problems: ProblemList): SecondaryBlob[] | null {
  const header = cache.bytes(start, 16);
  if (header.length < 16) return null;
  const signed =
    (u32(header, 0) === SIGNATURE_1 && u32(header, 4) === SIGNATURE_2) ||
    (u32(header, 0) === SWAPPED_1 && u32(header, 4) === SWAPPED_2);
  if (!signed) return null;
  const blobs: SecondaryBlob[] = [];
  let at = start + Math.max(16, u32(header, 8));
  while (at + BLOB_HEADER <= cache.size && blobs.length < MAX_BLOBS) {
    const bytes = cache.bytes(at, BLOB_HEADER);
    const headerSize = u32(bytes, 0);
    const size = u32(bytes, 20);
    const tagged = bytes.subarray(4, 20).some((byte) => byte !== 0);
    if (!tagged && size === 0) break;
    if (headerSize < BLOB_HEADER || headerSize > 0x10000) {
      problems.add('blob-header', `secondary data blob with header size ${hex(headerSize)}: the list ends here`, at);
      break;
    }
    const offset = at + headerSize + u32(bytes, 24);
    const end = offset + size;
    if (end > cache.size) {
      problems.add(
        'blob-beyond-end',
        `secondary data blob of ${hex(size)} bytes at ${hex(offset)} reaches beyond the end of the file (${hex(cache.size)})`,
        at + 20,
      );
    }
    if (offset >= cache.size && size > 0) break;
    blobs.push({ tag: guid(bytes, 4), offset, size: Math.min(size, Math.max(0, cache.size - offset)) });
    at = end + u32(bytes, 28);
  }
  return blobs;
}

/** GUID in its usual form, lower case. */
function guid(bytes: Uint8Array, at: number): string {
  const digits = (value: number, width: number): string => value.toString(16).padStart(width, '0');
  let tail = '';
  for (let i = 8; i < 16; i++) tail += digits(bytes[at + i] ?? 0, 2);
  return `${digits(u32(bytes, at), 8)}-${digits(u16(bytes, at + 4), 4)}-${digits(u16(bytes, at + 6), 4)}-${tail.slice(0, 4)}-${tail.slice(4)}`;
}
