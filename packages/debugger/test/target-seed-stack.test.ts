import { Memory, rva } from '@dumpscope/core';
import { createDisassembler } from '@dumpscope/cpu';
import type { X86FrameRecord } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { makeRegisters } from '../src/target/registers.ts';
import type { UnwindPorts } from '../src/unwind/ports.ts';
import { walkStack } from '../src/unwind/walk.ts';
import { fakePorts, SparseMemory } from './target-support.ts';

/** The stack of the page (dumpanalysis.org, part 44), with its own addresses; callers of RcvData are made up. */

const HAL_CODE =
  'a18000feffc1e8048a8018f26e80c7058000feff41000000884208894a04c7020000000089d0871183fa00750783c902894804c383c9018948048902f740040100000074eef390ebf3';
const STACK = { limit: 0xa07bb000n, base: 0xa07bf000n };

function seedMemory(): SparseMemory {
  const m = new SparseMemory(4);
  // the whole stack is there, zero where nothing is known
  m.put(STACK.limit, new Uint8Array(0x4000));
  const call = (ret: bigint, target: bigint): void => {
    m.put(ret - 8n, [0x90, 0x90, 0x90]);
    m.put(ret - 5n, [0xe8]).u32(ret - 4n, Number(BigInt.asUintN(32, target - ret)));
  };
  m.hex(0x806e49f0n, HAL_CODE);
  call(0xf77777fan, 0x804f8c9an); // I8xProcessCrashDump+237 after KeBugCheckEx
  call(0xf7777032n, 0xf77775c3n);
  m.put(0x805448e5n - 8n, [0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x57, 0x0c]); // call [edi+0Ch]
  m.put(0xa1342755n - 6n, [0xff, 0x15, 0x10, 0x40, 0x34, 0xa1]).u32(0xa1344010n, 0x806e49f0);
  m.put(0xa1342755n - 8n, [0x90, 0x90]);
  call(0xa134247fn, 0xa13426bdn); // ParseFrame+7f after RcvData
  call(0xa1342251n, 0xa1342400n);
  m.u32(0xa07be0f8n, 0xa07be114, 0xf77777fa, 0xe2, 0, 0, 0, 0);
  m.u32(0xa07be114n, 0xa07be15c, 0xf7777032, 0x86d470d8, 0x46, 0);
  m.u32(0xa07be15cn, 0xa07be180, 0x805448e5, 0x86e4b008, 0x86d47020);
  m.u32(0xa07be178n, 2, 0x93); // OldIrql, vector
  m.u32(0xa07be1bcn, 0xa07beb94, 0x831dabf5, 0xa07be200);
  m.u32(0xa07be1d4n, 0x831dabd8, 0x831d02a8, 0xa07be228, 0xa07be220, 0, 0x806e4a37, 8, 0x202);
  m.u32(0xa07be1f4n, 0xa1342755);
  m.u32(0xa07be220n, 0xa07beb70, 0xa134247f, 0x831dabd8, 0x831d02a8);
  m.u32(0xa07beb70n, 0xa07bebc0, 0xa1342251, 0x831dabd8, 0x831d02a8);
  m.u32(0xa07bebc0n, 0, 0);
  return m;
}

const start = makeRegisters(
  'x86',
  new Map([
    ['eip', 0x804f8cb5n],
    ['esp', 0xa07be0e0n],
    ['ebp', 0xa07be0f8n],
    ['edi', 0x86e4b008n],
    ['cs', 8n],
  ]),
  'header CONTEXT',
  null,
  false,
);

function ports(memory: SparseMemory, more: Partial<UnwindPorts> = {}): UnwindPorts {
  return {
    ...fakePorts({
      memory,
      code: [
        [0x804d7000n, 0x806cf000n],
        [0x806e0000n, 0x80700000n],
        [0xf7770000n, 0xf777d000n],
        [0xa1340000n, 0xa1345000n],
      ],
      stack: STACK,
      disassembler: createDisassembler('x86'),
    }),
    ...more,
  };
}

function rows(p: UnwindPorts): string[] {
  const trace = walkStack({ ports: p, arch: 'x86', start, limit: 50, stackKind: () => 'thread' });
  const hex = (value: bigint | null) => (value ?? 0n).toString(16).padStart(8, '0');
  return [
    ...trace.frames.map(
      (f) =>
        `${hex(f.childEbp)} ${hex(f.returnAddress)} ${hex(f.pc)}${f.remark === null || f.trapFrame === null ? '' : ` (${f.remark})`}`,
    ),
    trace.endReason,
  ];
}

const page = (remark: string): string[] => [
  'a07be0f8 f77777fa 804f8cb5',
  'a07be114 f7777032 f77777fa',
  'a07be15c 805448e5 f7777032',
  `a07be15c 806e4a37 805448e5 (${remark})`,
  'a07be220 a1342755 806e4a37',
  'a07be220 a134247f a1342755',
  'a07beb70 a1342251 a134247f',
  'a07bebc0 00000000 a1342251',
  'no-return-address',
];

const frameRecord = (values: Partial<X86FrameRecord>): X86FrameRecord => ({
  kind: 'frame-data',
  rva: rva(0),
  codeSize: 0x200,
  localsSize: 0,
  paramsSize: 0,
  prologSize: 0,
  savedRegsSize: 0,
  frameType: null,
  hasSeh: false,
  usesBasePointer: false,
  isFunctionStart: true,
  program: '',
  ...values,
});

describe('the stack of the seed', () => {
  it('comes out without any symbols', () => {
    expect(rows(ports(seedMemory()))).toEqual(page('TrapFrame @ a07be180'));
  });

  it('comes out with frame records, and with the page’s remark', () => {
    const record = (pc: bigint): X86FrameRecord | undefined => {
      if (pc >= 0x805448a0n && pc < 0x80544900n) return frameRecord({ kind: 'fpo', frameType: 1, localsSize: 8 });
      if (pc >= 0x806e49f0n && pc < 0x806e4a40n)
        return frameRecord({ program: '$T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + =' });
      if (pc >= 0xa1340000n && pc < 0xa1345000n)
        return frameRecord({ program: '$T0 $ebp = $eip $T0 4 + ^ = $ebp $T0 ^ = $esp $T0 8 + =', paramsSize: 8 });
      return undefined;
    };
    expect(rows(ports(seedMemory(), { frameRecord: record }))).toEqual(page('FPO: [0,2] TrapFrame @ a07be180'));
  });

  it('ends with a reason where the stack is damaged', () => {
    const cut = seedMemory().u32(0xa07be114n, 0xa07be0f8, 0xf7777032); // saved EBP leads back
    const trace = walkStack({ ports: ports(cut), arch: 'x86', start, limit: 500, stackKind: () => 'thread' });
    expect(trace.frames.length).toBeLessThan(20);
    expect(['did-not-advance', 'no-return-address', 'stack-base']).toContain(trace.endReason);
    const lost = new SparseMemory(4).u32(0xa07be0f8n, 0xa07be114);
    expect(walkStack({ ports: ports(lost), arch: 'x86', start, limit: 500, stackKind: () => 'thread' })).toMatchObject({
      endReason: 'unreadable',
    });
  });

  it('walks recursion of any depth up to the base of the stack', () => {
    const m = new SparseMemory(4);
    m.put(0xa1342755n - 5n, [0xe8, 0, 0, 0, 0]);
    for (let at = 0xa07bb100n; at + 16n < STACK.base; at += 16n) m.u32(at, Number(at + 16n), 0xa1342755, 0, 0);
    const deep = makeRegisters(
      'x86',
      new Map([
        ['eip', 0xa1342760n],
        ['esp', 0xa07bb0f0n],
        ['ebp', 0xa07bb100n],
      ]),
      'unwound',
      null,
      true,
    );
    const trace = walkStack({ ports: ports(m), arch: 'x86', start: deep, limit: 8192, stackKind: () => 'thread' });
    expect(trace.frames.length).toBeGreaterThan(1000);
    expect(trace.endReason).not.toBe('frame-limit');
    void new Memory(m);
  });
});
