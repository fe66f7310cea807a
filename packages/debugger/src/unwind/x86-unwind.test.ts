import { rva } from '@dumpscope/core';
import { createDisassembler } from '@dumpscope/cpu';
import type { X86FrameRecord } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { fakePorts, registerMap, SparseMemory } from '../../test/target-support.ts';
import { evaluateFrameProgram } from './x86-frame-program.ts';
import { unwindX86 } from './x86-unwind.ts';

const CODE = [0x80500000n, 0x80600000n] as const;
const DRIVER = [0xa1340000n, 0xa1350000n] as const;
const STACK = { limit: 0xa07bb000n, base: 0xa07bf000n };
const ESP = 0xa07be000n;

function record(values: Partial<X86FrameRecord>): X86FrameRecord {
  return {
    kind: 'fpo',
    rva: rva(0),
    codeSize: 0x100,
    localsSize: 0,
    paramsSize: 0,
    prologSize: 0,
    savedRegsSize: 0,
    frameType: 0,
    hasSeh: false,
    usesBasePointer: false,
    isFunctionStart: true,
    program: '',
    ...values,
  };
}

function ports(memory: SparseMemory, frame?: X86FrameRecord, start?: bigint) {
  return fakePorts({
    memory,
    code: [CODE, DRIVER],
    stack: STACK,
    frameRecord: () => frame,
    functionStart: () => (start === undefined ? null : (start as never)),
    disassembler: createDisassembler('x86'),
  });
}

const call = [0xe8, 0, 0, 0, 0]; // five bytes before a return address
const context = { interrupted: false, calleeParams: 0, previousChildEbp: null };

describe('FrameData programs', () => {
  const input = (memory: Record<number, number> = {}) => ({
    registers: new Map([
      ['$esp', 0x1000],
      ['$ebp', 0x1020],
      ['$eip', 0x80500010],
    ]),
    constants: new Map([
      ['.cbSavedRegs', 8],
      ['.raSearch', 0x1010],
    ]),
    readMemory: (address: number) => memory[address],
  });

  it('runs the usual frame-pointer program', () => {
    const result = evaluateFrameProgram(
      '$T0 $ebp = $eip $T0 4 + ^ = $ebp $T0 ^ = $esp $T0 8 + = $L $T0 .cbSavedRegs - =',
      input({ 4132: 0x80501234, 4128: 0x1040 }),
    );
    expect(result).toMatchObject({ ok: true });
    if (!result.ok) return;
    expect([...result.assigned]).toEqual([
      ['$T0', 0x1020],
      ['$eip', 0x80501234],
      ['$ebp', 0x1040],
      ['$esp', 0x1028],
      ['$L', 0x1018],
    ]);
  });

  it('knows every operator, wraps to 32 bits and aligns', () => {
    const of = (program: string) => {
      const result = evaluateFrameProgram(program, input());
      return result.ok ? result.assigned.get('$T0') : result.why;
    };
    expect(of('$T0 7 5 * =')).toBe(35);
    expect(of('$T0 7 2 / =')).toBe(3);
    expect(of('$T0 7 4 % =')).toBe(3);
    expect(of('$T0 4096 1 - 16 @ =')).toBe(0xff0);
    expect(of('$T0 0 1 - =')).toBe(0xffffffff);
    expect(of('$T0 .raSearch 4 + =')).toBe(0x1014);
    expect(of('$T0 1 0 / =')).toBe('/ with 0');
    expect(of('$T0 16 24 @ =')).toBe('@ with 24');
    expect(of('+ =')).toBe('an operator lacks an operand');
    expect(of('1 2 =')).toBe('an assignment has no target');
    expect(of('$T0 $esi =')).toBe('$esi is not known');
    expect(of('$T0 ; =')).toContain('the word');
    expect(evaluateFrameProgram('$T0 4 ^ =', input())).toMatchObject({ ok: false, unreadable: true });
  });
});

describe('x86 frames', () => {
  it('takes an FPO record: locals and saved registers lie below the return address', () => {
    const memory = new SparseMemory(4).put(0x80501234n - 5n, call).u32(ESP, 1, 2, 3, 0x80501234, 9);
    const step = unwindX86(
      ports(memory, record({ localsSize: 8, savedRegsSize: 4, paramsSize: 4 })),
      registerMap({ eip: 0x80500010n, esp: ESP, ebp: 0xa07be800n }),
      context,
    );
    expect(step).toMatchObject({
      kind: 'caller',
      trust: 'frame-data',
      returnSlot: ESP + 12n,
      childEbp: ESP + 8n,
      remark: 'FPO: [1,2,1]',
      paramsSize: 4,
    });
    expect(step.kind === 'caller' && step.registers.get('ebp')).toBe(0xa07be800n);
  });

  it('searches upward where the record points at no return address', () => {
    const memory = new SparseMemory(4).put(0x80501234n - 5n, call).u32(ESP, 1, 0x80502000, 0x80501234);
    // 80502000 has no call before it: code bytes that can be read deny it
    memory.put(0x80502000n - 8n, [0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90]);
    const step = unwindX86(
      ports(memory, record({ localsSize: 0 })),
      registerMap({ eip: 0x80500010n, esp: ESP }),
      context,
    );
    expect(step.kind === 'caller' && step.returnSlot).toBe(ESP + 8n);
  });

  it('runs FrameData with .raSearch and pops what the callee took', () => {
    const memory = new SparseMemory(4).put(0x80501234n - 5n, call).u32(ESP, 0, 0, 0xebf, 0x80501234, 7);
    const step = unwindX86(
      ports(
        memory,
        record({
          kind: 'frame-data',
          frameType: null,
          savedRegsSize: 4,
          program: '$T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + = $ebx $T0 4 - ^ =',
        }),
      ),
      registerMap({ eip: 0x80500010n, esp: ESP }),
      { ...context, calleeParams: 8 },
    );
    expect(step.kind === 'caller' && step.registers.get('ebx')).toBe(0xebfn);
    expect(step.kind === 'caller' && step.registers.get('esp')).toBe(ESP + 16n);
  });

  it('crosses an FPO trap frame found at EBP and prints its remark', () => {
    const tf = 0xa07be180n;
    const memory = new SparseMemory(4)
      .put(tf, new Uint8Array(0x8c))
      .u32(tf + 0x3cn, 0xa07beb94, 0x831dabf5, 0xa07be200)
      .u32(tf + 0x54n, 0x831dabd8, 0x831d02a8, 0xa07be228, 0xa07be220, 0, 0x80554a37, 8, 0x202);
    const step = unwindX86(
      ports(memory, record({ frameType: 1, localsSize: 8 })),
      registerMap({ eip: 0x805448e5n, esp: 0xa07be16cn, ebp: tf }),
      { ...context, previousChildEbp: 0xa07be15cn },
    );
    expect(step).toMatchObject({
      kind: 'caller',
      trust: 'trap-frame',
      trapFrame: tf,
      childEbp: 0xa07be15cn,
      remark: 'FPO: [0,2] TrapFrame @ a07be180',
      interrupted: true,
    });
    expect(step.kind === 'caller' && step.registers.get('esp')).toBe(tf + 0x74n);
    expect(step.kind === 'caller' && step.registers.get('edx')).toBe(0xa07beb94n);
    // the same without any record, by the frame's shape alone
    const bare = unwindX86(ports(memory), registerMap({ eip: 0x805448e5n, esp: 0xa07be16cn, ebp: tf }), context);
    expect(bare).toMatchObject({ kind: 'caller', trust: 'trap-frame', trapFrame: tf });
    // one bit away: a flags word that no processor pushes
    memory.u32(tf + 0x70n, 0x200);
    expect(
      unwindX86(ports(memory), registerMap({ eip: 0x805448e5n, esp: 0xa07be16cn, ebp: tf }), context),
    ).not.toMatchObject({ trust: 'trap-frame' });
  });

  it('follows an EBP chain and ends at a zero return address', () => {
    const memory = new SparseMemory(4)
      .put(0x80501234n - 5n, call)
      .u32(0xa07be800n, 0xa07be900, 0x80501234)
      .u32(0xa07be900n, 0, 0);
    const first = unwindX86(ports(memory), registerMap({ eip: 0x80500010n, esp: ESP, ebp: 0xa07be800n }), context);
    expect(first).toMatchObject({
      kind: 'caller',
      trust: 'frame-pointer',
      childEbp: 0xa07be800n,
      returnSlot: 0xa07be804n,
    });
    if (first.kind !== 'caller') return;
    expect(unwindX86(ports(memory), first.registers, context)).toMatchObject({
      kind: 'end',
      reason: 'no-return-address',
    });
  });

  it('sees a leaf by the code from its start: the return address is on top, EBP is the caller’s', () => {
    // lock acquire without a prologue: mov eax,edx; xchg edx,[ecx]; pause; jmp back
    const start = 0x80554a20n;
    const memory = new SparseMemory(4)
      .put(start, [0x8b, 0xc2, 0x87, 0x11, 0xf3, 0x90, 0xeb, 0xfc, ...new Array(8).fill(0x90)])
      .put(0xa1342755n - 6n, [0xff, 0x15, 0x00, 0x40, 0x34, 0xa1])
      .u32(0xa1344000n, Number(start))
      .u32(0xa07be1f4n, 0xa1342755)
      .u32(0xa07be220n, 0xa07be300, 0x80501234)
      .put(0x80501234n - 5n, call);
    const step = unwindX86(ports(memory), registerMap({ eip: start + 6n, esp: 0xa07be1f4n, ebp: 0xa07be220n }), {
      ...context,
      interrupted: true,
    });
    expect(step).toMatchObject({ kind: 'caller', trust: 'leaf', returnSlot: 0xa07be1f4n, childEbp: 0xa07be220n });
    expect(step.kind === 'caller' && step.registers.get('eip')).toBe(0xa1342755n);
    expect(step.kind === 'caller' && step.registers.get('ebp')).toBe(0xa07be220n);
  });

  it('scans with a call check as the last resort and prefers a call of the callee', () => {
    const start = 0x80554a20n;
    const memory = new SparseMemory(4)
      // a stale return address: its call went elsewhere, to code that is no jump
      .put(0x80503000n - 5n, [0xe8, 0x00, 0x10, 0x00, 0x00])
      .put(0x80504000n, [0x55, 0x8b, 0xec])
      // the real one
      .put(0x80505000n - 5n, [0xe8, 0x20, 0xfa, 0x04, 0x00])
      .u32(ESP, 0x80503000, 0x11, 0x80505000);
    const step = unwindX86(ports(memory, undefined, start), registerMap({ eip: start + 0x10n, esp: ESP }), context);
    expect(step).toMatchObject({ kind: 'caller', trust: 'scan', returnSlot: ESP + 8n });
  });
});

describe('preserved registers', () => {
  // Code of our own C (clang, i686): a callee with a frame pointer and one without, each in the middle of a call.
  const callee = 0xa1341000n;
  const returnTo = 0xa1342755n;

  function memoryOf(...code: number[]): SparseMemory {
    const distance = Number(callee - returnTo);
    return new SparseMemory(4)
      .put(callee, code)
      .put(returnTo - 5n, [0xe8, ...[0, 8, 16, 24].map((shift) => (distance >> shift) & 0xff)]);
  }

  it('are taken from where the callee saved them, not from what it has in them', () => {
    // push ebp; mov ebp,esp; push ebx; push edi; push esi; sub esp,0Ch; mov edi,[ebp+0Ch]; mov ebx,[ebp+8]; lea esi,[ebp-18h]; call; ...
    // biome-ignore format: bytes
    const memory = memoryOf(
      0x55, 0x89, 0xe5, 0x53, 0x57, 0x56, 0x83, 0xec, 0x0c, 0x8b, 0x7d, 0x0c, 0x8b, 0x5d, 0x08, 0x8d, 0x75, 0xe8,
      0xff, 0xd0, 0x90,
    ).u32(ESP, 1, 2, 3, 0x5151, 0xd1d1, 0xbbbb, 0xa07be900, Number(returnTo));
    const step = unwindX86(
      ports(memory),
      registerMap({ eip: callee + 0x14n, esp: ESP, ebp: ESP + 24n, ebx: 0x77n, esi: 0x88n, edi: 0x99n }),
      context,
    );
    expect(step).toMatchObject({ kind: 'caller', returnSlot: ESP + 28n });
    if (step.kind !== 'caller') return;
    expect(Object.fromEntries(step.registers)).toMatchObject({ ebx: 0xbbbbn, esi: 0x5151n, edi: 0xd1d1n });
  });

  it('of a callee without a frame pointer are found by its pushes, past calls that pop their arguments', () => {
    // push esi; push 5; call ret4; mov esi,1; call eax
    const memory = memoryOf(0x56, 0x6a, 0x05, 0xe8, 0x08, 0, 0, 0, 0xbe, 1, 0, 0, 0, 0xff, 0xd0, 0x90, 0xc2, 4, 0)
      .u32(ESP, 0x5151, Number(returnTo))
      // a frame further out that EBP still points to
      .u32(0xa07be800n, 0xa07be900, 0x80501234)
      .put(0x80501234n - 5n, call);
    const step = unwindX86(
      ports(memory),
      registerMap({ eip: callee + 0xfn, esp: ESP, ebp: 0xa07be800n, ebx: 0x77n, esi: 1n, edi: 0x99n }),
      context,
    );
    expect(step).toMatchObject({ kind: 'caller', returnSlot: ESP + 4n });
    if (step.kind !== 'caller') return;
    expect(Object.fromEntries(step.registers)).toMatchObject({
      eip: returnTo,
      ebp: 0xa07be800n,
      ebx: 0x77n,
      esi: 0x5151n,
      edi: 0x99n,
    });
  });

  it('are unknown where the callee’s code does not tell', () => {
    const memory = new SparseMemory(4).put(0x80501234n - 5n, call).u32(0xa07be800n, 0xa07be900, 0x80501234);
    const step = unwindX86(
      ports(memory),
      registerMap({ eip: 0x80500010n, esp: ESP, ebp: 0xa07be800n, ebx: 0x77n, esi: 0x88n, edi: 0x99n }),
      context,
    );
    expect(step.kind).toBe('caller');
    if (step.kind !== 'caller') return;
    for (const name of ['ebx', 'esi', 'edi']) expect(step.registers.has(name)).toBe(false);
  });
});
