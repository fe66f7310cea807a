import { type Memory, type Va, va } from '@dumpscope/core';
import { type FieldFinder, StructReader } from './fields.ts';
import type { StackKind, StackRange, Thread } from './model.ts';

/** Kernel stacks by what the PRCB, its TSS and the threads say. */

/**
 * Sizes of the stacks that no field gives a limit for (KERNEL_STACK_SIZE: 12 KB on x86, 24 KB on x64, 32 KB on ARM64;
 * interrupt and exception stacks have the same size).
 */
const STACK_SIZE = { x86: 0x3000n, x64: 0x6000n, arm64: 0x8000n } as const;

/** Rounded up to a page: DpcStack and InitialStack lie a control area below the base (0x50 bytes on 19041). */
function pageUp(address: bigint): bigint {
  return (address + 0xfffn) & ~0xfffn;
}

/** StackBase and StackLimit, or a base rounded up from InitialStack. */
export function threadStack(
  thread: Thread,
  arch: 'x86' | 'x64' | 'arm64',
  processor: number | null,
  kind: StackKind = 'thread',
): StackRange | null {
  const { stackBase, stackLimit, initialStack } = thread;
  if (stackBase !== null && stackLimit !== null && stackLimit < stackBase && stackBase - stackLimit <= 0x100000n)
    return {
      kind,
      base: stackBase,
      limit: stackLimit,
      processor,
      thread: thread.address,
      source: `KTHREAD ${thread.address.toString(16)} StackBase and StackLimit`,
    };
  const top = stackBase ?? (initialStack === null ? null : va(pageUp(initialStack)));
  if (top === null) return null;
  return {
    kind,
    base: top,
    limit: va(top - STACK_SIZE[arch]),
    processor,
    thread: thread.address,
    source: `KTHREAD ${thread.address.toString(16)} ${stackBase === null ? 'InitialStack' : 'StackBase'}, the usual size`,
  };
}

export interface StackInput {
  readonly arch: 'x86' | 'x64' | 'arm64';
  readonly memory: Memory;
  readonly fields: FieldFinder;
}

/** DPC, interrupt and exception stacks of one processor. */
export function processorStacks(input: StackInput, prcb: Va, number: number): StackRange[] {
  const { arch, memory, fields } = input;
  const reader = new StructReader(memory, fields, '_KPRCB', prcb);
  const out: StackRange[] = [];
  const add = (kind: StackKind, top: Va | null, source: string): void => {
    if (top === null || top < 0x10000n) return;
    const base = pageUp(top);
    if (out.some((range) => range.base === base)) return;
    out.push({ kind, base: va(base), limit: va(base - STACK_SIZE[arch]), processor: number, thread: null, source });
  };
  add('dpc', reader.pointer('DpcStack'), `KPRCB.DpcStack of processor ${number}`);
  add('isr', reader.pointer('IsrStack'), `KPRCB.IsrStack of processor ${number}`);
  const pcrOffset =
    fields.find('_KPCR', arch === 'x86' ? 'PrcbData' : 'Prcb')?.offset ?? (arch === 'x86' ? 0x120 : 0x180);
  const pcr = prcb - BigInt(pcrOffset);
  if (arch === 'x64') addX64(input, pcr, number, add);
  else if (arch === 'x86') addX86(memory, pcr, number, add);
  return out;
}

type Add = (kind: StackKind, top: Va | null, source: string) => void;

/** IDT gates name an interrupt stack of the TSS: vector 2 is NMI, 8 double fault, 18 machine check. */
function addX64(input: StackInput, pcr: bigint, number: number, add: Add): void {
  const { memory } = input;
  const tss = memory.pointer(pcr + 8n);
  if (tss === undefined || tss < 0xffff000000000000n) return;
  const idt = memory.pointer(pcr + 0x38n);
  const indexOf = (vector: number, usual: number): number => {
    const gate =
      idt === undefined || idt < 0xffff000000000000n ? undefined : memory.bytes(idt + BigInt(vector * 16), 16);
    // A gate without its present bit is none: an IDT page that was never filled in tells nothing.
    return gate === undefined || ((gate[5] ?? 0) & 0x80) === 0 ? usual : (gate[4] ?? 0) & 7;
  };
  const ist = (index: number): Va | null =>
    index < 1 || index > 7 ? null : (memory.pointer(tss + BigInt(0x24 + (index - 1) * 8)) ?? null);
  const nmi = indexOf(2, 3);
  const fault = indexOf(8, 1);
  add('nmi', ist(nmi), `IST ${nmi} (NMI) of processor ${number}`);
  add('double-fault', ist(fault), `IST ${fault} (double fault) of processor ${number}`);
  for (let index = 1; index <= 7; index++)
    if (index !== nmi && index !== fault) add('ist', ist(index), `IST ${index} of processor ${number}`);
}

/** x86: double fault and NMI arrive through task gates (selectors 50 and 58) whose TSS names their stack. */
function addX86(memory: Memory, pcr: bigint, number: number, add: Add): void {
  const gdt = memory.pointer(pcr + 0x3cn);
  if (gdt === undefined || gdt < 0x80000000n) return;
  for (const [selector, kind] of [
    [0x50, 'double-fault'],
    [0x58, 'nmi'],
  ] as const) {
    const tss = tssOf(memory, gdt, selector);
    if (tss === null) continue;
    const esp0 = memory.pointer(tss + 4n);
    if (esp0 !== undefined && esp0 >= 0x80000000n)
      add(kind, esp0, `TSS ${selector.toString(16)} of processor ${number}`);
  }
}

/** Base of the TSS that a selector of the GDT describes; null where it is no TSS. */
export function tssOf(memory: Memory, gdt: bigint, selector: number): Va | null {
  const bytes = memory.bytes(gdt + BigInt(selector & ~7), 8);
  if (bytes === undefined) return null;
  // 32-bit TSS, available (9) or busy (b)
  const type = (bytes[5] ?? 0) & 0x1d;
  if (type !== 0x09) return null;
  const base = ((bytes[2] ?? 0) | ((bytes[3] ?? 0) << 8) | ((bytes[4] ?? 0) << 16) | ((bytes[7] ?? 0) << 24)) >>> 0;
  return base < 0x80000000 ? null : va(base);
}

export function inStack(range: StackRange, address: bigint): boolean {
  return address >= range.limit && address < range.base;
}
