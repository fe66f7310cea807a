import { asciiBytes } from '../kernel/struct-writer.ts';
import { ForgeError } from '../memory/address-space.ts';
import type { Run } from '../memory/frames.ts';
import { PAGE } from '../memory/page.ts';
import { blobBytes } from './blobs.ts';
import { type DumpInput, pagesIn, storedRuns } from './dump-input.ts';
import { buildHeader, headerSize } from './header.ts';
import { writePages } from './page-writer.ts';
import type { Sink } from './sink.ts';

const CHUNK = 0x10000;

/** Type 1: the runs of the header's descriptor, page after page, right behind the header. */
export function writeFullDump(input: DumpInput, sink: Sink): number {
  const start = headerSize(input.header);
  const runs = storedRuns(input);
  // The header declares every run: with absent pages the file ends too early.
  const declared = start + pagesIn(input.physical.runs) * PAGE;
  return finish(input, sink, start + pagesIn(runs) * PAGE, (space) => {
    sink.write(0, buildHeader(input.header, input.physical, Math.max(space, declared)));
    return writePages(sink, start, runs, input.physical);
  });
}

/** Header (RequiredDumpSpace is where the primary data ends), pages, then secondary data. Returns the file's size. */
function finish(input: DumpInput, sink: Sink, end: number, write: (space: number) => number): number {
  const written = write(input.header.requiredDumpSpace ?? end);
  if (written !== end) throw new ForgeError(`dump layout: ${written} bytes written, ${end} planned`);
  if (input.blobs.length === 0) return end;
  const blobs = blobBytes(input.blobs, input.header.build);
  sink.write(end, blobs);
  return end + blobs.length;
}

/** One bit a frame, LSB first; only chunks with a bit set are materialised. */
function writeBitmap(sink: Sink, at: number, bits: number, runs: readonly Run[]): void {
  const size = Math.ceil(bits / 8);
  for (let chunk = 0; chunk < size; chunk += CHUNK) {
    const length = Math.min(CHUNK, size - chunk);
    const first = chunk * 8;
    const last = (chunk + length) * 8;
    let bytes: Uint8Array | null = null;
    for (const run of runs) {
      const from = Math.max(run.base, first);
      const to = Math.min(run.base + run.count, last);
      if (from >= to) continue;
      bytes ??= new Uint8Array(length);
      for (let pfn = from; pfn < to; ) {
        const local = pfn - first;
        if ((local & 7) === 0 && to - pfn >= 8) {
          bytes[local >> 3] = 0xff;
          pfn += 8;
        } else {
          bytes[local >> 3] = (bytes[local >> 3] ?? 0) | (1 << (local & 7));
          pfn += 1;
        }
      }
    }
    if (bytes !== null) sink.write(at + chunk, bytes);
  }
}

function roundUp(value: number): number {
  return Math.ceil(value / PAGE) * PAGE;
}

/** Types 5, 6 and 7: `SDMP`/`FDMP` bitmap header of 0x38 bytes, bitmap, then the pages in frame order. */
export function writeBitmapDump(input: DumpInput, sink: Sink): number {
  const start = headerSize(input.header);
  const runs = storedRuns(input);
  const pages = pagesIn(runs);
  const bits = Math.ceil(input.physical.end / 32) * 32;
  const first = roundUp(start + 0x38 + bits / 8);
  return finish(input, sink, first + pages * PAGE, (space) => {
    sink.write(0, buildHeader(input.header, input.physical, space));
    const header = new Uint8Array(0x38);
    const view = new DataView(header.buffer);
    header.set(asciiBytes(input.header.kind === 'bitmap-full' ? 'FDMPDUMP' : 'SDMPDUMP'));
    view.setBigUint64(0x20, BigInt(first), true);
    view.setBigUint64(0x28, BigInt(pages), true);
    view.setBigUint64(0x30, BigInt(bits), true);
    sink.write(start, header);
    writeBitmap(sink, start + 0x38, bits, runs);
    return writePages(sink, first, runs, input.physical);
  });
}

/** Type 2, up to Windows 7: SUMMARY_DUMP with its RTL_BITMAP, then the pages in frame order. */
export function writeSummaryDump(input: DumpInput, sink: Sink): number {
  const wide = input.header.arch !== 'x86';
  const start = headerSize(input.header);
  const runs = storedRuns(input);
  const pages = pagesIn(runs);
  const bits = Math.ceil(input.physical.end / 32) * 32;
  const bitmap = start + (wide ? 0x28 : 0x20);
  const first = roundUp(bitmap + bits / 8);
  return finish(input, sink, first + pages * PAGE, (space) => {
    sink.write(0, buildHeader(input.header, input.physical, space));
    const header = new Uint8Array(wide ? 0x28 : 0x20);
    const view = new DataView(header.buffer);
    header.set(asciiBytes('SDMPDUMP'));
    view.setUint32(0x0c, first, true); // HeaderSize
    view.setUint32(0x10, bits, true); // BitmapSize
    view.setUint32(0x14, pages, true); // Pages
    view.setUint32(0x18, bits, true); // RTL_BITMAP.SizeOfBitMap; Buffer is a pointer of the machine that wrote it
    if (wide) view.setBigUint64(0x20, 0xfffffa80_01c3a028n, true);
    else view.setUint32(0x1c, 0x81d4a020, true);
    sink.write(start, header);
    writeBitmap(sink, bitmap, bits, runs);
    return writePages(sink, first, runs, input.physical);
  });
}

/** Types 8, 9 and 0xA (`.dump /k`, `/ka`, `/f`): RDMP header and a table of runs. 64-bit only. */
export function writeRangeDump(input: DumpInput, sink: Sink): number {
  if (input.header.arch === 'x86') throw new ForgeError('range dumps (types 8 to A) exist for 64-bit systems only');
  const start = headerSize(input.header);
  const runs = storedRuns(input);
  const full = input.header.kind === 'range-full';
  const pages = pagesIn(runs);
  // Types 8 and 9 end their table with an entry of zeros.
  const table = 0x30 + runs.length * 16 + (full ? 0 : 16);
  const first = roundUp(start + table);
  return finish(input, sink, first + pages * PAGE, (space) => {
    sink.write(0, buildHeader(input.header, input.physical, space));
    const header = new Uint8Array(table);
    const view = new DataView(header.buffer);
    view.setUint32(0, 0x40, true);
    header.set(asciiBytes('RDMPDUMP'), 4);
    view.setBigUint64(0x10, BigInt(first - 0x2020), true); // MetadataSize; MetadataSize - 20 == FirstPageOffset - 2040
    view.setBigUint64(0x18, BigInt(first), true);
    if (full) {
      view.setUint32(0x20, runs.length, true);
      view.setBigUint64(0x28, BigInt(pages), true);
    }
    runs.forEach((run, index) => {
      view.setBigUint64(0x30 + index * 16, BigInt(run.base), true);
      view.setBigUint64(0x38 + index * 16, BigInt(run.count), true);
    });
    sink.write(start, header);
    return writePages(sink, first, runs, input.physical);
  });
}
