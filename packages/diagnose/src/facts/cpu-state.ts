/** Captured registers and memory in the shape that the abstract executor takes. */

import { va } from '@dumpscope/core';
import { type CpuState, type MemoryPort, Program } from '@dumpscope/cpu';
import type { Registers, Target } from '@dumpscope/debugger';

/** KPCR of a processor: what gs (x64) or fs (x86) begins at in kernel mode. */
export function controlRegionOf(target: Target, prcb: bigint): bigint {
  return prcb - BigInt(target.kdbg?.offset('OffsetPcrContainedPrcb') ?? (target.arch === 'x64' ? 0x180 : 0x120));
}

/** Null on ARM64, which the executor does not run. */
export function cpuState(registers: Registers, controlRegion: bigint | null = null): CpuState | null {
  if (registers.arch === 'arm64') return null;
  const base = registers.arch === 'x64' ? { gsBase: controlRegion } : { fsBase: controlRegion };
  return { arch: registers.arch, pc: registers.pc, registers: registers.values, flags: registers.flags, ...base };
}

export function capturedMemory(target: Target): MemoryPort {
  const buffer = new Uint8Array(8);
  const view = new DataView(buffer.buffer);
  return {
    read(address, size) {
      if (target.memory.readInto(va(address), buffer.subarray(0, size)) !== size) return null;
      if (size === 8) return view.getBigUint64(0, true);
      return BigInt(size === 4 ? view.getUint32(0, true) : size === 2 ? view.getUint16(0, true) : view.getUint8(0));
    },
  };
}

const programs = new WeakMap<Target, Program>();

/** Compiled code of a target, shared by every run. */
export function programOf(target: Target): Program {
  let program = programs.get(target);
  if (program === undefined) {
    program = new Program(target.code, target.disassembler);
    programs.set(target, program);
  }
  return program;
}
