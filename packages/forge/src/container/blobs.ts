import { asciiBytes } from '../kernel/struct-writer.ts';
import { ForgeError } from '../memory/address-space.ts';
import type { Blob } from './dump-input.ts';

function guidBytes(text: string): Uint8Array {
  const clean = text.replace(/[{}-]/g, '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(clean)) throw new ForgeError(`blobs: "${text}" is not a GUID`);
  const raw = Array.from({ length: 16 }, (_, i) => Number.parseInt(clean.slice(i * 2, i * 2 + 2), 16));
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Uint8Array.from(order, (i) => raw[i] ?? 0);
}

/** Secondary data: `DumpBlob` header, then tagged blobs, each 8-aligned. */
export function blobBytes(blobs: readonly Blob[], build: number): Uint8Array {
  const sizes = blobs.map((blob) => 0x20 + Math.ceil(blob.bytes.length / 8) * 8);
  const out = new Uint8Array(0x10 + sizes.reduce((sum, size) => sum + size, 0));
  const view = new DataView(out.buffer);
  out.set(asciiBytes('DumpBlob'));
  view.setUint32(8, 0x10, true);
  view.setUint32(12, (0xf0000000 | build) >>> 0, true); // F000 marks a free build, as in NtBuildNumber and real dumps
  let at = 0x10;
  blobs.forEach((blob, index) => {
    const padded = (sizes[index] ?? 0x20) - 0x20;
    view.setUint32(at, 0x20, true);
    out.set(guidBytes(blob.tag), at + 4);
    view.setUint32(at + 20, blob.bytes.length, true);
    view.setUint32(at + 24, 0, true); // PrePad
    view.setUint32(at + 28, padded - blob.bytes.length, true); // PostPad
    out.set(blob.bytes, at + 0x20);
    at += sizes[index] ?? 0;
  });
  return out;
}
