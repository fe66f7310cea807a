import { CabError } from './cab-error.ts';
import { Huffman } from './huffman.ts';
import { LzxBits } from './lzx-bits.ts';

const FRAME = 0x8000;
const MINIMUM_MATCH = 2;
const CHARS = 256;
const LENGTHS = 249;
// Position slots by window size, 2^15 … 2^21.
const SLOTS = [30, 32, 34, 36, 38, 42, 50] as const;

const extraBits = new Uint8Array(51);
const positionBase = new Uint32Array(51);
for (let slot = 0, base = 0; slot < 51; slot++) {
  extraBits[slot] = slot < 4 ? 0 : Math.min(17, (slot >> 1) - 1);
  positionBase[slot] = base;
  base += 2 ** (extraBits[slot] ?? 0);
}

/**
 * Expands LZX data of a cabinet folder (all its blocks joined) to exactly `size` bytes. `windowBits` is 15 to 21. Throws
 * CabError for data that is damaged, truncated, or goes beyond `size`.
 */
export function expandLzx(data: Uint8Array, windowBits: number, size: number): Uint8Array {
  const slots = SLOTS[windowBits - 15];
  if (slots === undefined) throw new CabError(`an LZX window of 2^${windowBits} bytes is not one that cabinets have`);
  const mainSize = CHARS + slots * 8;
  const windowSize = 2 ** windowBits;
  const bits = new LzxBits(data);
  // Grows with what is decoded: `size` is what the cabinet claims.
  let out = new Uint8Array(Math.min(size, Math.max(FRAME, data.length * 4)));
  const mainLengths = new Uint8Array(mainSize);
  const lengthLengths = new Uint8Array(LENGTHS);
  const alignedLengths = new Uint8Array(8);
  const mainTree = new Huffman('main tree', mainSize);
  const lengthTree = new Huffman('length tree', LENGTHS);
  const alignedTree = new Huffman('aligned offset tree', 8);
  const preTree = new Huffman('pre-tree', 20);
  const preLengths = new Uint8Array(20);

  const readLengths = (lengths: Uint8Array, from: number, to: number): void => {
    for (let i = 0; i < 20; i++) preLengths[i] = bits.read(4);
    preTree.build(preLengths, 20);
    for (let at = from; at < to; ) {
      const code = preTree.read(bits);
      let run = 1;
      let value = 0;
      if (code === 17) run = 4 + bits.read(4);
      else if (code === 18) run = 20 + bits.read(5);
      else {
        let delta = code;
        if (code === 19) {
          run = 4 + bits.read(1);
          delta = preTree.read(bits);
        }
        if (delta > 16) throw new CabError(`the LZX data has a code length that is none (byte ${bits.position})`);
        value = ((lengths[at] ?? 0) - delta + 17) % 17;
      }
      if (at + run > to) throw new CabError(`the LZX data has more code lengths than codes (byte ${bits.position})`);
      lengths.fill(value, at, at + run);
      at += run;
    }
  };

  let r0 = 1;
  let r1 = 1;
  let r2 = 1;
  let blockType = 0;
  let blockLeft = 0;
  let oddBlock = false;
  // The size that call instructions were translated with; 0: they were not.
  const callSize = bits.read(1) === 1 ? bits.read(16) * 0x10000 + bits.read(16) : 0;

  const startBlock = (): void => {
    if (oddBlock) bits.skipByte();
    oddBlock = false;
    blockType = bits.read(3);
    blockLeft = bits.read(16) * 256 + bits.read(8);
    if (blockType === 1 || blockType === 2) {
      if (blockType === 2) {
        for (let i = 0; i < 8; i++) alignedLengths[i] = bits.read(3);
        alignedTree.build(alignedLengths, 8);
      }
      readLengths(mainLengths, 0, CHARS);
      readLengths(mainLengths, CHARS, mainSize);
      mainTree.build(mainLengths, mainSize);
      readLengths(lengthLengths, 0, LENGTHS);
      lengthTree.build(lengthLengths, LENGTHS);
    } else if (blockType === 3) {
      bits.toBytes();
      const recent = new Uint8Array(12);
      bits.bytes(recent, 0, 12);
      const view = new DataView(recent.buffer);
      r0 = view.getUint32(0, true);
      r1 = view.getUint32(4, true);
      r2 = view.getUint32(8, true);
      oddBlock = blockLeft % 2 === 1;
    } else {
      throw new CabError(`the LZX data has a block of the unknown type ${blockType} (byte ${bits.position})`);
    }
  };

  let at = 0;
  let empty = 0;
  while (at < size) {
    const frameEnd = Math.min(size, at + FRAME);
    if (frameEnd > out.length) {
      const larger = new Uint8Array(Math.min(size, Math.max(frameEnd, out.length * 2)));
      larger.set(out);
      out = larger;
    }
    while (at < frameEnd) {
      if (blockLeft === 0) {
        startBlock();
        if (blockLeft === 0 && ++empty > 16)
          throw new CabError(`the LZX data has only empty blocks (byte ${bits.position})`);
        continue;
      }
      empty = 0;
      const end = Math.min(frameEnd, at + blockLeft);
      const start = at;
      if (blockType === 3) {
        bits.bytes(out, at, end - at);
        at = end;
      }
      while (at < end) {
        const symbol = mainTree.read(bits);
        if (symbol < CHARS) {
          out[at++] = symbol;
          continue;
        }
        let length = (symbol - CHARS) & 7;
        if (length === 7) length += lengthTree.read(bits);
        length += MINIMUM_MATCH;
        const slot = (symbol - CHARS) >> 3;
        let offset: number;
        if (slot === 0) {
          offset = r0;
        } else if (slot === 1) {
          offset = r1;
          r1 = r0;
          r0 = offset;
        } else if (slot === 2) {
          offset = r2;
          r2 = r0;
          r0 = offset;
        } else {
          const extra = extraBits[slot] ?? 0;
          offset = (positionBase[slot] ?? 0) - 2;
          if (blockType === 2 && extra >= 3) offset += bits.read(extra - 3) * 8 + alignedTree.read(bits);
          else offset += bits.read(extra);
          r2 = r1;
          r1 = r0;
          r0 = offset;
        }
        if (offset > at || offset > windowSize || offset === 0) {
          throw new CabError(`the LZX data refers to ${offset} bytes before byte ${at} of the file`);
        }
        if (at + length > end)
          throw new CabError(`the LZX data has a match that runs over its block or frame (byte ${at})`);
        let from = at - offset;
        if (offset >= length) {
          out.copyWithin(at, from, from + length);
          at += length;
        } else {
          for (const stop = at + length; at < stop; ) out[at++] = out[from++] ?? 0;
        }
      }
      blockLeft -= at - start;
    }
    bits.align();
  }
  if (callSize !== 0) undoCalls(out.subarray(0, size), callSize);
  return out.length === size ? out : out.slice(0, size);
}

/**
 * The encoder made the targets of x86 calls absolute, in each frame but its last 10 bytes, for the first 32768 frames. An
 * E8 that is in the last 10 bytes of a frame, or whose target is out of range, was left alone.
 */
function undoCalls(out: Uint8Array, callSize: number): void {
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  const limit = callSize | 0;
  for (let frame = 0, start = 0; start < out.length && frame < 0x8000; frame++, start += FRAME) {
    const end = Math.min(out.length, start + FRAME) - 10;
    for (let at = start; at < end; at++) {
      if (out[at] !== 0xe8) continue;
      const absolute = view.getInt32(at + 1, true);
      if (absolute >= -at && absolute < limit) {
        view.setInt32(at + 1, absolute >= 0 ? absolute - at : absolute + limit, true);
      }
      at += 4;
    }
  }
}
