import { type Arch, type Dump, Memory, type Va, va } from '@dumpscope/core';
import { type CodeReader, createDisassembler, type Disassembler } from '@dumpscope/cpu';
import type { SymbolRequest, TypeTable } from '@dumpscope/symbols';
import { readBugcheck } from '../nt/bugcheck.ts';
import { type KdbgLocation, locateKdbg } from '../nt/kdbg-locate.ts';
import type { UnwindPorts } from '../unwind/ports.ts';
import { FRAME_LIMIT, walkStack } from '../unwind/walk.ts';
import { noAnswers, type SymbolAnswers } from './answers.ts';
import { FieldFinder } from './fields.ts';
import { ImageBackedMemory } from './image-memory.ts';
import { trapFrameIrql } from './irql.ts';
import { kernelDataPages } from './kernel-data.ts';
import { emptyTable } from './layout-table.ts';
import { type ChosenLayouts, chooseLayouts } from './layouts.ts';
import { Lazy } from './lazy.ts';
import { LimitList } from './limits.ts';
import type {
  Bugcheck,
  Irql,
  Kdbg,
  Layouts,
  Limit,
  Name,
  Process,
  Registers,
  StackRange,
  StackTrace,
  Target,
  Thread,
  TimeInfo,
  UnloadedModule,
  WalkOptions,
  Wow64Thread,
} from './model.ts';
import { type LoadedModule, makeModules } from './module.ts';
import { kernelFromList, listModules, listUnloaded } from './module-list.ts';
import { bareName, ModuleMap, nameInModule, resolveName } from './naming.ts';
import { searchProcessorBlock } from './prcb-search.ts';
import { locateProcessorBlocks, overlayTriage, type ProcessorBlocks } from './prcbs.ts';
import { KernelProcess } from './process.ts';
import { INTERRUPT_WALK, type KernelProcessor, makeProcessors, type ProcessorList } from './processors.ts';
import { contextRecord, TRAP_EAX_X86, trapFrameRecord } from './registers.ts';
import { inStack } from './stacks.ts';
import { KernelThread } from './thread.ts';
import { ThreadLists } from './thread-lists.ts';
import { ThreadStacks } from './thread-stacks.ts';
import { readTime } from './time.ts';
import { scanForTrapFrame } from './trap-scan.ts';
import { makePorts } from './unwind-ports.ts';
import { isUserAddress, readUserSpace, type UserSpace } from './user-space.ts';
import { type UserThread, userPorts, walkWow64, withWow64 } from './user-stack.ts';
import { wow64Peb } from './wow64.ts';

export interface TargetOptions {
  /** Files besides the dump. */
  readonly answers?: SymbolAnswers;
  /** Layouts to use whatever the dump says; they count as approximate. */
  readonly layout?: TypeTable;
}

/** Opens what is inside a dump. Nothing is read before it is asked for. */
export function openTarget(dump: Dump, options: TargetOptions = {}): Target {
  return new OpenedTarget(dump, options);
}

class OpenedTarget implements Target {
  readonly dump: Dump;
  readonly arch: Arch;
  readonly pointerSize: 4 | 8;
  readonly memory: Memory;
  readonly disassembler: Disassembler;
  readonly code: CodeReader;
  readonly #answers: SymbolAnswers;
  readonly #options: TargetOptions;
  /** The dump's own bytes. */
  readonly #raw: Memory;
  readonly #limits = new LimitList();
  readonly #threads = new Map<bigint, KernelThread>();
  readonly #processes = new Map<bigint, KernelProcess>();
  readonly #memories = new Map<number, Memory>();

  constructor(dump: Dump, options: TargetOptions) {
    this.dump = dump;
    this.arch = dump.arch;
    this.pointerSize = dump.pointerSize;
    this.#options = options;
    this.#answers = options.answers ?? noAnswers;
    this.#raw = new Memory(dump.memory());
    this.memory =
      options.answers === undefined
        ? this.#raw
        : new Memory(
            new ImageBackedMemory(dump.memory(), dump.triage === null ? 0x1000 : 0x40, (address) =>
              this.#moduleMap.get(emptyMap).find(address),
            ),
          );
    this.disassembler = createDisassembler(dump.arch);
    this.code = (address, length) => this.memory.bytes(address, length) ?? null;
  }

  readonly #kernelPlace = new Lazy(() => kernelFromList(this.dump, this.#raw));

  readonly #kdbgLocation = new Lazy((): KdbgLocation => {
    const location = locateKdbg(this.dump, this.#raw, { kernel: this.#kernelPlace.get(), symbol: null });
    if (location.kdbg === null)
      this.#limits.add('KDDEBUGGER_DATA64', location.how, 'the page that holds it, or the PDB of nt', 'processors');
    return location;
  });

  readonly #modules = new Lazy((): readonly LoadedModule[] =>
    makeModules(
      {
        arch: this.arch,
        memory: this.memory,
        answers: this.#answers,
        limits: this.#limits,
        kernelSymbols: () => {
          const layouts = this.#layouts.get(duringChoice);
          return layouts.symbols === null ? null : { table: layouts.symbols, pdb: layouts.pdb };
        },
      },
      listModules(this.dump, this.#raw, this.#kdbgLocation.get().kdbg, this.#limits),
    ),
  );

  readonly #moduleMap = new Lazy(() => new ModuleMap(this.#modules.get()));

  /** Address of the triage dump's own KPRCB; its thread and process become readable as well. */
  readonly #triagePrcb = new Lazy((): Va | null =>
    overlayTriage(this.dump, this.#kdbgLocation.get().kdbg, this.#limits),
  );

  readonly #blocks = new Lazy((): ProcessorBlocks => {
    const triage = this.#triagePrcb.get();
    const kdbg = this.#kdbgLocation.get().kdbg;
    const symbol = kdbg?.pointer('KiProcessorBlock') == null ? this.#kernelSymbol('KiProcessorBlock') : null;
    const found = locateProcessorBlocks(this.dump, this.#raw, kdbg, symbol, triage, () =>
      searchProcessorBlock(this.dump, this.#raw, this.#kernelPlace.get()),
    );
    if (found.note !== null) this.#limits.add('processors', found.note, null, 'processors');
    return found;
  });

  readonly #layouts = new Lazy((): ChosenLayouts => {
    const modules = this.#modules.get();
    const first = modules[0];
    const chosen = chooseLayouts({
      dump: this.dump,
      memory: this.#raw,
      kdbg: this.#kdbgLocation.get().kdbg,
      kernel: first?.isKernel === true ? first : null,
      answers: this.#answers,
      prcbs: this.#blocks.get().blocks,
      override: this.#options.layout ?? null,
    });
    if (chosen.trust !== 'exact')
      this.#limits.add(
        'layouts of kernel structures',
        chosen.trust === 'none' ? chosen.how : `approximate: ${chosen.how}`,
        'the PDB of nt',
      );
    return chosen;
  });

  /** Names from the kernel's PDB or exports only: usable while layouts are being chosen. */
  #kernelSymbol(name: string): Va | null {
    const kernel = this.#modules.get()[0];
    if (kernel?.isKernel !== true) return null;
    const pdb = kernel.mismatch === null ? kernel.openedPdb() : null;
    const symbol = pdb?.debugInfo().symbols.byName(name) ?? kernel.exports?.byName(name);
    return symbol === undefined ? null : va(kernel.base + BigInt(symbol.rva));
  }

  /** A kernel variable by any table of names. */
  #variable(name: string): Va | null {
    const kernel = this.kernel as LoadedModule | null;
    const symbol = kernel?.debugInfo?.symbols.byName(name) ?? kernel?.exports?.byName(name);
    return kernel === null || symbol === undefined ? null : va(kernel.base + BigInt(symbol.rva));
  }

  get layouts(): Layouts {
    return this.#layouts.get();
  }

  get kdbg(): Kdbg | null {
    return this.#kdbgLocation.get().kdbg;
  }

  get kdbgNote(): string {
    return this.#kdbgLocation.get().how;
  }

  readonly #build = new Lazy((): string | null => {
    const at = this.kdbg?.pointer('NtBuildLab') ?? this.#variable('NtBuildLab');
    const bytes = at === null ? new Uint8Array(0) : this.#raw.prefix(at, 64);
    let text = '';
    for (const byte of bytes) {
      if (byte < 0x20 || byte > 0x7e) break;
      text += String.fromCharCode(byte);
    }
    return text === '' ? null : text;
  });

  get build(): string | null {
    return this.#build.get();
  }

  get modules(): readonly LoadedModule[] {
    return this.#modules.get();
  }

  readonly #unloaded = new Lazy(() => listUnloaded(this.dump, this.#raw, this.kdbg));

  get unloadedModules(): readonly UnloadedModule[] {
    return this.#unloaded.get();
  }

  get kernel(): LoadedModule | null {
    const first = this.modules[0];
    return first?.isKernel === true ? first : null;
  }

  moduleAt(address: bigint, process: bigint | null = null): LoadedModule | undefined {
    const module = this.#moduleMap.get().find(address);
    if (module !== undefined || !isUserAddress(this.pointerSize, address) || address < 0x10000n) return module;
    return this.#userSpace(process ?? this.#currentProcess.get())?.map.find(address);
  }

  readonly #currentProcess = new Lazy((): Va | null => {
    const { processors, current } = this.#processorList.get(noProcessors);
    const thread = processors.find((processor) => processor.number === current)?.currentThread ?? null;
    return thread === null ? null : (this.thread(thread)?.process ?? null);
  });

  readonly #userSpaces = new Map<bigint, UserSpace>();

  #userSpace(process: bigint | null): UserSpace | null {
    if (process === null || process === 0n) return null;
    const known = this.#userSpaces.get(process);
    if (known !== undefined) return known;
    const own = this.process(process);
    const peb = own?.field('Peb') ?? null;
    const memory = this.memoryOf(va(process));
    const space = readUserSpace({
      arch: this.arch,
      process: va(process),
      peb: peb === null || peb === 0n ? null : va(peb),
      peb32: this.arch === 'x64' ? wow64Peb(own, memory) : null,
      memory,
      answers: this.#answers,
      limits: this.#limits,
    });
    if (this.#userSpaces.size > 256) this.#userSpaces.clear();
    this.#userSpaces.set(process, space);
    return space;
  }

  userModules(process: bigint): readonly LoadedModule[] {
    return this.#userSpace(process)?.modules ?? [];
  }

  /** The thread whose kernel stack holds `kernelSp`, with the user part of its process. */
  #userThread(kernelSp: bigint): UserThread | null {
    const address = this.stackAt(kernelSp)?.thread ?? null;
    const thread = address === null ? null : this.thread(address);
    const space = this.#userSpace(thread?.process ?? null);
    return thread === null || space === null ? null : { thread, space };
  }

  #userPorts(kernelSp: bigint, userSp: bigint): UnwindPorts | null {
    const user = this.#userThread(kernelSp);
    return user === null ? null : userPorts(user, this.arch, this.disassembler, userSp);
  }

  nameOf(address: bigint, process: bigint | null = null): Name {
    const module = this.moduleAt(address, process);
    return module === undefined ? bareName(address) : nameInModule(module.arch, module, Number(address - module.base));
  }

  resolve(name: string): Va | undefined {
    return resolveName(this.modules, name);
  }

  readonly #bugcheck = new Lazy(() => readBugcheck(this.dump.header));

  get bugcheck(): Bugcheck | null {
    return this.#bugcheck.get().bugcheck;
  }

  get bugcheckNote(): string | null {
    return this.#bugcheck.get().note;
  }

  readonly #processorList = new Lazy((): ProcessorList => {
    const { blocks, triageNumber } = this.#blocks.get();
    const layouts = this.#layouts.get();
    return makeProcessors({
      dump: this.dump,
      arch: this.arch,
      memory: this.memory,
      fields: layouts.fields,
      bugcheck: this.bugcheck,
      bugcheckHappened: this.bugcheck !== null,
      blocks,
      triageNumber,
      thread: (address) => this.thread(address),
      nameOf: (address) => this.nameOf(address),
      scanForTrapFrame: (sp) => {
        const stack = this.stackAt(sp);
        return stack === null ? null : scanForTrapFrame(this.arch, this.#ports.get(), sp, stack.base);
      },
      isCode: (address) => this.#ports.get().place(address) === 'code',
      stackAt: (address) => this.stackAt(address),
      walk: (start) => this.walkStack(start, { limit: INTERRUPT_WALK }),
      trapFrame: (address) => this.trapFrame(address),
      contextRecord: (address) => this.contextRecord(address),
      processors: () => this.processors,
    });
  });

  get processors(): readonly KernelProcessor[] {
    return this.#processorList.get().processors;
  }

  get processorNote(): string | null {
    return this.#blocks.get().note;
  }

  get currentProcessor(): number {
    return this.#processorList.get().current;
  }

  thread(address: bigint): KernelThread | null {
    if (address === 0n) return null;
    let thread = this.#threads.get(address);
    if (thread === undefined) {
      thread = new KernelThread(this.memory, this.#layouts.get().fields, address);
      if (this.#threads.size > 50000) this.#threads.clear();
      this.#threads.set(address, thread);
    }
    return thread;
  }

  process(address: bigint): KernelProcess | null {
    if (address === 0n) return null;
    let process = this.#processes.get(address);
    if (process === undefined) {
      process = new KernelProcess(this.memory, this.#layouts.get().fields, address);
      if (this.#processes.size > 20000) this.#processes.clear();
      this.#processes.set(address, process);
    }
    return process;
  }

  memoryOf(process: Va): Memory {
    const base = this.dump.physical === null ? null : (this.process(process)?.directoryTableBase ?? null);
    if (base === null) return this.memory;
    let memory = this.#memories.get(base);
    if (memory === undefined) {
      memory = new Memory(this.dump.memory(base));
      if (this.#memories.size > 256) this.#memories.clear();
      this.#memories.set(base, memory);
    }
    return memory;
  }

  readonly #lists = new Lazy(
    () =>
      new ThreadLists({
        memory: this.memory,
        fields: this.#layouts.get().fields,
        limits: this.#limits,
        processHead: this.kdbg?.pointer('PsActiveProcessHead') ?? this.dump.header.psActiveProcessHead,
        processors: () => this.processors,
        process: (address) => this.process(address),
        thread: (address) => this.thread(address),
      }),
  );

  processes(): readonly Process[] {
    return this.#lists.get().processes();
  }

  threadsOf(process: Process): readonly Thread[] {
    return this.#lists.get().threadsOf(process);
  }

  threads(): readonly Thread[] {
    return this.#lists.get().threads();
  }

  listsWhole(process?: Process): boolean {
    return this.#lists.get().whole(process);
  }

  readonly #time = new Lazy(() =>
    readTime({ dump: this.dump, memory: this.memory, kdbg: this.kdbg, symbol: (name) => this.#variable(name) }),
  );

  get time(): TimeInfo {
    return this.#time.get();
  }

  trapFrame(address: bigint): Registers | null {
    return trapFrameRecord(this.memory, this.arch, address, this.#trapFrameEax());
  }

  #trapFrameEax(): number {
    const field = this.arch === 'x86' ? this.#layouts.get().fields.find('_KTRAP_FRAME', 'Eax') : undefined;
    return field?.offset ?? TRAP_EAX_X86;
  }

  contextRecord(address: bigint): Registers | null {
    return contextRecord(this.memory, this.arch, address, `context record ${address.toString(16)}`);
  }

  trapFrameIrql(address: bigint): Irql | null {
    const x86 =
      this.arch === 'x86' ? (this.#layouts.get().fields.find('_KTRAP_FRAME', 'PreviousIrql')?.offset ?? null) : null;
    return trapFrameIrql(this.memory, this.arch, address, x86);
  }

  readonly #dataPages = new Lazy(() => kernelDataPages(this.kdbg, this.kernel?.size ?? 0));

  readonly #ports = new Lazy(
    (): UnwindPorts =>
      makePorts({
        arch: this.arch,
        memory: this.memory,
        code: this.code,
        disassembler: this.disassembler,
        moduleAt: (address) => this.moduleAt(address),
        stackAt: (address) => this.stackAt(address),
        trapFrameEax: () => this.#trapFrameEax(),
        isKnownData: (module, address) => {
          if (!module.isKernel) return false;
          if (this.#dataPages.get().has(Number((address - module.base) >> 12n))) return true;
          // The boot processor's KPCR lies in nt's data up to 8.1.
          return this.#blocks
            .get()
            .blocks.some((prcb) => prcb !== null && address >= prcb - 0x180n && address < prcb + 0x5000n);
        },
        pcrs: () => this.#blocks.get().blocks.flatMap((prcb) => (prcb === null ? [] : [va(prcb - 0x120n)])),
      }),
  );

  walkStack(start: Registers, options: WalkOptions = {}): StackTrace {
    const given = options.stack;
    const ports = this.#ports.get();
    const within: UnwindPorts =
      given === undefined
        ? ports
        : { ...ports, stackBounds: (address) => (inStack(given, address) ? given : ports.stackBounds(address)) };
    const limit = Math.max(1, Math.min(options.limit ?? FRAME_LIMIT, FRAME_LIMIT));
    const trace = walkStack({
      ports: within,
      arch: this.arch,
      start,
      limit,
      userPorts: (kernelSp, userSp) => this.#userPorts(kernelSp, userSp),
      stackKind: (sp) =>
        given !== undefined && inStack(given, sp) ? given.kind : (this.stackAt(sp)?.kind ?? 'unknown'),
    });
    return this.arch === 'x64' ? withWow64(trace, (sp) => this.#userThread(sp), limit) : trace;
  }

  wow64(address: bigint): Wow64Thread | null {
    const thread = this.thread(address);
    const space = this.#userSpace(thread?.process ?? null);
    if (thread === null || thread.teb === null || space === null || space.memory32 === null) return null;
    return {
      memory: space.memory32,
      walk: (start, options = {}) => {
        const limit = Math.max(1, Math.min(options.limit ?? FRAME_LIMIT, FRAME_LIMIT));
        return walkWow64({ thread, space }, start, limit) ?? { frames: [], endReason: 'unreadable', endText: '' };
      },
    };
  }

  /** Stacks of processors first, then of all threads that lists lead to. */
  stackAt(address: bigint): StackRange | null {
    for (const processor of this.#processorList.get(noProcessors).processors)
      for (const range of processor.stacks) if (inStack(range, address)) return range;
    return this.#threadStacks.find(this, address);
  }

  readonly #threadStacks = new ThreadStacks();

  get limits(): readonly Limit[] {
    return this.#limits.items;
  }

  get requests(): readonly SymbolRequest[] {
    const out: SymbolRequest[] = [];
    for (const module of this.modules) {
      const pdb = module.pdbRequest();
      const image = module.image === null ? module.imageRequest() : null;
      // A triage dump holds no RSDS record: the image comes first, its PDB's GUID from it.
      if (pdb !== null && (module.openedPdb() === null || module.mismatch !== null)) out.push(pdb);
      if (image !== null) out.push(image);
    }
    return out;
  }
}

const emptyMap = new ModuleMap([]);
const noProcessors: ProcessorList = { processors: [], current: 0 };
/** Answers questions about layouts that come up while they are being chosen: nothing is known yet. */
const duringChoice: ChosenLayouts = {
  table: emptyTable(8),
  trust: 'none',
  how: 'being chosen',
  fields: new FieldFinder(emptyTable(8), null),
  symbols: null,
  pdb: null,
};
