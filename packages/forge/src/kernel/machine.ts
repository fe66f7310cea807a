import type { ImageSet } from '../image/image-set.ts';
import { AddressSpace, ForgeError } from '../memory/address-space.ts';
import { evaluate, type Names } from '../scenario/expression.ts';
import type { ProcessorSpec, ProcessSpec, Registers, Scenario, ThreadSpec, Value } from '../scenario/scenario.ts';
import { findCall } from './find-call.ts';
import type { Layout } from './layout.ts';
import { bindImports, type LoadedModule, loadModule } from './loaded-module.ts';
import { Region, type RegionBases, regionsOf } from './regions.ts';
import { StructWriter } from './struct-writer.ts';

export interface ForgedThread {
  readonly key: string;
  readonly spec: ThreadSpec;
  readonly at: bigint;
  readonly process: ForgedProcess;
  readonly tid: number;
  readonly idleOf: number | null;
}

export interface ForgedProcess {
  readonly key: string;
  readonly spec: ProcessSpec;
  readonly at: bigint;
  readonly pid: number;
  readonly threads: ForgedThread[];
  /** User half; null for the System and Idle processes. */
  readonly space: AddressSpace | null;
  readonly listed: boolean;
}

export interface ForgedProcessor {
  readonly number: number;
  readonly spec: ProcessorSpec;
  readonly kpcr: bigint;
  readonly prcb: bigint;
  readonly thread: ForgedThread;
  readonly next: ForgedThread | null;
  readonly idleThread: ForgedThread;
}

/** Writes that need a frame number (CR3, DirectoryTableBase): done once frames are assigned. */
export type Fixup = (directoryOf: (process: ForgedProcess) => bigint) => void;

/**
 * The machine of a scenario: every object has an address before anything is written, so that values may refer to each
 * other in any order.
 */
export class Machine {
  readonly scenario: Scenario;
  readonly layout: Layout;
  readonly pointerSize: 4 | 8;
  readonly build: number;
  readonly pae: boolean;
  readonly kernel: AddressSpace = new AddressSpace('kernel', 'kernel');
  readonly write: StructWriter;
  readonly regions: RegionBases;
  readonly nonPaged: Region;
  readonly paged: Region;
  readonly system: Region;
  readonly userHeap: Region;
  readonly modules: LoadedModule[] = [];
  readonly processes: ForgedProcess[] = [];
  readonly processors: ForgedProcessor[] = [];
  readonly objects: Map<string, { readonly type: string; readonly at: bigint }> = new Map();
  readonly fixups: Fixup[] = [];
  readonly names: Names;
  readonly #threads = new Map<string, ForgedThread>();
  readonly #shift: bigint;
  #moves: { readonly from: bigint; readonly size: bigint; readonly by: bigint }[] = [];

  constructor(scenario: Scenario, layout: Layout, set: ImageSet | null) {
    this.scenario = scenario;
    this.layout = layout;
    this.pointerSize = scenario.arch === 'x86' ? 4 : 8;
    this.build = windowsVersion(scenario.build)[2];
    this.pae = scenario.arch === 'x86' && scenario.pae !== false;
    this.regions = regionsOf(scenario.arch, this.pae, this.build);
    this.nonPaged = new Region(this.regions.nonPaged);
    this.paged = new Region(this.regions.paged);
    this.system = new Region(this.regions.system);
    this.userHeap = new Region(this.regions.userHeap);
    this.write = new StructWriter(layout, this.kernel, this.pointerSize);
    this.names = {
      module: (name) => this.modules.find((m) => m.key.toLowerCase() === name.toLowerCase())?.base,
      symbol: (module, name) => this.symbol(module, name),
      reference: (kind, name, path) => this.#reference(kind, name, path),
      moved: (address) => this.moved(address),
    };
    this.#shift =
      scenario.kdbg?.shift === undefined ? 0n : BigInt.asIntN(64, this.value(scenario.kdbg.shift, 'kdbg.shift'));
    this.#loadModules(set);
    this.#planObjects();
    this.#checkPlaces();
  }

  /** Evaluates a scenario value. */
  value(value: Value, where: string): bigint {
    return evaluate(value, this.names, where);
  }

  number(value: Value, where: string): number {
    const result = this.value(value, where);
    if (result > 0xffff_ffff_ffffn) throw new ForgeError(`${where}: too large`);
    return Number(result);
  }

  valueOr(value: Value | undefined, fallback: bigint, where: string): bigint {
    return value === undefined ? fallback : this.value(value, where);
  }

  registers(registers: Registers, where: string): Map<string, bigint> {
    const out = new Map<string, bigint>();
    for (const [name, value] of Object.entries(registers))
      out.set(name.toLowerCase(), this.value(value, `${where}.${name}`));
    return out;
  }

  moved(address: bigint): bigint {
    for (const move of this.#moves) {
      if (address >= move.from && address < move.from + move.size) return address + move.by;
    }
    return address;
  }

  module(key: string): LoadedModule {
    const found = this.modules.find((m) => m.key.toLowerCase() === key.toLowerCase());
    if (found === undefined) throw new ForgeError(`there is no module "${key}"`);
    return found;
  }

  get nt(): LoadedModule {
    return this.module('nt');
  }

  symbol(moduleName: string, name: string): bigint {
    const module = this.module(moduleName);
    if (module.key === 'nt') {
      const at = this.global(name);
      if (at !== undefined) return at;
    }
    const rva = module.symbols.get(name);
    if (rva === undefined) throw new ForgeError(`module ${moduleName} has no symbol "${name}"`);
    return module.base + BigInt(rva);
  }

  /** Address of an nt name: the image's own symbol, else the build's table, moved by `kdbg.shift`. */
  global(name: string): bigint | undefined {
    const nt = this.nt;
    const own = nt.symbols.get(name);
    if (own !== undefined) return nt.base + BigInt(own);
    const table = this.layout.kernel.global(name);
    return table === undefined ? undefined : nt.base + BigInt(table) + this.#shift;
  }

  thread(name: string): ForgedThread {
    const found = this.#threads.get(name);
    if (found === undefined) throw new ForgeError(`there is no thread "${name}"`);
    return found;
  }

  process(name: string): ForgedProcess {
    const found = this.processes.find((p) => p.key === name);
    if (found === undefined) throw new ForgeError(`there is no process "${name}"`);
    return found;
  }

  /** The address space that holds an address: the kernel's, or the user half of the process. */
  spaceOf(process: string | undefined): AddressSpace {
    if (process === undefined) return this.kernel;
    const space = this.process(process).space;
    if (space === null) throw new ForgeError(`process "${process}" has no user address space`);
    return space;
  }

  #reference(kind: string, name: string, path: string): bigint {
    const place = (type: string, at: bigint): bigint =>
      path === '' ? at : at + BigInt(this.layout.offset(type, path));
    switch (kind) {
      case 'thread':
        return place('_ETHREAD', this.thread(name).at);
      case 'process':
        return place('_EPROCESS', this.process(name).at);
      case 'idle':
        return place('_ETHREAD', this.#processor(name).idleThread.at);
      case 'prcb':
        return place('_KPRCB', this.#processor(name).prcb);
      case 'kpcr':
        return place('_KPCR', this.#processor(name).kpcr);
      case 'object': {
        const object = this.objects.get(name);
        if (object === undefined) throw new ForgeError(`there is no object "${name}"`);
        return place(object.type, object.at);
      }
      case 'after':
        return this.#afterCall(name);
      default:
        throw new ForgeError(`there is no reference "${kind}(…)"`);
    }
  }

  /** `after(nt!PoIdle, nt!PpmIdleExecuteTransition)`: the return address of a call in one function to another. */
  #afterCall(text: string): bigint {
    const [from, to] = text.split(',').map((part) => part.trim());
    const [key, name] = from?.split('!') ?? [];
    if (from === undefined || to === undefined || key === undefined || name === undefined) {
      throw new ForgeError('after(…) takes a calling function and a called one');
    }
    const module = this.module(key);
    const start = Number(this.symbol(key, name) - module.base);
    const target = this.value(to, 'after');
    const rva = findCall(module, start, target);
    if (rva === null) throw new ForgeError(`${from} has no direct call of ${to}`);
    return module.base + BigInt(rva);
  }

  #processor(name: string): ForgedProcessor {
    const found = this.processors.find((p) => String(p.number) === name);
    if (found === undefined) throw new ForgeError(`there is no processor ${name}`);
    return found;
  }

  #loadModules(set: ImageSet | null): void {
    const { scenario } = this;
    const optional = (value: Value | undefined, where: string): number | null =>
      value === undefined ? null : this.number(value, where);
    for (const [key, spec] of Object.entries(scenario.modules)) {
      const where = `modules.${key}`;
      const writtenBase = this.value(spec.base, `${where}.base`);
      const delta = scenario.relocate?.[key];
      const by = delta === undefined ? 0n : BigInt.asIntN(64, this.value(delta, `relocate.${key}`));
      if (writtenBase % 0x1000n !== 0n || by % 0x1000n !== 0n)
        throw new ForgeError(`${where}: base is not page-aligned`);
      const names = new Map<string, number>();
      for (const [name, rva] of Object.entries(spec.names ?? {}))
        names.set(name, this.number(rva, `${where}.names.${name}`));
      const module = loadModule(
        scenario,
        key,
        spec,
        {
          base: writtenBase + by,
          writtenBase,
          size: optional(spec.size, `${where}.size`),
          timeDateStamp: optional(spec.timeDateStamp, `${where}.timeDateStamp`),
          checkSum: optional(spec.checkSum, `${where}.checkSum`),
          entryPoint: optional(spec.entryPoint, `${where}.entryPoint`),
          names,
          minimumSize: key === 'nt' ? this.#kernelSize() : 0,
        },
        set,
      );
      this.modules.push(module);
      if (by !== 0n) this.#moves = [...this.#moves, { from: writtenBase, size: BigInt(module.size), by }];
    }
    this.#checkOverlaps();
    for (const module of this.modules) bindImports(module, this.modules);
  }

  /** nt must be large enough for every variable that the build's table places. */
  #kernelSize(): number {
    const highest = this.layout.kernel.highestGlobal;
    return highest === 0 ? 0 : (highest + Number(this.#shift > 0n ? this.#shift : 0n) + 0x3000) & ~0xfff;
  }

  #checkOverlaps(): void {
    const sorted = [...this.modules].sort((a, b) => (a.base < b.base ? -1 : 1));
    sorted.forEach((module, index) => {
      const next = sorted[index + 1];
      if (next === undefined || next.spec.process !== module.spec.process) return;
      if (module.base + BigInt(module.size) > next.base) {
        throw new ForgeError(`modules.${module.key} (${module.size.toString(16)} bytes) runs into modules.${next.key}`);
      }
    });
  }

  /** Threads, processes and processors do not share memory: an address made for another build's sizes shows here. */
  #checkPlaces(): void {
    const places: { what: string; at: bigint; size: number }[] = [];
    for (const { number, kpcr } of this.processors) {
      places.push({ what: `kpcr(${number})`, at: kpcr, size: this.layout.size('_KPCR') });
    }
    for (const process of this.processes) {
      places.push({ what: `process(${process.key})`, at: process.at, size: this.layout.size('_EPROCESS') });
      for (const thread of process.threads) {
        const what = thread.idleOf === null ? `thread(${thread.key})` : thread.key;
        places.push({ what, at: thread.at, size: this.layout.size('_ETHREAD') });
      }
    }
    places.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
    places.forEach((place, index) => {
      const next = places[index + 1];
      if (next !== undefined && place.at + BigInt(place.size) > next.at) {
        throw new ForgeError(
          `${place.what} at ${place.at.toString(16)} (${place.size.toString(16)} bytes) runs into ${next.what} at ${next.at.toString(16)}`,
        );
      }
    });
  }

  #planObjects(): void {
    const { scenario, layout } = this;
    const ethread = layout.size('_ETHREAD');
    const eprocess = layout.size('_EPROCESS');
    const specs: [string, ProcessSpec][] = Object.entries(scenario.processes);
    if (!specs.some(([, p]) => this.value(p.pid, 'pid') === 4n)) {
      specs.unshift(['System', { pid: 4, image: 'System', threads: {} }]);
    }
    let nextTid = 0x1000;
    for (const [key, spec] of specs) {
      const where = `processes.${key}`;
      const pid = this.number(spec.pid, `${where}.pid`);
      const process: ForgedProcess = {
        key,
        spec,
        at:
          spec.at === undefined
            ? this.nonPaged.take(eprocess + 0x60, 0x20) + 0x60n
            : this.value(spec.at, `${where}.at`),
        pid,
        threads: [],
        space: pid === 4 ? null : new AddressSpace(key, 'user'),
        listed: spec.listed !== false,
      };
      this.processes.push(process);
      for (const [name, thread] of Object.entries(spec.threads ?? {})) {
        const at = `${where}.threads.${name}`;
        const forged: ForgedThread = {
          key: name,
          spec: thread,
          at:
            thread.at === undefined
              ? this.nonPaged.take(ethread + 0x60, 0x20) + 0x60n
              : this.value(thread.at, `${at}.at`),
          process,
          tid: thread.tid === undefined ? (nextTid += 4) : this.number(thread.tid, `${at}.tid`),
          idleOf: null,
        };
        process.threads.push(forged);
        this.#threads.set(name, forged);
      }
    }
    this.#planProcessors(ethread, eprocess);
    for (const [name, object] of Object.entries(scenario.objects ?? {})) {
      const size = Math.max(
        layout.size(object.type),
        object.size === undefined ? 0 : this.number(object.size, `objects.${name}.size`),
      );
      const region = object.pool?.paged === true ? this.paged : this.nonPaged;
      const at =
        object.at === undefined ? region.take(size + 0x10, 0x10) + 0x10n : this.value(object.at, `objects.${name}.at`);
      this.objects.set(name, { type: object.type, at });
    }
    for (const [name, resource] of Object.entries(scenario.resources ?? {})) {
      if (this.objects.has(name)) throw new ForgeError(`resources.${name}: an object has that name`);
      const size = layout.size('_ERESOURCE');
      const at =
        resource.at === undefined
          ? this.nonPaged.take(size + 0x10, 0x10) + 0x10n
          : this.value(resource.at, `resources.${name}.at`);
      this.objects.set(name, { type: '_ERESOURCE', at });
    }
  }

  #planProcessors(ethread: number, eprocess: number): void {
    const { scenario, layout } = this;
    const idleAt = this.global('KiIdleProcess') ?? this.global('KiInitialProcess');
    const idle: ForgedProcess = {
      key: 'Idle',
      spec: { pid: 0, image: 'Idle' },
      at: idleAt ?? this.nonPaged.take(eprocess, 0x20),
      pid: 0,
      threads: [],
      space: null,
      listed: false,
    };
    const order = scenario.processorOrder ?? scenario.processors.map((_, index) => index);
    const kpcrSize = layout.size('_KPCR');
    const prcbOffset = layout.find('_KPCR', 'PrcbData')?.offset ?? layout.offset('_KPCR', 'Prcb');
    order.forEach((old, number) => {
      const spec = scenario.processors[old];
      if (spec === undefined) return;
      const where = `processors[${old}]`;
      const fixed = number === 0 ? this.regions.firstKpcr : null;
      // KPCRs lie at page boundaries; x86 has processor 0's at a fixed address up to Windows 7.
      const kpcr =
        fixed ??
        (spec.kpcr === undefined || this.#isFirst(spec.kpcr)
          ? this.system.take(kpcrSize, 0x1000)
          : this.value(spec.kpcr, `${where}.kpcr`));
      const idleSpec = spec.idle ?? {};
      const idleThread: ForgedThread = {
        key: `idle(${number})`,
        spec: {
          state: 'running',
          priority: 0,
          ...(idleSpec.stack === undefined ? {} : { stack: idleSpec.stack }),
          ...(idleSpec.fields === undefined ? {} : { fields: idleSpec.fields }),
        },
        at:
          idleSpec.at === undefined
            ? (this.#bootIdleThread(number) ?? this.system.take(ethread, 0x40))
            : this.value(idleSpec.at, `${where}.idle.at`),
        process: idle,
        tid: 0,
        idleOf: number,
      };
      idle.threads.push(idleThread);
      const pick = (name: string): ForgedThread => (name === 'idle' ? idleThread : this.thread(name));
      this.processors.push({
        number,
        spec,
        kpcr,
        prcb: kpcr + BigInt(prcbOffset),
        thread: pick(spec.thread),
        next: spec.next === undefined ? null : pick(spec.next),
        idleThread,
      });
    });
    this.processes.unshift(idle);
  }

  /** The boot processor's idle thread is a variable of nt. */
  #bootIdleThread(number: number): bigint | undefined {
    return number === 0 ? (this.global('KiIdleThread0') ?? this.global('KiInitialThread')) : undefined;
  }

  #isFirst(kpcr: Value): boolean {
    return this.regions.firstKpcr !== null && this.value(kpcr, 'kpcr') === this.regions.firstKpcr;
  }
}

/** Major, minor and build of `5.1.2600.5512`, `10.0.19041` or a layout's id, `x64-10.0.19041-89284d0c`. */
export function windowsVersion(build: string): readonly [major: number, minor: number, build: number] {
  const match = /^(?:x86-|x64-)?(\d+)\.(\d+)\.(\d+)/.exec(build);
  if (match === null) throw new ForgeError(`build: "${build}" is not of the form 10.0.19041.329`);
  return [Number(match[1]), Number(match[2]), Number(match[3])];
}
