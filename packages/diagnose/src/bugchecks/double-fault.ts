/** The context of a double fault (0x7F with 8): what ran when the first fault could not be delivered. */
import { va } from '@dumpscope/core';
import { isUserMode, type Processor, type Registers, type Target, taskState } from '@dumpscope/debugger';

export interface DoubleFault {
  readonly registers: Registers | null;
  readonly sp: bigint | null;
  readonly pc: bigint | null;
  /** Where sp and pc come from. */
  readonly from: string;
  readonly address: bigint | null;
  readonly length: number;
}

const TSS_BYTES = 0x68;

/**
 * x86: a task gate saves the interrupted task in its own TSS (KPCR.TSS). x64: parameter 2 is a trap frame on newer builds
 * (CR0 on older ones: taken only where it reads as one), else the frame behind the bug check, else parameters 3 (RSP) and
 * 4 (RIP).
 */
export function doubleFault(target: Target, processor: Processor | null): DoubleFault {
  const nothing: DoubleFault = {
    registers: null,
    sp: null,
    pc: null,
    from: 'nothing in the dump records it',
    address: null,
    length: 0,
  };
  if (target.arch === 'x86') return (processor === null ? null : fromTss(target, processor)) ?? nothing;
  const [, second = 0n, third = 0n, fourth = 0n] = target.bugcheck?.parameters ?? [];
  const given = kernelFrame(target, second);
  if (given !== null) return fromRegisters(given, second, 'bug check parameter 2, a trap frame');
  const interrupted = processor?.interrupted ?? null;
  if (
    interrupted !== null &&
    interrupted.address !== null &&
    interrupted.source.startsWith('trap frame') &&
    !isUserMode(interrupted)
  )
    return fromRegisters(interrupted, interrupted.address, `${interrupted.source}, behind the bug check`);
  if (third >= 1n << 63n && fourth >= 1n << 63n && target.moduleAt(fourth) !== undefined)
    return { registers: null, sp: third, pc: fourth, from: 'bug check parameters 3 and 4', address: null, length: 0 };
  return nothing;
}

function fromRegisters(registers: Registers, address: bigint, from: string): DoubleFault {
  return {
    registers,
    sp: registers.sp,
    pc: registers.pc,
    from,
    address,
    length: registers.arch === 'x64' ? 0x190 : 0x150,
  };
}

function kernelFrame(target: Target, address: bigint): Registers | null {
  if (address < 1n << 63n || (address & 7n) !== 0n) return null;
  const registers = target.trapFrame(address);
  if (registers === null || isUserMode(registers)) return null;
  if (target.arch === 'x64' && registers.values.get('cs') !== 0x10n) return null;
  return target.moduleAt(registers.pc) !== undefined || target.stackAt(registers.sp) !== null ? registers : null;
}

function fromTss(target: Target, processor: Processor): DoubleFault | null {
  const { memory } = target;
  const table = target.layouts.table.struct('_KPCR')?.fields;
  const pcr = processor.prcb - BigInt(table?.get('PrcbData')?.offset ?? 0x120);
  const tss = memory.pointer(pcr + BigInt(table?.get('TSS')?.offset ?? 0x40));
  if (tss === undefined || tss < 0x80000000n) return null;
  if (memory.gap(tss, TSS_BYTES) !== null) return null;
  const values = taskState(memory, tss);
  const eip = values.get('eip') ?? 0n;
  const esp = values.get('esp') ?? 0n;
  if (target.moduleAt(eip) === undefined) return null;
  const registers: Registers = {
    arch: 'x86',
    values,
    pc: va(eip),
    sp: va(esp),
    fp: va(values.get('ebp') ?? 0n),
    flags: Number(values.get('efl') ?? 0n),
    source: `TSS ${tss.toString(16)}`,
    address: null,
    partial: false,
  };
  return {
    registers,
    sp: esp,
    pc: eip,
    from: `TSS ${tss.toString(16)}, where the double fault's task gate saved it`,
    address: tss,
    length: TSS_BYTES,
  };
}
