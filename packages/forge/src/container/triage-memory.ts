import type { Machine } from '../kernel/machine.ts';
import type { SavedProcessor } from '../kernel/write-processors.ts';
import { vpnOf } from '../memory/address-space.ts';
import { PAGE } from '../memory/page.ts';

export interface TriageBlock {
  readonly at: bigint;
  readonly bytes: Uint8Array;
}

const MAX_POINTED = 2000;
const POINTED_BYTES = 0x100;
const CODE_BYTES = 0x100;

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
 * Memory that a triage dump holds besides its own structures, in the order seen in real ones: every processor's PRCB,
 * context record and stack (from its stack pointer to the base), a few variables of nt, code at the interrupted PCs, and
 * 256 bytes behind every pointer in the registers and on the stack of the processor that bugchecked.
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

  globals(): void {
    const m = this.#m;
    const pointer = m.pointerSize;
    const list: readonly (readonly [string, number])[] = [
      ['KiProcessorBlock', m.processors.length * pointer],
      ['NtBuildLabEx', 0x100],
      ['NtBuildLab', 0x40],
      ['KeNumberProcessors', 4],
      ['KeTickCount', 12],
      ['KeMaximumIncrement', 4],
      ['KiBugCheckData', 5 * pointer],
      ['CmNtCSDVersion', 4],
    ];
    for (const [name, length] of list) {
      const at = m.global(name);
      if (at !== undefined) this.add(at, length);
    }
    this.add(m.regions.kernelShared, 0x3c8);
  }

  /** Code around a PC: half before, half behind it for the processor that bugchecked; from it on where interrupted. */
  code(saved: readonly SavedProcessor[], bytes: number | null): void {
    const m = this.#m;
    const size = bytes ?? CODE_BYTES;
    for (const cpu of saved) {
      if (cpu.processor.spec.state === 'bugchecking') this.#codeAt(cpu.pc - BigInt(size / 2), size);
    }
    for (const frame of Object.values(m.scenario.trapFrames ?? {})) {
      const pc = frame.regs['rip'] ?? frame.regs['eip'];
      if (pc === undefined) continue;
      const at = m.value(pc, 'trapFrames.pc');
      if (bytes === null) this.#codeAt(at, CODE_BYTES);
      else this.#codeAt(at - BigInt(size / 2), size);
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
