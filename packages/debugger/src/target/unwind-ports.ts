import { type Arch, type Memory, type Va, va } from '@dumpscope/core';
import type { CodeReader, Disassembler } from '@dumpscope/cpu';
import { taskState } from '../nt/task-state.ts';
import { FunctionTable } from '../unwind/function-table.ts';
import type { CodePlace, UnwindPorts } from '../unwind/ports.ts';
import { readUnwindInfo, type UnwindInfo } from '../unwind/x64-unwind-info.ts';
import type { StackRange } from './model.ts';
import type { LoadedModule } from './module.ts';
import { tssOf } from './stacks.ts';

export interface PortsInput {
  readonly arch: Arch;
  readonly memory: Memory;
  readonly code: CodeReader;
  readonly disassembler: Disassembler;
  moduleAt(address: bigint): LoadedModule | undefined;
  stackAt(address: bigint): StackRange | null;
  /** Data of a module whose section headers are not in the dump. */
  isKnownData(module: LoadedModule, address: bigint): boolean;
  /** Offset of Eax in a KTRAP_FRAME (x86). */
  trapFrameEax(): number;
  /** KPCR addresses, to find the task that a double fault interrupted (x86). */
  pcrs(): readonly Va[];
}

/** What unwinding asks of a target. */
export function makePorts(input: PortsInput): UnwindPorts {
  const { arch, memory } = input;
  const tables = new Map<LoadedModule, FunctionTable | null>();
  const starts = new Map<bigint, Va | null>();
  const infos = new Map<bigint, UnwindInfo | string>();
  const tableOf = (module: LoadedModule): FunctionTable | null => {
    let table = tables.get(module);
    if (table === undefined) {
      const pdata = arch === 'x86' ? null : module.pdata;
      table = pdata === null || arch === 'x86' ? null : new FunctionTable(memory, arch, module, pdata);
      tables.set(module, table);
    }
    return table;
  };
  return {
    memory,
    code: input.code,
    disassembler: input.disassembler,
    trapFrameEax: () => input.trapFrameEax(),
    lookup(pc) {
      const module = input.moduleAt(pc);
      if (module === undefined) return { kind: 'unknown', why: 'the pc lies in no module' };
      const table = tableOf(module);
      if (table === null) return { kind: 'unknown', why: `.pdata of ${module.name} is not in the dump` };
      return table.lookup(Number(pc - module.base));
    },
    unwindInfo(imageBase, rva) {
      const key = imageBase + BigInt(rva);
      const known = infos.get(key);
      if (known !== undefined) return known;
      const info = readUnwindInfo(memory, imageBase, rva);
      if (infos.size > 50000) infos.clear();
      infos.set(key, info);
      return info;
    },
    place(pc): CodePlace {
      const module = input.moduleAt(pc);
      if (module === undefined) return 'none';
      const code = module.isCode(Number(pc - module.base));
      if (code === null) {
        // Without section headers every byte may be code; the headers and what is known to be data are none.
        if (pc - module.base < (arch === 'x86' ? 0x280n : 0x1000n) || input.isKnownData(module, pc)) return 'data';
        return 'code';
      }
      return code ? 'code' : 'data';
    },
    isSymbolStart(pc) {
      const module = input.moduleAt(pc);
      const symbols = module?.symbolOrigin === 'export' ? undefined : module?.debugInfo?.symbols;
      if (module === undefined || symbols === undefined) return false;
      return symbols.nearest(Number(pc - module.base))?.rva === Number(pc - module.base);
    },
    frameRecord(pc) {
      const module = input.moduleAt(pc);
      return module?.debugInfo?.frameRecord(Number(pc - module.base));
    },
    functionStart(pc) {
      const known = starts.get(pc);
      if (known !== undefined) return known;
      const module = input.moduleAt(pc);
      const extent = module?.extent(Number(pc - module.base)) ?? null;
      const start = module === undefined || extent === null ? null : va(module.base + BigInt(extent.start));
      if (starts.size > 20000) starts.clear();
      starts.set(pc, start);
      return start;
    },
    stackBounds(address) {
      return input.stackAt(address);
    },
    taskRegisters(sp, isTask) {
      if (arch !== 'x86') return null;
      const here = input.stackAt(sp);
      const ofGate = here?.kind === 'double-fault' || here?.kind === 'nmi';
      if (!isTask && !ofGate) return null;
      // Selectors 50 and 58 name the tasks of the double fault and the NMI.
      const selector = here?.kind === 'nmi' ? 0x58 : 0x50;
      for (const [number, pcr] of input.pcrs().entries()) {
        if (here !== null && here.processor !== null && here.processor !== number) continue;
        const gdt = memory.pointer(pcr + 0x3cn);
        const current = memory.pointer(pcr + 0x40n);
        // The gate's task names by its back link the one that was interrupted; KPCR.TSS is that of the processor.
        const fault = gdt === undefined ? null : tssOf(memory, gdt, selector);
        const back = fault === null ? undefined : memory.u16(fault);
        const linked = gdt === undefined || back === undefined || back === 0 ? null : tssOf(memory, gdt, back);
        const tss = linked ?? (current === undefined || current < 0x80000000n ? null : current);
        if (tss === null) continue;
        const values = taskState(memory, tss);
        if ((values.get('eip') ?? 0n) !== 0n) return values;
      }
      return null;
    },
  };
}
