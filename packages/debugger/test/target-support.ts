import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Arch,
  type Dump,
  type DumpHeader,
  Memory,
  type MemoryGap,
  type MemoryReader,
  type Va,
} from '@dumpscope/core';
import type { FunctionLookup, RegisterMap, UnwindPorts } from '../src/unwind/ports.ts';

/** Sparse memory for unwinder tests; only bytes that were put are there. */
export class SparseMemory implements MemoryReader {
  readonly pointerSize: 4 | 8;
  readonly #bytes = new Map<bigint, number>();

  constructor(pointerSize: 4 | 8) {
    this.pointerSize = pointerSize;
  }

  readInto(address: Va, into: Uint8Array): number {
    for (let i = 0; i < into.length; i++) {
      const byte = this.#bytes.get(address + BigInt(i));
      if (byte === undefined) return i;
      into[i] = byte;
    }
    return into.length;
  }

  gapAt(address: Va): MemoryGap | null {
    return this.#bytes.has(address) ? null : { address, reason: { kind: 'not-in-dump' } };
  }

  put(address: bigint, bytes: Uint8Array | readonly number[]): this {
    for (const [i, byte] of [...bytes].entries()) this.#bytes.set(address + BigInt(i), byte);
    return this;
  }

  hex(address: bigint, text: string): this {
    return this.put(
      address,
      Uint8Array.from(text.replace(/\s/g, '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
    );
  }

  u32(address: bigint, ...values: number[]): this {
    const view = new DataView(new ArrayBuffer(4));
    for (const [i, value] of values.entries()) {
      view.setUint32(0, value >>> 0, true);
      this.put(address + BigInt(i * 4), new Uint8Array(view.buffer));
    }
    return this;
  }

  u64(address: bigint, ...values: bigint[]): this {
    const view = new DataView(new ArrayBuffer(8));
    for (const [i, value] of values.entries()) {
      view.setBigUint64(0, BigInt.asUintN(64, value), true);
      this.put(address + BigInt(i * 8), new Uint8Array(view.buffer));
    }
    return this;
  }
}

export interface FakePorts {
  readonly memory: SparseMemory;
  /** Address ranges that are code of a module. */
  readonly code: readonly (readonly [bigint, bigint])[];
  readonly lookup?: (pc: bigint) => FunctionLookup;
  readonly frameRecord?: UnwindPorts['frameRecord'];
  readonly functionStart?: UnwindPorts['functionStart'];
  readonly stack?: { readonly limit: bigint; readonly base: bigint };
  readonly disassembler?: UnwindPorts['disassembler'];
}

export function fakePorts(input: FakePorts): UnwindPorts {
  const memory = new Memory(input.memory);
  return {
    memory,
    code: (address, length) => memory.bytes(address, length) ?? null,
    lookup: input.lookup ?? (() => ({ kind: 'unknown', why: 'test' })),
    place: (pc) => (input.code.some(([low, high]) => pc >= low && pc < high) ? 'code' : 'none'),
    frameRecord: input.frameRecord ?? (() => undefined),
    functionStart: input.functionStart ?? (() => null),
    stackBounds: (address) =>
      input.stack !== undefined && address >= input.stack.limit && address < input.stack.base ? input.stack : null,
    ...(input.disassembler === undefined ? {} : { disassembler: input.disassembler }),
  };
}

export function registerMap(values: Record<string, bigint>): RegisterMap {
  return new Map(Object.entries(values));
}

export const here: string = dirname(fileURLToPath(import.meta.url));
/** ../shared next to the repository; null where it is absent. */
export const shared: string | null = (() => {
  const path = process.env['DUMPSCOPE_SHARED'] ?? join(here, '..', '..', '..', '..', 'shared');
  if (existsSync(path)) return path;
  console.log(`skipped: ${path} is not there`);
  return null;
})();

const noHeader: DumpHeader = {
  majorVersion: 0xf,
  minorVersion: 19041,
  directoryTableBase: null,
  pfnDatabase: null,
  psLoadedModuleList: null,
  psActiveProcessHead: null,
  machineImageType: 0x8664,
  numberProcessors: 1,
  bugCheckCode: 0,
  bugCheckParameters: [0n, 0n, 0n, 0n],
  versionUser: '',
  paeEnabled: null,
  kdDebuggerDataBlock: null,
  dumpType: 1,
  miniDumpFields: null,
  secondaryDataState: null,
  productType: null,
  suiteMask: null,
  writerStatus: null,
  attributes: null,
  requiredDumpSpace: null,
  systemUpTime: null,
  systemTime: null,
  bootId: null,
  comment: '',
  kdSecondaryVersion: null,
  physicalMemoryBlock: null,
  exception: null,
  exceptionOffset: 0,
  context: null,
  contextOffset: 0,
  size: 0x2000,
};

/** A dump of pages whose virtual memory is `memory`, for what lies above containers and translation. */
export function fakeDump(arch: Arch, memory: MemoryReader, header: Partial<DumpHeader>): Dump {
  return {
    kind: 'full',
    arch,
    pointerSize: memory.pointerSize,
    header: { ...noHeader, ...header },
    name: 'fake',
    fileSize: 0x100000,
    problems: [],
    complete: true,
    physical: { pageCount: 1, readInto: () => 0, pageOffset: () => -1 },
    triage: null,
    blobs: [],
    paging: null,
    memory: () => memory,
    overlay: () => {},
    fileBytes: () => new Uint8Array(0),
  };
}

/** KLDR_DATA_TABLE_ENTRY records of a 64-bit kernel, linked to `head`. */
export function putModuleList(
  memory: SparseMemory,
  head: bigint,
  at: bigint,
  modules: readonly { readonly name: string; readonly base: bigint; readonly size: number }[],
): void {
  const entries = modules.map((_, i) => at + BigInt(i) * 0x200n);
  const ring = [head, ...entries];
  for (const [i, link] of ring.entries()) {
    memory.u64(link, ring[(i + 1) % ring.length] ?? head, ring[(i + ring.length - 1) % ring.length] ?? head);
  }
  for (const [i, module] of modules.entries()) {
    const entry = entries[i] ?? 0n;
    memory.put(entry + 0x10n, new Uint8Array(0x90));
    memory.u64(entry + 0x30n, module.base, 0n).u32(entry + 0x40n, module.size);
    const name = entry + 0x100n;
    memory.put(
      name,
      [...module.name].flatMap((c) => [c.charCodeAt(0), 0]),
    );
    for (const string of [0x48n, 0x58n])
      memory
        .u32(entry + string, module.name.length * 2 + (module.name.length * 2 + 2) * 0x10000)
        .u64(entry + string + 8n, name);
  }
}
