import { hex } from '../brands.ts';
import type { ContainerInput } from '../container/container.ts';
import type { DataBlock, TriageData } from '../dump.ts';
import { readDataBlocks } from './data-blocks.ts';
import { readDrivers, readUnloadedDrivers } from './drivers.ts';
import { OverlayMemory } from './overlay-memory.ts';
import type { Region } from './segment-map.ts';
import { parseTriageHeader, TRGD, type TriageHeader, triageHeaderSize } from './triage-header.ts';

export interface OpenTriage {
  readonly data: TriageData;
  readonly memory: OverlayMemory;
  readonly header: TriageHeader;
}

/** Whether the bytes behind the header are a triage dump, whatever DumpType says. */
export function looksTriage(input: ContainerInput): boolean {
  const triage = parseTriageHeader(input.cache, input.header.size, input.pointerSize);
  return triage.validOffset > input.header.size && input.cache.u32(triage.validOffset) === TRGD;
}

/** Small memory dump (type 4): pieces of virtual memory and copies of some structures. */
export function openTriage(input: ContainerInput): OpenTriage {
  const { cache, pointerSize, problems } = input;
  const header = parseTriageHeader(cache, input.header.size, pointerSize);
  if (input.header.size + triageHeaderSize(pointerSize) > cache.size) {
    problems.add('truncated-file', `the file ends at ${hex(cache.size)}, within the triage header`, input.header.size);
  } else {
    checkExtents(input, header);
  }
  const blocks = readDataBlocks(input, header);
  const dataPage = dataPageOf(input, header);
  const data: TriageData = {
    options: header.options,
    sizeOfDump: header.sizeOfDump,
    servicePackBuild: header.servicePackBuild,
    topOfStack: header.topOfStack,
    callStackOffset: header.callStackOffset,
    callStackSize: header.callStackSize,
    dataPage,
    prcbOffset: header.prcbOffset,
    processOffset: header.processOffset,
    threadOffset: header.threadOffset,
    brokenDriverOffset: header.brokenDriverOffset,
    mmOffset: header.mmOffset,
    kdbgOffset: header.debuggerDataOffset,
    kdbgSize: header.debuggerDataSize,
    blocks,
    drivers: readDrivers(input, header),
    unloaded: readUnloadedDrivers(input, header),
  };
  return { data, header, memory: new OverlayMemory(cache, pointerSize, regions(input, header, blocks, dataPage)) };
}

/** Priority: stack, data page, data blocks, then the copy of KDDEBUGGER_DATA64 at its own address. */
function regions(
  input: ContainerInput,
  header: TriageHeader,
  blocks: readonly DataBlock[],
  dataPage: DataBlock | null,
): Region[] {
  const all: Region[] = [];
  const top = input.pointerSize === 8 ? 1n << 64n : 1n << 32n;
  const add = (address: bigint, offset: number, size: number): void => {
    if (address !== 0n && offset !== 0 && address + BigInt(size) <= top) all.push({ address, offset, size });
  };
  add(header.topOfStack, header.callStackOffset, header.callStackSize);
  if (dataPage !== null) add(dataPage.address, dataPage.offset, dataPage.size);
  for (const block of blocks) add(block.address, block.offset, block.size);
  const kdbg = input.header.kdDebuggerDataBlock;
  if (kdbg !== null) add(kdbg, header.debuggerDataOffset, header.debuggerDataSize);
  return all;
}

function dataPageOf(input: ContainerInput, header: TriageHeader): DataBlock | null {
  if (header.dataPageOffset === 0 || header.dataPageSize === 0) return null;
  if (header.dataPageOffset >= input.cache.size) return null;
  return { address: header.dataPageAddress, offset: header.dataPageOffset, size: header.dataPageSize };
}

/**
 * RequiredDumpSpace exceeds the size of most intact triage dumps (five of eight real ones) and proves nothing: the
 * file is truncated when a structure of it reaches beyond the end, or the TRGD trailer is missing.
 */
function checkExtents(input: ContainerInput, header: TriageHeader): void {
  const { cache, problems, pointerSize } = input;
  const tail = header.at + (pointerSize === 8 ? 0x68 : 0x50);
  const extents: [string, number, number, number][] = [
    ['unloaded driver list', header.unloadedDriversOffset, pointerSize, header.at + 0x18],
    ['PRCB', header.prcbOffset, 1, header.at + 0x1c],
    ['process', header.processOffset, 1, header.at + 0x20],
    ['thread', header.threadOffset, 1, header.at + 0x24],
    ['call stack', header.callStackOffset, header.callStackSize, header.at + 0x28],
    ['driver list', header.driverListOffset, header.driverCount * (pointerSize === 8 ? 0x90 : 0x4c), header.at + 0x30],
    ['string pool', header.stringPoolOffset, header.stringPoolSize, header.at + 0x38],
    ['data page', header.dataPageOffset, header.dataPageSize, tail],
    ['debugger data', header.debuggerDataOffset, header.debuggerDataSize, tail + 8],
  ];
  for (const [what, offset, size, field] of extents) {
    if (offset === 0 || size === 0 || offset + size <= cache.size) continue;
    problems.add(
      'triage-structure-beyond-end',
      `the ${what} (${hex(offset)}, ${hex(size)} bytes) reaches beyond the end of the file (${hex(cache.size)}): what lies there is missing`,
      field,
    );
  }
  if (cache.u32(header.validOffset) === TRGD) return;
  if (header.validOffset + 4 > cache.size) {
    problems.add(
      'truncated-file',
      `the file has ${hex(cache.size)} bytes, its triage part should have ${hex(Math.max(header.sizeOfDump, header.validOffset + 4))}: memory behind the end is missing`,
      header.at + 4,
    );
  } else {
    problems.add(
      'triage-trailer-missing',
      `no TRGD at ${hex(header.validOffset)}: the dump was not written to its end, or its header is damaged`,
      header.at + 8,
    );
  }
}
