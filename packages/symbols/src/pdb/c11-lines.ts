import { u16, u32 } from '../pe/rva-reader.ts';
import { recordName } from './publics.ts';

/** Lines of one source file in one section; offsets are from the section's start. */
export interface OldLineBlock {
  readonly file: string;
  readonly section: number;
  /** Extent of the file's code in the section; `end` inclusive as stored. */
  readonly start: number;
  readonly end: number;
  readonly pairs: Uint32Array;
}

/**
 * Line information from before C13 (OMFSourceModule): a table of files, in each a table of sections with parallel
 * arrays of offsets (32 bits) and line numbers (16 bits).
 */
export function readOldLines(bytes: Uint8Array): OldLineBlock[] {
  const out: OldLineBlock[] = [];
  if (bytes.length < 4) return out;
  const fileCount = u16(bytes, 0);
  // A line takes 6 bytes: a damaged header that points many files at one table would multiply it.
  let budget = bytes.length / 6;
  for (let f = 0; f < fileCount && 4 + f * 4 + 4 <= bytes.length; f++) {
    const file = u32(bytes, 4 + f * 4);
    if (file + 4 > bytes.length) continue;
    const sectionCount = u16(bytes, file);
    const extents = file + 4 + sectionCount * 4;
    const nameAt = extents + sectionCount * 8;
    if (nameAt >= bytes.length) continue;
    const name = recordName(bytes, nameAt, bytes.length, true);
    for (let s = 0; s < sectionCount; s++) {
      const lines = u32(bytes, file + 4 + s * 4);
      if (lines + 4 > bytes.length) continue;
      const section = u16(bytes, lines);
      const count = u16(bytes, lines + 2);
      if (lines + 4 + count * 6 > bytes.length) continue;
      budget -= count + 1;
      if (budget < 0) return out;
      const pairs = new Uint32Array(count * 2);
      for (let i = 0; i < count; i++) {
        pairs[i * 2] = u32(bytes, lines + 4 + i * 4);
        pairs[i * 2 + 1] = u16(bytes, lines + 4 + count * 4 + i * 2);
      }
      out.push({
        file: name,
        section,
        start: u32(bytes, extents + s * 8),
        end: u32(bytes, extents + s * 8 + 4),
        pairs,
      });
    }
  }
  return out;
}
