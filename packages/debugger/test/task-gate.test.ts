import { Memory, va } from '@dumpscope/core';
import { createDisassembler } from '@dumpscope/cpu';
import { describe, expect, it } from 'vitest';
import type { StackRange } from '../src/target/model.ts';
import { makeRegisters } from '../src/target/registers.ts';
import { makePorts } from '../src/target/unwind-ports.ts';
import { walkStack } from '../src/unwind/walk.ts';
import { SparseMemory } from './target-support.ts';

/** x86: double fault and NMI come through task gates; the interrupted registers are in the task that the back link names. */

const PCR = 0xffdff000n;
const GDT = 0x8003f000n;
const MAIN_TSS = 0x80042000n;
const FAULT_TSS = 0x80042100n;
const NMI_TSS = 0x80042200n;
const FAULT_STACK = { limit: 0x80548000n, base: 0x8054b000n };
const NMI_STACK = { limit: 0x80558000n, base: 0x8055b000n };
const THREAD = { limit: 0xa07bb000n, base: 0xa07be000n };
const CODE = 0x80500000n;

function descriptor(memory: SparseMemory, selector: number, base: bigint): void {
  const b = Number(base);
  memory.put(GDT + BigInt(selector), [0x67, 0, b & 0xff, (b >> 8) & 0xff, (b >> 16) & 0xff, 0x89, 0, b >>> 24]);
}

function machine(back: { readonly fault: number; readonly nmi: number }) {
  const memory = new SparseMemory(4);
  memory.put(CODE, new Uint8Array(0x1000).fill(0x90));
  memory.u32(PCR + 0x3cn, Number(GDT), Number(MAIN_TSS));
  descriptor(memory, 0x28, MAIN_TSS);
  descriptor(memory, 0x50, FAULT_TSS);
  descriptor(memory, 0x58, NMI_TSS);
  for (const tss of [MAIN_TSS, FAULT_TSS, NMI_TSS]) memory.put(tss, new Uint8Array(0x68));
  memory.u32(FAULT_TSS, back.fault).u32(NMI_TSS, back.nmi);
  // The thread overflowed its stack: ESP lies at the limit, its frames above.
  const esp = THREAD.limit + 0x10n;
  memory.u32(MAIN_TSS + 0x20n, 0x80500100, 0x10202, 1, 2, 3, 4, Number(esp), Number(esp) + 0x20, 5, 6);
  memory.u32(MAIN_TSS + 0x4cn, 8);
  memory.put(esp, new Uint8Array(0x60)).put(CODE + 0x1fbn, [0xe8, 0, 0xff, 0xff, 0xff]);
  memory.u32(esp + 0x20n, Number(esp) + 0x40, 0x80500200).u32(esp + 0x40n, 0, 0);
  for (const stack of [FAULT_STACK, NMI_STACK]) memory.put(stack.base - 0x100n, new Uint8Array(0x100));
  const ranges: StackRange[] = [
    { kind: 'double-fault', ...FAULT_STACK, processor: 0, thread: null, source: 'TSS 50' } as never,
    { kind: 'nmi', ...NMI_STACK, processor: 0, thread: null, source: 'TSS 58' } as never,
    { kind: 'thread', ...THREAD, processor: 0, thread: null, source: 'KTHREAD' } as never,
  ];
  const at = (address: bigint) => ranges.find((r) => address >= r.limit && address < r.base) ?? null;
  const view = new Memory(memory);
  const module = {
    base: va(CODE),
    name: 'nt',
    isCode: () => true,
    debugInfo: null,
    symbolOrigin: null,
    extent: () => null,
  };
  const ports = makePorts({
    arch: 'x86',
    memory: view,
    code: (address, length) => view.bytes(address, length) ?? null,
    disassembler: createDisassembler('x86'),
    moduleAt: (address) => (address >= CODE && address < CODE + 0x1000n ? (module as never) : undefined),
    stackAt: at,
    isKnownData: () => false,
    trapFrameEax: () => 0x44,
    pcrs: () => [va(PCR)],
  });
  return (sp: bigint) =>
    walkStack({
      ports,
      arch: 'x86',
      start: makeRegisters(
        'x86',
        new Map([
          ['eip', CODE + 0x300n],
          ['esp', sp],
          ['ebp', 0n],
        ]),
        'test',
        null,
        false,
      ),
      limit: 20,
      stackKind: (address) => at(address)?.kind ?? 'unknown',
    });
}

describe('task gates', () => {
  it('a double fault leads back to the thread that overflowed its stack', () => {
    const trace = machine({ fault: 0x28, nmi: 0 })(FAULT_STACK.base - 0x40n);
    expect(trace.frames.map((f) => [f.pc.toString(16), f.stack, f.remark])).toEqual([
      ['80500300', 'double-fault', 'FPO: TaskGate 28:0'],
      ['80500100', 'thread', null],
      ['80500200', 'thread', null],
    ]);
    expect(trace.endReason).toBe('no-return-address');
  });

  it('an NMI by its own back link, which may be that of the double fault', () => {
    const trace = machine({ fault: 0, nmi: 0x28 })(NMI_STACK.base - 0x40n);
    expect(trace.frames.map((f) => f.stack)).toEqual(['nmi', 'thread', 'thread']);
  });

  it('a back link to itself is walked once', () => {
    const trace = machine({ fault: 0x50, nmi: 0 })(FAULT_STACK.base - 0x40n);
    expect(trace.frames.length).toBeLessThan(4);
  });

  it('on a thread stack there is no task to go back to', () => {
    const trace = machine({ fault: 0x28, nmi: 0x28 })(THREAD.base - 0x10n);
    expect(trace.frames.length).toBe(1);
    expect(trace.endReason).toBe('unreadable');
  });
});
