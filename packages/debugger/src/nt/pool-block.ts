/**
 * The pool block that holds an address, by POOL_HEADER, whose form has not changed from XP to 11: on 32 bits
 * PreviousSize:9 PoolIndex:7 BlockSize:9 PoolType:7, PoolTag, in units of 8 bytes; on 64 bits four bytes, PoolTag,
 * ProcessBilled, in units of 16. PoolType 0 marks a free block. Up to 1809 the headers of a page form a chain from its
 * beginning; the segment heap (1903 on) keeps headers before blocks, but no chain.
 */
import { type Va, va } from '@dumpscope/core';
import type { Target } from '../target/model.ts';

export interface PoolBlock {
  readonly header: Va;
  /** Behind the header. */
  readonly start: Va;
  readonly size: number;
  /** Four printable characters. */
  readonly tag: string;
  readonly free: boolean;
  readonly paged: boolean;
  /** `chain`: every header of the page up to it agrees with the next. `header`: what lies before the address reads as one. */
  readonly trust: 'chain' | 'header';
}

const PAGE = 0x1000;

interface Header {
  readonly previous: number;
  readonly size: number;
  readonly type: number;
  readonly tag: string | null;
}

/** Null where no header was found in the page; big allocations, which begin a page, have none. */
export function poolBlockAt(target: Target, address: bigint): PoolBlock | null {
  const page = address & ~BigInt(PAGE - 1);
  const bytes = target.memory.bytes(page, PAGE);
  if (bytes === undefined) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = target.pointerSize === 8;
  const unit = wide ? 16 : 8;
  const offset = Number(address - page);
  const chained = walkChain(view, wide, unit, offset);
  const at = chained ?? nearestHeader(view, wide, unit, offset);
  if (at === null) return null;
  const header = headerAt(view, wide, at);
  if (header.tag === null) return null;
  return {
    header: va(page + BigInt(at)),
    start: va(page + BigInt(at + unit)),
    size: header.size * unit - unit,
    tag: header.tag,
    free: header.type === 0,
    // Allocated blocks hold the type plus one on XP and 2003, plus two later: the low bit tells paged from non-paged.
    paged: wide || header.type > 2 ? (header.type & 1) === 1 : header.type === 2,
    trust: chained === null ? 'header' : 'chain',
  };
}

function headerAt(view: DataView, wide: boolean, at: number): Header {
  const low = view.getUint32(at, true);
  const tag = tagText(view.getUint32(at + 4, true));
  return wide
    ? { previous: low & 0xff, size: (low >>> 16) & 0xff, type: low >>> 24, tag }
    : { previous: low & 0x1ff, size: (low >>> 16) & 0x1ff, type: low >>> 25, tag };
}

/** Protected tags have the top bit of the last character set. */
function tagText(value: number): string | null {
  let text = '';
  for (let i = 0; i < 4; i++) {
    const byte = (value >>> (8 * i)) & (i === 3 ? 0x7f : 0xff);
    if (byte < 0x20 || byte >= 0x7f) return null;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Offset of the header whose block holds `offset`, if every header before it agrees with the next one. */
function walkChain(view: DataView, wide: boolean, unit: number, offset: number): number | null {
  let previous = 0;
  for (let at = 0; at + unit <= PAGE; ) {
    const header = headerAt(view, wide, at);
    if (header.size === 0 || header.previous !== previous) return null;
    const end = at + header.size * unit;
    if (end > PAGE) return null;
    if (offset < end) {
      if (offset < at + unit || header.tag === null) return null;
      return end === PAGE || headerAt(view, wide, end).previous === header.size ? at : null;
    }
    previous = header.size;
    at = end;
  }
  return null;
}

/** The nearest thing before `offset` that reads as a header of a block which holds it. */
function nearestHeader(view: DataView, wide: boolean, unit: number, offset: number): number | null {
  for (let at = Math.floor(offset / unit) * unit - unit; at >= 0; at -= unit) {
    const header = headerAt(view, wide, at);
    if (header.tag === null || header.size < 2 || header.type > 0x7f) continue;
    const end = at + header.size * unit;
    if (end > PAGE || offset >= end || header.previous * unit > at) continue;
    return at;
  }
  return null;
}
