import { hex, va } from '../brands.ts';
import { u32, u64 } from '../bytes.ts';
import type { ContainerInput } from '../container/container.ts';
import type { DataBlock } from '../dump.ts';
import type { TriageHeader } from './triage-header.ts';

/** The largest of our real dumps has 2667. */
const MAX_BLOCKS = 256 * 1024;

/**
 * TRIAGE_DATA_BLOCK {Address u64, Offset u32, Size u32}, also behind a 32-bit header by the public WDK header; one
 * source has a 12-byte form there, so the stride is decided by which one gives offsets that follow each other.
 */
export function readDataBlocks(input: ContainerInput, triage: TriageHeader): DataBlock[] {
  const { cache, pointerSize, problems } = input;
  const { dataBlocksOffset: at, dataBlocksCount: declared } = triage;
  if (declared === 0 || at === 0) return [];
  const countAt = triage.at + (pointerSize === 8 ? 0x7c : 0x64);
  const stride = pointerSize === 8 ? 16 : blockStride(input, triage);
  const fits = Math.max(0, Math.floor((cache.size - at) / stride));
  const count = Math.min(declared, fits, MAX_BLOCKS);
  if (count < declared) {
    problems.add(
      'triage-block-count',
      `DataBlocksCount is ${declared}, ${count} can be read: memory of the others is missing`,
      countAt,
    );
  }
  const bytes = cache.bytes(at, count * stride);
  const blocks: DataBlock[] = [];
  const top = pointerSize === 8 ? 1n << 64n : 1n << 32n;
  let beyond = 0;
  let first = -1;
  let absurd = 0;
  for (let i = 0; (i + 1) * stride <= bytes.length; i++) {
    const tail = i * stride + stride - 8;
    const raw = stride === 16 ? u64(bytes, i * stride) : BigInt(u32(bytes, i * stride));
    const address = va(pointerSize === 4 ? BigInt.asUintN(32, raw) : raw);
    const block: DataBlock = { address, offset: u32(bytes, tail), size: u32(bytes, tail + 4) };
    if (address + BigInt(block.size) > top) {
      absurd++;
      continue;
    }
    if (block.offset + block.size > cache.size) {
      if (beyond++ === 0) first = at + i * stride;
    }
    blocks.push(block);
  }
  if (beyond > 0) {
    problems.add(
      'triage-block-beyond-end',
      `${beyond} of ${blocks.length} data blocks reach beyond the end of the file (${hex(cache.size)}): their memory is missing`,
      first,
    );
  }
  if (absurd > 0) {
    problems.add('triage-block-absurd', `${absurd} data blocks wrap around the address space: they are ignored`, at);
  }
  return blocks;
}

function blockStride(input: ContainerInput, triage: TriageHeader): 12 | 16 {
  return strideScore(input, triage, 12) > strideScore(input, triage, 16) ? 12 : 16;
}

function strideScore(input: ContainerInput, triage: TriageHeader, stride: number): number {
  const { cache } = input;
  const count = Math.min(triage.dataBlocksCount, 64);
  const bytes = cache.bytes(triage.dataBlocksOffset, count * stride);
  const tableEnd = triage.dataBlocksOffset + triage.dataBlocksCount * stride;
  let score = 0;
  for (let i = 0; (i + 1) * stride <= bytes.length; i++) {
    const offset = u32(bytes, (i + 1) * stride - 8);
    const size = u32(bytes, (i + 1) * stride - 4);
    const upper = stride === 16 ? u32(bytes, i * stride + 4) : 0;
    if (size > 0 && offset >= tableEnd && offset + size <= cache.size && (upper === 0 || upper === 0xffffffff)) score++;
  }
  return score;
}
