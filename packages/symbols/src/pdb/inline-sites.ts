import { u32 } from '../pe/rva-reader.ts';
import { closesScope, opensScope, symbolRecords } from './module-symbols.ts';
import * as S from './symbol-kinds.ts';

/** A range of one inlined call: code offsets from the procedure's start, line relative to the inlinee's first line. */
export interface InlineRange {
  readonly start: number;
  readonly end: number;
  readonly lineOffset: number;
  /** Offset in the file checksums when it is not the inlinee's own file. */
  readonly file: number | null;
}

/** One inlined call. */
export interface InlineSite {
  /** Item id of the function (IPI stream). */
  readonly inlinee: number;
  /** Index of the enclosing site in the list, -1 when it is the procedure itself. */
  readonly parent: number;
  readonly ranges: readonly InlineRange[];
}

/** Inlined calls in the scope of the procedure whose record is at `start` of the module's symbols. */
export function readInlineSites(bytes: Uint8Array, start: number): InlineSite[] {
  const out: InlineSite[] = [];
  /** Site of each open scope, -1 for blocks and the procedure. */
  const open: number[] = [];
  for (const { kind, at, end } of symbolRecords(bytes, start)) {
    if (closesScope(kind)) {
      open.pop();
      if (open.length === 0) break;
      continue;
    }
    if (!opensScope(kind)) continue;
    const parent = open.at(-1) ?? -1;
    if (kind === S.S_INLINESITE || kind === S.S_INLINESITE2) {
      const annotations = at + (kind === S.S_INLINESITE ? 16 : 20);
      if (annotations <= end) {
        out.push({ inlinee: u32(bytes, at + 12), parent, ranges: readAnnotations(bytes, annotations, end) });
        open.push(out.length - 1);
        continue;
      }
    }
    open.push(parent);
  }
  return out;
}

/** Decodes binary annotations: a small program over code offset, line offset and file. */
function readAnnotations(bytes: Uint8Array, at: number, end: number): InlineRange[] {
  const out: InlineRange[] = [];
  let code = 0;
  let line = 0;
  let chunk = 0;
  let file: number | null = null;
  let open: { start: number; lineOffset: number; file: number | null } | null = null;
  const read = (): number => {
    const b = bytes[at] ?? 0;
    if (b < 0x80) {
      at += 1;
      return b;
    }
    if (b < 0xc0) {
      const value = ((b & 0x3f) << 8) | (bytes[at + 1] ?? 0);
      at += 2;
      return value;
    }
    const value =
      ((b & 0x1f) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    at += 4;
    return value;
  };
  const signed = (value: number): number => ((value & 1) !== 0 ? -(value >>> 1) : value >>> 1);
  const close = (where: number): void => {
    if (open !== null && chunk === 0 && where > open.start) out.push({ ...open, end: where });
    open = null;
  };
  const begin = (): void => {
    close(code);
    open = { start: code, lineOffset: line, file };
  };
  while (at < end) {
    const op = read();
    if (op === 0) break;
    if (at >= end) break;
    switch (op) {
      case 1: // code offset, absolute
        code = read();
        break;
      case 2: // the following offsets are in the n-th separated chunk of the function: not resolved
        close(code);
        chunk = read();
        code = 0;
        break;
      case 3:
        code += read();
        begin();
        break;
      case 4: {
        const length = read();
        close(code + length);
        code += length;
        break;
      }
      case 5:
        file = read();
        break;
      case 6:
        line += signed(read());
        break;
      case 11: {
        const value = read();
        line += signed(value >>> 4);
        code += value & 0xf;
        begin();
        break;
      }
      case 12: {
        const length = read();
        code += read();
        begin();
        close(code + length);
        break;
      }
      default: // line end, range kind, columns
        read();
    }
  }
  close(code);
  return out;
}
