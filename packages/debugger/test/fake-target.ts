import { type Arch, type Dump, Memory, type Rva, type Va, va } from '@dumpscope/core';
import { createDisassembler } from '@dumpscope/cpu';
import type { ModuleSymbol, SymbolTable, TypeTable } from '@dumpscope/symbols';
import type { Frame, Module, Name, Processor, Registers, Target, Thread } from '../src/target/model.ts';
import { makeRegisters, trapFrameRecord } from '../src/target/registers.ts';

/** Sparse memory out of byte runs; what is in no run is a gap. */
export class FakeMemory {
  readonly pointerSize: 4 | 8;
  readonly #bytes = new Map<bigint, number>();

  constructor(pointerSize: 4 | 8) {
    this.pointerSize = pointerSize;
  }

  put(address: bigint, bytes: ArrayLike<number>): this {
    for (let i = 0; i < bytes.length; i++) this.#bytes.set(address + BigInt(i), bytes[i] as number);
    return this;
  }

  hex(address: bigint, text: string): this {
    return this.put(
      address,
      (text.match(/../g) ?? []).map((b) => Number.parseInt(b, 16)),
    );
  }

  number(address: bigint, value: bigint | number, size: number): this {
    const bytes: number[] = [];
    for (let i = 0; i < size; i++) bytes.push(Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(i * 8)) & 0xffn));
    return this.put(address, bytes);
  }

  dword(address: bigint, value: bigint | number): this {
    return this.number(address, value, 4);
  }

  readInto(address: Va, into: Uint8Array): number {
    for (let i = 0; i < into.length; i++) {
      const byte = this.#bytes.get(address + BigInt(i));
      if (byte === undefined) return i;
      into[i] = byte;
    }
    return into.length;
  }

  gapAt(address: Va): { address: Va; reason: { kind: 'not-in-dump' } } | null {
    return this.#bytes.has(address) ? null : { address, reason: { kind: 'not-in-dump' } };
  }
}

/** Names of a module by RVA. */
export function fakeSymbols(names: Readonly<Record<string, number>>): SymbolTable {
  const list: ModuleSymbol[] = Object.entries(names)
    .map(([name, rva]) => ({ name, display: name, rva: rva as Rva, isFunction: null, size: null }))
    .sort((a, b) => a.rva - b.rva);
  return {
    origin: 'pdb-public',
    byName: (name) => list.find((s) => s.name === name),
    nearest: (rva) => list.findLast((s) => s.rva <= rva),
    next: (rva) => list.find((s) => s.rva > rva),
    all: () => list,
  };
}

export function fakeModule(
  name: string,
  image: string,
  base: bigint,
  size: number,
  names: Readonly<Record<string, number>> | null,
): Module {
  const symbols = names === null ? null : fakeSymbols(names);
  return {
    name,
    imageName: image,
    imagePath: `\\SystemRoot\\system32\\${image}`,
    base: va(base),
    size,
    timeDateStamp: 0x41107b27,
    checkSum: 0x1f6a3,
    pdb: null,
    debugInfo: symbols === null ? null : { symbols, frameRecord: () => undefined, line: () => undefined },
    symbolOrigin: symbols === null ? null : 'pdb-public',
    functionAt(rva) {
      const found = symbols?.nearest(rva);
      return found === undefined ? null : { start: found.rva, end: null, from: 'symbol' };
    },
  };
}

export interface FakeTargetOptions {
  readonly arch: Arch;
  readonly build: number;
  readonly memory: FakeMemory;
  readonly modules: readonly Module[];
  readonly types: TypeTable;
  readonly threads?: readonly Thread[];
  readonly processors?: readonly Processor[];
  readonly images?: Readonly<Record<string, string>>;
  readonly processFields?: Readonly<Record<string, bigint>>;
  readonly frames?: (start: Registers) => readonly Frame[];
  readonly tickCount?: bigint;
  readonly bugcheck?: Target['bugcheck'];
}

export function fakeFrame(frame: Partial<Frame> & { readonly pc: Va; readonly registers: Registers }): Frame {
  return {
    index: 0,
    sp: va(0n),
    childEbp: null,
    returnAddress: null,
    returnSlot: null,
    extent: null,
    trust: 'frame-data',
    trapFrame: null,
    remark: null,
    args: [],
    stack: 'thread',
    ...frame,
  };
}

export function fakeThread(
  address: bigint,
  known: Partial<Thread>,
  fields: Readonly<Record<string, bigint>> = {},
): Thread {
  return {
    address: va(address),
    process: null,
    owningProcess: null,
    cid: null,
    teb: null,
    win32Thread: null,
    state: null,
    waitReason: null,
    priority: null,
    basePriority: null,
    waitTime: null,
    contextSwitches: null,
    kernelTime: null,
    userTime: null,
    initialStack: null,
    stackBase: null,
    stackLimit: null,
    kernelStack: null,
    nextProcessor: null,
    field: (path) => fields[path] ?? null,
    fieldAddress: (path) => (fields[`&${path}`] === undefined ? null : va(fields[`&${path}`] as bigint)),
    ...known,
  };
}

export function fakeProcessor(number: number, prcb: bigint, known: Partial<Processor> = {}): Processor {
  return {
    number,
    prcb: va(prcb),
    currentThread: null,
    nextThread: null,
    idleThreadAddress: null,
    idleThread: null,
    idle: null,
    idleReason: '',
    dpcRoutineActive: null,
    contextTrust: 'frozen',
    contextReason: '',
    registers: null,
    interrupted: null,
    interruptedFrom: null,
    irql: null,
    stacks: [],
    ...known,
  };
}

export function fakeRegisters(arch: Arch, values: Readonly<Record<string, bigint>>): Registers {
  return makeRegisters(arch, new Map(Object.entries(values)), 'fake', null, false);
}

/** A target out of parts; everything that a part does not say is unknown. */
export function fakeTarget(options: FakeTargetOptions): Target {
  const { arch, modules } = options;
  const pointerSize = arch === 'x86' ? 4 : 8;
  const memory = new Memory(options.memory);
  const moduleAt = (address: bigint): Module | undefined =>
    modules.find((m) => address >= m.base && address < m.base + BigInt(m.size));
  const nameOf = (address: bigint): Name => {
    const module = moduleAt(address);
    if (module === undefined) return { text: `0x${address.toString(16)}`, module: null, symbol: null, displacement: 0 };
    const rva = Number(address - module.base);
    const symbol = module.debugInfo?.symbols.nearest(rva);
    const displacement = rva - (symbol?.rva ?? 0);
    const plus = displacement === 0 && symbol !== undefined ? '' : `+0x${displacement.toString(16)}`;
    return {
      text: symbol === undefined ? `${module.name}${plus}` : `${module.name}!${symbol.display}${plus}`,
      module,
      symbol: symbol ?? null,
      displacement,
    };
  };
  const header = {
    majorVersion: 0xf,
    minorVersion: options.build,
    directoryTableBase: null,
    pfnDatabase: null,
    psLoadedModuleList: va(pointerSize === 4 ? 0x8055ab20n : 0xfffff80122c2a2b0n),
    psActiveProcessHead: null,
    machineImageType: 0x14c,
    numberProcessors: options.processors?.length ?? 1,
    bugCheckCode: 0xe2,
    bugCheckParameters: [0n, 0n, 0n, 0n],
    versionUser: '',
    paeEnabled: true,
    kdDebuggerDataBlock: null,
    dumpType: 1,
    miniDumpFields: null,
    secondaryDataState: null,
    productType: 1,
    suiteMask: 0x110,
    writerStatus: null,
    attributes: null,
    requiredDumpSpace: null,
    systemUpTime: null,
    systemTime: null,
    comment: '',
    exception: null,
    context: null,
    contextOffset: 0,
  } as const;
  const dump = {
    kind: 'full',
    arch,
    pointerSize,
    header,
    name: 'seed.dmp',
    fileSize: 0x10000,
    problems: [],
    complete: true,
    physical: null,
    triage: null,
    blobs: [],
    paging: null,
    memory: () => options.memory,
    overlay: () => {},
    fileBytes: () => new Uint8Array(),
  } as unknown as Dump;
  return {
    dump,
    arch,
    pointerSize,
    memory,
    memoryOf: () => memory,
    layouts: { table: options.types, trust: 'exact', how: 'made up for a test' },
    kdbg: null,
    kdbgNote: '',
    build: null,
    modules,
    unloadedModules: [],
    kernel: modules.find((m) => m.name === 'nt') ?? null,
    moduleAt,
    userModules: () => [],
    nameOf,
    resolve(name) {
      const [left, right] = name.includes('!') ? (name.split('!') as [string, string]) : ['', name];
      const bare = modules.find((m) => m.name === right);
      if (left === '' && bare !== undefined) return bare.base;
      for (const module of modules) {
        if (left !== '' && module.name.toLowerCase() !== left.toLowerCase()) continue;
        const symbol = module.debugInfo?.symbols.byName(right);
        if (symbol !== undefined) return va(module.base + BigInt(symbol.rva));
      }
      return undefined;
    },
    processors: options.processors ?? [],
    processorNote: null,
    currentProcessor: 0,
    bugcheck: options.bugcheck ?? null,
    bugcheckNote: null,
    thread: (address) => options.threads?.find((t) => t.address === address) ?? null,
    process(address) {
      const image = options.images?.[address.toString(16)];
      if (image === undefined) return null;
      return {
        address: va(address),
        image,
        pid: 0x588,
        directoryTableBase: null,
        field: (path) => options.processFields?.[path] ?? null,
        fieldAddress: () => null,
      };
    },
    processes: () => [],
    threadsOf: () => [],
    threads: () => options.threads ?? [],
    listsWhole: () => false,
    time: {
      tickCount: options.tickCount ?? null,
      tickIncrement: 156250,
      tickSource: 'fake',
      systemTime: 0x1c85f2b_00000000n,
      uptime: 25_569_687_500n,
      interruptTime: null,
    },
    trapFrame: (address) => trapFrameRecord(memory, arch, address),
    contextRecord: () => null,
    trapFrameIrql: () => null,
    walkStack: (start, walkOptions) => ({
      frames: (options.frames?.(start) ?? []).slice(0, walkOptions?.limit ?? 256),
      endReason: 'stack-base',
      endText: 'the base of the stack',
    }),
    stackAt: () => null,
    disassembler: createDisassembler(arch),
    code(address, length) {
      const bytes = memory.prefix(address, length);
      return bytes.length === 0 ? null : bytes;
    },
    limits: [],
    requests: [],
  };
}
