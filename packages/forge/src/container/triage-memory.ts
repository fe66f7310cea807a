import type { Machine } from '../kernel/machine.ts';
import { memoryBytes } from '../kernel/write-contents.ts';
import type { SavedProcessor } from '../kernel/write-processors.ts';
import { vpnOf } from '../memory/address-space.ts';
import { PAGE } from '../memory/page.ts';
import type { MemoryWrite } from '../scenario/scenario.ts';

export interface TriageBlock {
  readonly at: bigint;
  readonly bytes: Uint8Array;
}

const MAX_POINTED = 2000;
const POINTED_BYTES = 0x100;
const CODE_BYTES = 0x100;
/** MM_DRIVER_VERIFIER_DATA, as long as it is in every real triage dump. */
const VERIFIER_DATA = 0x9c;
/** Last build whose triage dumps hold one processor and whole pages only (8.1, both dumps of it). */
const LAST_SMALL_BUILD = 9600;

/** Builds from 10 on write every processor and what the stack points at; real dumps of 9600 do not. */
export function writesAllProcessors(build: number): boolean {
  return build > LAST_SMALL_BUILD;
}

/** Bytes of kernel memory from `at` on, as far as pages are mapped and in memory. */
export function readable(m: Machine, at: bigint, length: number): Uint8Array {
  let end = at;
  const stop = at + BigInt(length);
  while (end < stop) {
    const mapping = m.kernel.mappings.get(vpnOf(end));
    const state = mapping?.state.kind;
    const gone =
      mapping?.page.absent === true ||
      mapping?.page.device === true ||
      state === 'paged-out' ||
      state === 'demand-zero';
    if (
      mapping === undefined ||
      gone ||
      (mapping.state.kind === 'prototype' && mapping.state.prototypeState === 'paged-out')
    )
      break;
    end = (end / BigInt(PAGE) + 1n) * BigInt(PAGE);
  }
  if (end > stop) end = stop;
  return m.kernel.read(at, Number(end - at));
}

/** The stack that holds `sp`: thread, DPC or ISR stacks of the scenario. */
export function stackBaseOf(m: Machine, cpu: SavedProcessor, sp: bigint): bigint | null {
  const ranges: { base: bigint; limit: bigint }[] = [];
  const add = (range: { readonly base: string | number; readonly limit: string | number } | undefined): void => {
    if (range !== undefined) ranges.push({ base: m.value(range.base, 'stack'), limit: m.value(range.limit, 'stack') });
  };
  const { processor } = cpu;
  add(processor.thread.spec.stack);
  add(processor.spec.dpc?.stack);
  add(processor.spec.isrStack);
  add(processor.spec.nmiStack);
  add(processor.idleThread.spec.stack);
  return ranges.find((r) => sp >= r.limit && sp < r.base)?.base ?? null;
}

/**
 * Memory that a triage dump holds besides its own structures, in the order seen in real ones. From 10 on: every
 * processor's PRCB, context record and stack (from its stack pointer to the base), a few variables of nt, code at the
 * interrupted PCs, the page behind every register of the processor that bugchecked, and 256 bytes behind every pointer on
 * its stack. Up to 8.1: variables, and the page behind every register.
 */
export class TriageMemory {
  readonly blocks: TriageBlock[] = [];
  readonly #m: Machine;
  readonly #seen = new Set<bigint>();

  constructor(m: Machine) {
    this.#m = m;
  }

  add(at: bigint, length: number): void {
    const bytes = readable(this.#m, at, length);
    if (bytes.length === 0) return;
    this.blocks.push({ at, bytes });
  }

  #covered(at: bigint): boolean {
    return this.blocks.some((block) => at >= block.at && at < block.at + BigInt(block.bytes.length));
  }

  processors(saved: readonly SavedProcessor[], stackBytes: number): void {
    const m = this.#m;
    const prcbSize = m.layout.size('_KPRCB');
    for (const cpu of saved) {
      const { processor } = cpu;
      this.add(processor.prcb, prcbSize);
      const context = m.write.at('_KPRCB', processor.prcb, 'Context');
      if (context !== undefined) {
        const record = m.kernel.readInteger(context, m.pointerSize);
        if (record !== 0n) this.add(record, cpu.context.length);
      }
      const base = stackBaseOf(m, cpu, cpu.sp);
      if (base !== null) this.add(cpu.sp, Math.min(Number(base - cpu.sp), stackBytes));
    }
    // Interrupted stacks: from the trap frame to the base, and from the interrupted stack pointer where the frame lies on a
    // stack of its own (NMI).
    for (const frame of Object.values(m.scenario.trapFrames ?? {})) {
      const places = [frame.at, frame.regs['rsp'] ?? frame.regs['esp']];
      for (const place of places) {
        if (place === undefined) continue;
        const at = m.value(place, 'trapFrames');
        for (const cpu of saved) {
          const base = stackBaseOf(m, cpu, at);
          if (base === null || this.#covered(at)) continue;
          this.add(at, Math.min(Number(base - at), stackBytes));
        }
      }
    }
    // Threads of the other processors come without the process they belong to.
    for (const { processor } of saved) {
      for (const thread of [processor.thread, processor.idleThread]) {
        if (this.#seen.has(thread.at)) continue;
        this.#seen.add(thread.at);
        this.add(thread.at, m.layout.size('_ETHREAD'));
      }
      if (processor.spec.state === 'bugchecking') this.add(processor.thread.process.at, m.layout.size('_EPROCESS'));
    }
  }

  /**
   * nt's variables. Real dumps of 9600 to 22000 have the first four; times and counts (and KUSER_SHARED_DATA) only where
   * something points at them. From 10 on they are written always, so that a forged dump tells its times.
   */
  globals(withProcessors: boolean): void {
    const m = this.#m;
    const pointer = m.pointerSize;
    const all = writesAllProcessors(m.build);
    const label = m.build < 9200 ? 'NtBuildLab' : 'NtBuildLabEx';
    const list: (readonly [string, number])[] = [['MmVerifierData', VERIFIER_DATA]];
    if (!all) list.push(['MmBadPagesDetected', 4], ['MmZeroedPageSingleBitErrorsDetected', 4]);
    if (withProcessors) list.push(['KiProcessorBlock', m.processors.length * pointer]);
    list.push([label, 0x100], ['IopNumTriageDumpDataBlocks', 4]);
    if (all) {
      list.push(['NtBuildLab', 0x40], ['KeNumberProcessors', 4], ['KeTickCount', 12], ['KeMaximumIncrement', 4]);
      list.push(['KiBugCheckData', 5 * pointer], ['CmNtCSDVersion', 4]);
    }
    for (const [name, length] of list) {
      const at = m.global(name);
      if (at !== undefined) this.add(at, length);
    }
    if (all) this.add(m.regions.kernelShared, 0x3c8);
  }

  /** The page behind every register of the processor that bugchecked, its PC among them, unless it is there already. */
  registers(saved: readonly SavedProcessor[]): void {
    const m = this.#m;
    const cpu = saved.find((s) => s.processor.spec.state === 'bugchecking');
    if (cpu === undefined) return;
    for (const value of m.registers(cpu.processor.spec.context, 'context').values()) {
      if (!m.kernel.mappings.has(vpnOf(value)) || this.#covered(value)) continue;
      this.add(value & ~BigInt(PAGE - 1), PAGE);
    }
  }

  /** What the scenario's own words and locks occupy, for a dump that shall hold them though Windows would not. */
  scenarioMemory(): void {
    const m = this.#m;
    for (const [key, raw] of Object.entries(m.scenario.memory ?? {})) {
      if (typeof raw === 'object' && raw.process !== undefined) continue;
      const spec: MemoryWrite = typeof raw === 'object' ? raw : { pointer: raw };
      this.add(m.value(key, `memory.${key}`), memoryBytes(m, spec, `memory.${key}`).length);
    }
    for (const [name, lock] of Object.entries(m.scenario.locks ?? {})) {
      this.add(m.value(lock.at, `locks.${name}.at`), m.pointerSize);
      for (const entry of lock.kind === 'queued' ? lock.queue : []) {
        this.add(m.value(entry.handle, `locks.${name}.queue`), 3 * m.pointerSize);
      }
    }
  }

  /** Code from an interrupted PC on; with `bytes` that many around every PC. */
  code(saved: readonly SavedProcessor[], bytes: number | null): void {
    const m = this.#m;
    if (bytes !== null) {
      const own = saved.find((s) => s.processor.spec.state === 'bugchecking');
      if (own !== undefined) this.#codeAt(own.pc - BigInt(bytes >> 1), bytes);
    }
    for (const frame of Object.values(m.scenario.trapFrames ?? {})) {
      const pc = frame.regs['rip'] ?? frame.regs['eip'];
      if (pc === undefined) continue;
      const at = m.value(pc, 'trapFrames.pc');
      this.#codeAt(bytes === null ? at : at - BigInt(bytes >> 1), bytes ?? CODE_BYTES);
    }
  }

  #codeAt(at: bigint, size: number): void {
    const inModule = this.#m.modules.some(
      (module) => module.spec.process === undefined && at >= module.base && at < module.base + BigInt(module.size),
    );
    if (inModule) this.add(at, size);
  }

  pointedAt(saved: readonly SavedProcessor[], stackBytes: number): void {
    const m = this.#m;
    const candidates: bigint[] = [];
    for (const frame of Object.values(m.scenario.trapFrames ?? {})) {
      candidates.push(...m.registers(frame.regs, 'trapFrames.regs').values());
    }
    const cpu = saved.find((s) => s.processor.spec.state === 'bugchecking');
    if (cpu !== undefined) {
      candidates.push(...m.registers(cpu.processor.spec.context, 'context').values());
      const base = stackBaseOf(m, cpu, cpu.sp);
      const length = base === null ? 0 : Math.min(Number(base - cpu.sp), stackBytes);
      for (let at = 0; at + m.pointerSize <= length; at += m.pointerSize) {
        candidates.push(m.kernel.readInteger(cpu.sp + BigInt(at), m.pointerSize));
      }
    }
    let count = 0;
    for (const address of candidates) {
      if (count >= MAX_POINTED) return;
      if (this.#seen.has(address) || !m.kernel.mappings.has(vpnOf(address)) || this.#covered(address)) continue;
      this.#seen.add(address);
      this.add(address, POINTED_BYTES);
      count += 1;
    }
  }

  /** Cuts blocks at these addresses: adjacent blocks that a reader has to join. */
  split(points: readonly bigint[]): void {
    for (const point of points) {
      const index = this.blocks.findIndex((b) => point > b.at && point < b.at + BigInt(b.bytes.length));
      const block = this.blocks[index];
      if (block === undefined) continue;
      const cut = Number(point - block.at);
      this.blocks.splice(
        index,
        1,
        { at: block.at, bytes: block.bytes.subarray(0, cut) },
        { at: point, bytes: block.bytes.subarray(cut) },
      );
    }
  }
}
