import { type Dump, type Memory, type Va, va } from '@dumpscope/core';

/** Largest part of nt that is searched. */
const MAX_SEARCH = 0x2000000;
const CHUNK = 0x40000;

/** KPRCB within KPCR, and the KPCR fields that point at the KPCR itself and at its KPRCB (every build of 5.1 to 10.0). */
const shape = {
  4: { contained: 0x120n, self: 0x1cn, prcb: 0x20n, mask: 0x1f },
  8: { contained: 0x180n, self: 0x18n, prcb: 0x20n, mask: 0x3f },
} as const;

/**
 * KiProcessorBlock without KDBG and symbols: in nt, the first pointer to a KPRCB whose KPCR points back at itself and at
 * it. The pointers in the PCRs themselves are none of it: they follow one that points at the KPCR.
 */
export function searchProcessorBlock(
  dump: Dump,
  memory: Memory,
  kernel: { readonly base: Va; readonly size: number } | null,
): Va | null {
  if (kernel === null || dump.physical === null || dump.arch === 'arm64') return null;
  const size = dump.pointerSize;
  const { contained, self, prcb, mask } = shape[size];
  const buffer = new Uint8Array(CHUNK);
  const view = new DataView(buffer.buffer);
  const end = Math.min(kernel.size, MAX_SEARCH);
  const top = size === 8 ? 0xffff8000 : 0x80000000;
  for (let at = 0; at < end; at += CHUNK) {
    for (let page = 0; page < CHUNK; page += 0x1000) {
      const part = buffer.subarray(page, page + 0x1000);
      part.fill(0, memory.readInto(va(kernel.base + BigInt(at + page)), part));
    }
    for (let i = 0; i < CHUNK; i += size) {
      if (view.getUint32(i + size - 4, true) < top || (view.getUint32(i, true) & mask) !== (Number(contained) & mask))
        continue;
      const value = size === 8 ? view.getBigUint64(i, true) : BigInt(view.getUint32(i, true));
      const pcr = value - contained;
      const here = kernel.base + BigInt(at + i);
      if (here === pcr + prcb) continue;
      if (memory.pointer(pcr + self) === pcr && memory.pointer(pcr + prcb) === value) return va(here);
    }
  }
  return null;
}
