import { type Arch, PAGE_SIZE } from '@dumpscope/core';
import type { DumpInput, HeaderInput } from './container/dump-input.ts';
import { writeBitmapDump, writeFullDump, writeRangeDump, writeSummaryDump } from './container/page-dumps.ts';
import { MemorySink, type Sink } from './container/sink.ts';
import { writeTriageDump } from './container/triage.ts';
import { type ImageProvider, openImageSet } from './image/image-set.ts';
import type { KernelLayout } from './kernel/layout.ts';
import { Layout } from './kernel/layout.ts';
import { builtinKernelLayout } from './kernel/layout-source.ts';
import { MACHINE } from './kernel/loaded-module.ts';
import { type ForgedProcess, Machine } from './kernel/machine.ts';
import { hexToBytes } from './kernel/struct-writer.ts';
import { writeContents, writeLists, writeObjects } from './kernel/write-contents.ts';
import { writeModules } from './kernel/write-modules.ts';
import { writeProcesses } from './kernel/write-processes.ts';
import { type SavedProcessor, writeProcessors } from './kernel/write-processors.ts';
import {
  type KdbgPlace,
  type SystemTimes,
  systemTimes,
  writeKdbg,
  writePhysicalTotals,
  writeSystem,
} from './kernel/write-system.ts';
import { ForgeError, type Mapping, vpnOf } from './memory/address-space.ts';
import { assignFrames, type PhysicalLayout } from './memory/frames.ts';
import { directoryTableBase, PageTables, type PrototypeSlot, residentPages } from './memory/page-tables.ts';
import { ARM64_PAGING, PAE_PAGING, type PagingFormat, X86_PAGING, x64Paging } from './memory/paging.ts';
import type { DropSpec, Scenario } from './scenario/scenario.ts';

export interface ForgeOptions {
  /** Writes the dump here; without it `bytes` of the result holds it. */
  readonly sink?: Sink;
  /** Layouts by build; the built-in tables when absent. */
  readonly layoutOf?: (arch: Arch, build: string, pae: boolean) => KernelLayout;
}

export interface SymbolFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface ForgeResult {
  readonly size: number;
  /** Null when a sink took the dump. */
  readonly bytes: Uint8Array | null;
  /** Images and PDBs of the scenario's modules, for `-y`. */
  readonly symbols: readonly SymbolFile[];
  /** Where things are, by reference name (`thread(spin)`, `prcb(0)`, `hal`): for tests and docs. */
  readonly layoutMap: ReadonlyMap<string, bigint>;
}

function pagingOf(m: Machine): PagingFormat {
  switch (m.scenario.arch) {
    case 'x86':
      return m.pae ? PAE_PAGING : X86_PAGING;
    case 'x64':
      return x64Paging(m.scenario.levels ?? 4, m.build);
    case 'arm64':
      return ARM64_PAGING;
  }
}

function applyDrops(m: Machine): PrototypeSlot[] {
  const prototypes: PrototypeSlot[] = [];
  let slot = m.regions.prototypes + 0x18n; // not at a page boundary, as real subsections are not
  m.scenario.drop?.forEach((raw, index) => {
    const spec: DropSpec = typeof raw === 'object' ? raw : { at: raw };
    const where = `drop[${index}]`;
    const at = m.value(spec.at, `${where}.at`);
    const length = spec.length === undefined ? 1 : m.number(spec.length, `${where}.length`);
    const space = m.spaceOf(spec.process);
    const last = vpnOf(at + BigInt(Math.max(length, 1) - 1));
    for (let vpn = vpnOf(at); vpn <= last; vpn++) {
      const mapping = space.mappings.get(vpn);
      if (mapping === undefined) throw new ForgeError(`${where}: page ${vpn.toString(16)} is not mapped`);
      slot = dropPage(m, spec, space.mappings, vpn, mapping, prototypes, slot);
    }
  });
  return prototypes;
}

function dropPage(
  m: Machine,
  spec: DropSpec,
  mappings: Map<number, Mapping>,
  vpn: number,
  mapping: Mapping,
  prototypes: PrototypeSlot[],
  slot: bigint,
): bigint {
  switch (spec.as ?? 'absent') {
    case 'absent':
      mapping.page.absent = true;
      return slot;
    case 'unmapped':
      mappings.delete(vpn);
      return slot;
    case 'paged-out': {
      const offset = spec.offset === undefined ? 0x1a34 : m.number(spec.offset, 'drop.offset');
      mapping.state = { kind: 'paged-out', pageFile: spec.pageFile ?? 0, offset };
      return slot;
    }
    case 'demand-zero':
      mapping.state = { kind: 'demand-zero' };
      return slot;
    case 'transition':
      mapping.state = { kind: 'transition' };
      return slot;
    default: {
      mapping.state = { kind: 'prototype', prototypeState: spec.as === 'prototype' ? 'transition' : 'paged-out' };
      m.kernel.touch(slot, 8);
      prototypes.push({ mapping, address: slot });
      return slot + 8n;
    }
  }
}

interface Assembled {
  readonly physical: PhysicalLayout;
  readonly directoryOf: (process: ForgedProcess) => bigint;
}

/** Page tables, frames, and the writes that had to wait for them. */
function assemble(m: Machine): Assembled {
  const spec = m.scenario.physical ?? {};
  const format = pagingOf(m);
  const tables = new PageTables(format);
  const groups = (spec.largePages ?? []).map((address, index) => {
    const span = format.largePages;
    const vpn = Math.floor(vpnOf(m.value(address, `physical.largePages[${index}]`)) / span) * span;
    m.kernel.large.push({ vpn, pages: span });
    const pages = Array.from({ length: span }, (_, i) => m.kernel.map(vpn + i).page);
    return { pages, align: span };
  });
  const prototypes = applyDrops(m);
  spec.mmio?.forEach((device, index) => {
    const mapping = m.kernel.map(vpnOf(m.value(device.at, `physical.mmio[${index}].at`)));
    mapping.page.device = true;
    mapping.executable = false;
  });
  const users = m.processes.filter((p) => p.key !== 'Idle');
  const system = users.findIndex((p) => p.pid === 4);
  const ordered = system <= 0 ? users : [...users.slice(system), ...users.slice(0, system)];
  const planned = tables.plan(
    m.kernel,
    ordered.map((p) => p.space),
    prototypes,
    m.regions.selfMap,
  );
  const spaces = [m.kernel, ...ordered.flatMap((p) => (p.space === null ? [] : [p.space]))];
  for (const space of spaces) space.frozen = true;
  const upperBase = spec.upperBase === undefined ? undefined : m.number(spec.upperBase, 'physical.upperBase');
  const sparse =
    spec.sparse === undefined
      ? undefined
      : {
          base: m.number(spec.sparse.base, 'physical.sparse.base'),
          count: m.number(spec.sparse.count, 'physical.sparse.count'),
        };
  const physical = assignFrames(residentPages(spaces, tables.pages), {
    groups,
    ...(upperBase === undefined ? {} : { upperBase }),
    ...(sparse === undefined ? {} : { sparse }),
  });
  spec.mmio?.forEach((device, index) => {
    const pa = m.number(device.pa, `physical.mmio[${index}].pa`);
    m.kernel.map(vpnOf(m.value(device.at, 'mmio'))).page.pfn = Math.floor(pa / PAGE_SIZE);
  });
  const bases = new Map<ForgedProcess, bigint>();
  ordered.forEach((process, index) => {
    const root = planned[index];
    if (root !== undefined) bases.set(process, directoryTableBase(root));
  });
  const systemBase = bases.get(ordered[0] ?? m.process('System')) ?? 0n;
  const directoryOf = (process: ForgedProcess): bigint => bases.get(process) ?? systemBase;
  for (const fixup of m.fixups) fixup(directoryOf);
  writePhysicalTotals(m, physical);
  tables.fill(m.kernel);
  return { physical, directoryOf };
}

const PRODUCT_WORKSTATION = 1;

function headerInput(
  m: Machine,
  saved: readonly SavedProcessor[],
  times: SystemTimes,
  kdbg: KdbgPlace,
  directoryOf: (process: ForgedProcess) => bigint,
): HeaderInput {
  const spec = m.scenario.header ?? {};
  const { arch } = m.scenario;
  const tool = spec.tool;
  const bugchecking = saved.find((s) => s.processor.spec.state === 'bugchecking') ?? null;
  const where = bugchecking ?? saved[0];
  const mark = (index: number): bigint => {
    // Acquisition tools leave four letters where the bugcheck would be: "MATT", "MOON", "SOLS".
    const letters = (tool ?? '').slice(index * 4, index * 4 + 4).padEnd(4, ' ');
    return [...letters].reduceRight((sum, c) => (sum << 8n) | BigInt(c.charCodeAt(0)), 0n);
  };
  const parameters = [0, 1, 2, 3].map((i) =>
    m.valueOr(spec.bugcheck?.parameters?.[i], 0n, `header.bugcheck.parameters[${i}]`),
  );
  const code = tool === undefined ? m.valueOr(spec.bugcheck?.code, 0n, 'header.bugcheck.code') : mark(0);
  const kernel = (address: bigint | undefined): bigint => (address === undefined ? 0n : address);
  const breakAt = m.nt.symbols.get('KeBugCheckEx');
  const exception =
    spec.exception !== undefined
      ? {
          code: m.number(spec.exception.code, 'header.exception.code'),
          flags: spec.exception.flags === undefined ? 0 : m.number(spec.exception.flags, 'header.exception.flags'),
          address: m.valueOr(spec.exception.address, 0n, 'header.exception.address'),
          parameters: (spec.exception.parameters ?? []).map((p, i) => m.value(p, `header.exception.parameters[${i}]`)),
        }
      : breakAt !== undefined
        ? { code: 0x80000003, flags: 1, address: m.nt.base + BigInt(breakAt), parameters: [] } // what Windows puts there
        : null;
  return {
    arch,
    kind: m.scenario.dump,
    majorVersion: spec.majorVersion === undefined ? 0xf : m.number(spec.majorVersion, 'header.majorVersion'),
    build: m.build,
    directoryTableBase: where === undefined ? 0n : directoryOf(where.processor.thread.process),
    pfnDatabase: kernel(m.global('MmPfnDatabase')),
    psLoadedModuleList: kernel(m.global('PsLoadedModuleList')),
    psActiveProcessHead: kernel(m.global('PsActiveProcessHead')),
    machine: MACHINE[arch],
    processors: m.processors.length,
    bugCheckCode: Number(code & 0xffffffffn),
    bugCheckParameters: tool === undefined ? parameters : [1, 2, 3, 4].map((i) => mark(i)),
    versionUser: spec.versionUser ?? null,
    paeEnabled: m.pae,
    kdDebuggerDataBlock: kdbg.at,
    context: where === undefined ? null : where.context, // a tool's dump has one, too: of no particular moment
    exception,
    comment: spec.comment ?? null,
    systemUpTime: times.uptime,
    systemTime: times.systemTime,
    productType:
      spec.productType === undefined ? PRODUCT_WORKSTATION : m.number(spec.productType, 'header.productType'),
    suiteMask: spec.suiteMask === undefined ? 0x110 : m.number(spec.suiteMask, 'header.suiteMask'),
    attributes: spec.attributes === undefined ? null : m.number(spec.attributes, 'header.attributes'),
    miniDumpFields: spec.miniDumpFields === undefined ? null : m.number(spec.miniDumpFields, 'header.miniDumpFields'),
    secondaryDataState:
      spec.secondaryDataState === undefined ? null : m.number(spec.secondaryDataState, 'header.secondaryDataState'),
    requiredDumpSpace:
      spec.requiredDumpSpace === undefined ? null : m.number(spec.requiredDumpSpace, 'header.requiredDumpSpace'),
    unwritten: new Set(spec.unwritten ?? []),
  };
}

function layoutMap(m: Machine): Map<string, bigint> {
  const out = new Map<string, bigint>();
  for (const module of m.modules) out.set(module.key, module.base);
  for (const process of m.processes) {
    out.set(`process(${process.key})`, process.at);
    for (const thread of process.threads)
      out.set(thread.idleOf === null ? `thread(${thread.key})` : thread.key, thread.at);
  }
  for (const cpu of m.processors) {
    out.set(`prcb(${cpu.number})`, cpu.prcb);
    out.set(`kpcr(${cpu.number})`, cpu.kpcr);
  }
  for (const [name, object] of m.objects) out.set(`object(${name})`, object.at);
  return out;
}

function symbolFiles(m: Machine, images: ImageProvider): SymbolFile[] {
  const out = new Map<string, SymbolFile>();
  for (const module of m.modules) {
    if (module.file === null) continue;
    out.set(module.file.name, { name: module.file.name, bytes: module.file.bytes });
    if (module.file.pdb === null) continue;
    const pdb = images.read(`${m.scenario.images ?? ''}/${module.file.pdb}`);
    if (pdb === undefined)
      throw new ForgeError(`image set ${m.scenario.images ?? ''}: file ${module.file.pdb} is missing`);
    out.set(module.file.pdb, { name: module.file.pdb, bytes: pdb });
  }
  return [...out.values()];
}

/**
 * Forges the dump of a scenario. Pure and deterministic: the same scenario, images and layouts give the same bytes.
 * Throws {@link ForgeError} with the place in the scenario when it cannot be built.
 */
export function forge(scenario: Scenario, images: ImageProvider, options: ForgeOptions = {}): ForgeResult {
  const pae = scenario.arch === 'x86' && scenario.pae !== false;
  const kernel = (options.layoutOf ?? builtinKernelLayout)(scenario.arch, scenario.build, pae);
  const set = scenario.images === undefined ? null : openImageSet(scenario.images, images);
  const m = new Machine(scenario, new Layout(kernel), set);
  const times = systemTimes(m);
  writeModules(m);
  writeSystem(m, times);
  writeObjects(m);
  writeProcesses(m);
  const saved = writeProcessors(m);
  const kdbg = writeKdbg(m);
  writeLists(m);
  writeContents(m);
  const { physical, directoryOf } = assemble(m);
  const header = headerInput(m, saved, times, kdbg, directoryOf);
  const blobs = (scenario.blobs ?? []).map((blob) => ({ tag: blob.tag, bytes: hexToBytes(blob.bytes) }));
  const input: DumpInput = { header, physical, blobs };
  const memory = options.sink === undefined ? new MemorySink() : null;
  const sink = options.sink ?? memory ?? new MemorySink();
  const size = writeContainer(m, input, saved, kdbg, sink);
  return {
    size,
    bytes: memory === null ? null : memory.take(size),
    symbols: symbolFiles(m, images),
    layoutMap: layoutMap(m),
  };
}

function writeContainer(
  m: Machine,
  input: DumpInput,
  saved: readonly SavedProcessor[],
  kdbg: KdbgPlace,
  sink: Sink,
): number {
  switch (input.header.kind) {
    case 'full':
      return writeFullDump(input, sink);
    case 'kernel-summary':
      return writeSummaryDump(input, sink);
    case 'bitmap-full':
    case 'bitmap-kernel':
    case 'automatic':
      return writeBitmapDump(input, sink);
    case 'range-kernel':
    case 'range-kernel-user':
    case 'range-full':
      return writeRangeDump(input, sink);
    case 'triage':
      return writeTriageDump(m, input, saved, kdbg, sink);
    case 'header-only':
      throw new ForgeError('dump: a header alone (type 3) has no writer');
  }
}
