/*
 * An LZX compressor for tests: greedy matches, all three block types, blocks that span frames. What it writes is read by
 * cabextract and 7-Zip as well as by our decoder, so that it is right by the format and not by our reader.
 */

const FRAME = 0x8000;
const CHARS = 256;
const SLOTS = [30, 32, 34, 36, 38, 42, 50];

class BitWriter {
  readonly out: number[] = [];
  #buffer = 0;
  #count = 0;

  write(value: number, count: number): void {
    for (let i = count - 1; i >= 0; i--) {
      this.#buffer = (this.#buffer << 1) | (Math.floor(value / 2 ** i) & 1);
      if (++this.#count === 16) {
        this.out.push(this.#buffer & 255, this.#buffer >> 8);
        this.#buffer = 0;
        this.#count = 0;
      }
    }
  }

  align(): void {
    if (this.#count > 0) this.write(0, 16 - this.#count);
  }

  /** Padding before raw bytes: a whole word when already aligned. */
  toBytes(): void {
    if (this.#count === 0) this.write(0, 16);
    else this.align();
  }

  bytes(bytes: ArrayLike<number>): void {
    for (let i = 0; i < bytes.length; i++) this.out.push(bytes[i] ?? 0);
  }
}

/** Code lengths of at most `limit` bits: frequencies are flattened until the plain Huffman tree is shallow enough. */
function codeLengths(frequencies: readonly number[], limit: number): Uint8Array {
  let weights = frequencies.slice();
  // A tree of one code is not complete, which some decoders refuse.
  const used = weights.filter((w) => w > 0).length;
  if (used === 1) weights[weights.indexOf(0)] = 1;
  for (;;) {
    const lengths = new Uint8Array(weights.length);
    let nodes = weights.flatMap((weight, symbol) => (weight > 0 ? [{ weight, symbols: [symbol] }] : []));
    while (nodes.length > 1) {
      nodes.sort((a, b) => a.weight - b.weight);
      const [a, b] = nodes;
      if (!a || !b) break;
      const symbols = [...a.symbols, ...b.symbols];
      for (const symbol of symbols) lengths[symbol] = (lengths[symbol] ?? 0) + 1;
      nodes = [{ weight: a.weight + b.weight, symbols }, ...nodes.slice(2)];
    }
    if (lengths.every((length) => length <= limit)) return lengths;
    weights = weights.map((w) => (w > 0 ? Math.floor(w / 2) + 1 : 0));
  }
}

function codes(lengths: Uint8Array): number[] {
  const out = new Array<number>(lengths.length).fill(0);
  let code = 0;
  for (let length = 1; length <= 16; length++) {
    lengths.forEach((l, symbol) => {
      if (l === length) out[symbol] = code++;
    });
    code *= 2;
  }
  return out;
}

function writeLengths(bits: BitWriter, next: Uint8Array, last: Uint8Array, from: number, to: number): void {
  const items: [number, number, number][] = []; // code, extra value, extra bits; -1: a delta that follows 19
  for (let at = from; at < to; ) {
    let run = 1;
    while (at + run < to && next[at + run] === next[at]) run++;
    const delta = ((last[at] ?? 0) - (next[at] ?? 0) + 17) % 17;
    if (next[at] === 0 && run >= 20) {
      run = Math.min(run, 51);
      items.push([18, run - 20, 5]);
    } else if (next[at] === 0 && run >= 4) {
      run = Math.min(run, 19);
      items.push([17, run - 4, 4]);
    } else if (run >= 4) {
      run = Math.min(run, 5);
      items.push([19, run - 4, 1], [delta, 0, 0]);
    } else {
      run = 1;
      items.push([delta, 0, 0]);
    }
    at += run;
  }
  const frequencies = new Array<number>(20).fill(0);
  for (const [code] of items) frequencies[code] = (frequencies[code] ?? 0) + 1;
  const lengths = codeLengths(frequencies, 15);
  const code = codes(lengths);
  for (const length of lengths) bits.write(length, 4);
  for (const [symbol, extra, count] of items) {
    bits.write(code[symbol] ?? 0, lengths[symbol] ?? 0);
    if (count > 0) bits.write(extra, count);
  }
}

export interface LzxBlock {
  readonly type: 'verbatim' | 'aligned' | 'uncompressed';
  readonly size: number;
}

/** Compressed data, one piece a frame of 32768 bytes. `callSize` > 0: x86 calls are made absolute first. */
export function compressLzx(
  input: Uint8Array,
  windowBits: number,
  blocks: readonly LzxBlock[],
  callSize = 0,
): Uint8Array[] {
  const data = input.slice();
  if (callSize > 0) makeCallsAbsolute(data, callSize);
  const slots = SLOTS[windowBits - 15] ?? 0;
  const extra: number[] = [];
  const base: number[] = [];
  for (let slot = 0, at = 0; slot < slots; slot++) {
    extra.push(slot < 4 ? 0 : Math.min(17, (slot >> 1) - 1));
    base.push(at);
    at += 2 ** (extra[slot] ?? 0);
  }
  const mainSize = CHARS + slots * 8;
  const bits = new BitWriter();
  const frameEnds: number[] = [];
  bits.write(callSize > 0 ? 1 : 0, 1);
  if (callSize > 0) {
    bits.write(callSize >>> 16, 16);
    bits.write(callSize & 0xffff, 16);
  }
  let mainLast: Uint8Array = new Uint8Array(mainSize);
  let lengthLast: Uint8Array = new Uint8Array(249);
  let recent: [number, number, number] = [1, 1, 1];
  const seen = new Map<number, number[]>();
  const remember = (at: number): void => {
    if (at + 2 >= data.length) return;
    const key = (data[at] ?? 0) | ((data[at + 1] ?? 0) << 8) | ((data[at + 2] ?? 0) << 16);
    const list = seen.get(key);
    if (list) list.push(at);
    else seen.set(key, [at]);
  };
  const matchLength = (at: number, offset: number, most: number): number => {
    if (offset > at || offset > 2 ** windowBits - 3) return 0;
    let length = 0;
    while (length < most && data[at + length] === data[at + length - offset]) length++;
    return length;
  };

  let at = 0;
  const endFrame = (): void => {
    if (at % FRAME !== 0 && at !== data.length) return;
    bits.align();
    frameEnds.push(bits.out.length);
  };
  for (const block of blocks) {
    const blockEnd = Math.min(data.length, at + block.size);
    const size = blockEnd - at;
    if (size === 0) break;
    bits.write(block.type === 'verbatim' ? 1 : block.type === 'aligned' ? 2 : 3, 3);
    bits.write(size >>> 8, 16);
    bits.write(size & 255, 8);
    if (block.type === 'uncompressed') {
      bits.toBytes();
      for (const r of recent) bits.bytes([r & 255, (r >>> 8) & 255, (r >>> 16) & 255, r >>> 24]);
      while (at < blockEnd) {
        const end = Math.min(blockEnd, (Math.floor(at / FRAME) + 1) * FRAME);
        bits.bytes(data.subarray(at, end));
        for (; at < end; at++) remember(at);
        if (at === blockEnd && size % 2 === 1) bits.bytes([0]);
        endFrame();
      }
      continue;
    }
    // Tokens first: [main symbol, length symbol or -1, position extra bits, their count, at the end of the token]
    const tokens: [number, number, number, number, number][] = [];
    while (at < blockEnd) {
      const most = Math.min(257, blockEnd - at, (Math.floor(at / FRAME) + 1) * FRAME - at);
      let length = 0;
      let offset = 0;
      for (const r of recent) {
        const l = matchLength(at, r, most);
        if (l > length && l >= 2) [length, offset] = [l, r];
      }
      const key = (data[at] ?? 0) | ((data[at + 1] ?? 0) << 8) | ((data[at + 2] ?? 0) << 16);
      for (const candidate of (seen.get(key) ?? []).slice(-24)) {
        const l = matchLength(at, at - candidate, most);
        if (l > length + 1) [length, offset] = [l, at - candidate];
      }
      if (length < 2) {
        tokens.push([data[at] ?? 0, -1, 0, 0, at + 1]);
        remember(at++);
        continue;
      }
      let slot: number;
      let rest = 0;
      const known = recent.indexOf(offset);
      if (known >= 0) {
        slot = known;
        if (known === 1) recent = [recent[1], recent[0], recent[2]];
        if (known === 2) recent = [recent[2], recent[1], recent[0]];
      } else {
        slot = base.findLastIndex((b) => b <= offset + 2);
        rest = offset + 2 - (base[slot] ?? 0);
        recent = [offset, recent[0], recent[1]];
      }
      const head = Math.min(7, length - 2);
      tokens.push([
        CHARS + slot * 8 + head,
        head === 7 ? length - 9 : -1,
        rest,
        known >= 0 ? 0 : (extra[slot] ?? 0),
        at + length,
      ]);
      for (let i = 0; i < length; i++) remember(at++);
    }
    const aligned = block.type === 'aligned';
    const mainCount = new Array<number>(mainSize).fill(0);
    const lengthCount = new Array<number>(249).fill(0);
    const alignedCount = new Array<number>(8).fill(0);
    for (const [main, length, rest, count] of tokens) {
      mainCount[main] = (mainCount[main] ?? 0) + 1;
      if (length >= 0) lengthCount[length] = (lengthCount[length] ?? 0) + 1;
      if (aligned && count >= 3) alignedCount[rest & 7] = (alignedCount[rest & 7] ?? 0) + 1;
    }
    const mainLengths = codeLengths(mainCount, 16);
    const lengthLengths = codeLengths(lengthCount, 16);
    // 7-Zip wants this tree to be complete even where nothing uses it.
    if (!alignedCount.some((n) => n > 0)) alignedCount.fill(1);
    const alignedLengths = codeLengths(alignedCount, 7);
    if (aligned) for (const length of alignedLengths) bits.write(length, 3);
    writeLengths(bits, mainLengths, mainLast, 0, CHARS);
    writeLengths(bits, mainLengths, mainLast, CHARS, mainSize);
    writeLengths(bits, lengthLengths, lengthLast, 0, 249);
    [mainLast, lengthLast] = [mainLengths, lengthLengths];
    const mainCodes = codes(mainLengths);
    const lengthCodes = codes(lengthLengths);
    const alignedCodes = codes(alignedLengths);
    for (const [main, length, rest, count, end] of tokens) {
      bits.write(mainCodes[main] ?? 0, mainLengths[main] ?? 0);
      if (length >= 0) bits.write(lengthCodes[length] ?? 0, lengthLengths[length] ?? 0);
      if (aligned && count >= 3) {
        bits.write(rest >>> 3, count - 3);
        bits.write(alignedCodes[rest & 7] ?? 0, alignedLengths[rest & 7] ?? 0);
      } else if (count > 0) bits.write(rest, count);
      at = end;
      endFrame();
    }
  }
  const all = Uint8Array.from(bits.out);
  return frameEnds.map((end, index) => all.slice(index === 0 ? 0 : frameEnds[index - 1], end));
}

function makeCallsAbsolute(data: Uint8Array, callSize: number): void {
  const view = new DataView(data.buffer);
  for (let start = 0; start < data.length; start += FRAME) {
    const end = Math.min(data.length, start + FRAME) - 10;
    for (let at = start; at < end; at++) {
      if (data[at] !== 0xe8) continue;
      const relative = view.getInt32(at + 1, true);
      if (relative >= -at && relative < callSize - at) view.setInt32(at + 1, relative + at, true);
      else if (relative >= callSize - at && relative < callSize) view.setInt32(at + 1, relative - callSize, true);
      at += 4;
    }
  }
}
