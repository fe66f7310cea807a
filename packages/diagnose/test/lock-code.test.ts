/** States of queued locks over code from our own C, compiled by clang: what the code shows beyond the bytes of the lock. */
import { va } from '@dumpscope/core';
import type { Frame, Irql, Processor, Registers, StackKind, StackRange, Target, Thread } from '@dumpscope/debugger';
import { describe, expect, it } from 'vitest';
import { emptyTable } from '../../debugger/src/target/layout-table.ts';
import {
  FakeMemory,
  fakeFrame,
  fakeModule,
  fakeProcessor,
  fakeRegisters,
  fakeTarget,
  fakeThread,
} from '../../debugger/test/fake-target.ts';
import { Diagnosis } from '../src/engine/diagnosis.ts';
import { dispatchLevelSpin } from '../src/patterns/dispatch-level-spin/rule.ts';
import type { Finding } from '../src/report/report.ts';

const NT = 0xfffff80255ab0000n;
const DRIVER = 0xfffff80a4e3c0000n;
const STACK = { base: 0xffffc08f2e6f8000n, limit: 0xffffc08f2e6f2000n };
const LOCK = 0xffffe40b1c2a5820n;
const OWN = 0xffffc08f2e6f7c28n;
const HOLDER = 0xffffc08f2e6f7cb8n;

const WAIT_LOOP = NT + 0xd3640n;
const ACQUIRE = NT + 0xd35b0n;
const ACQUIRE_AT_DPC = NT + 0xd4ef0n;
/** The frame that holds the lock: rdi = object, rbx = its queue entry, taken with `add rcx,50h; lea rbx,[rsp+28h]`. */
const HOLDING = DRIVER + 0x1210n;
const ASKING = DRIVER + 0x1040n;

function code(): FakeMemory {
  return (
    new FakeMemory(8)
      // or [rcx+8],1; mov [rdx],rcx; pause; mov rax,[rcx+8]; test al,1; jnz; ret
      .hex(WAIT_LOOP, '488349080148890af390488b4108a80175f6c3')
      // KeAcquireInStackQueuedSpinLock: saves cr8 at [rdx+10h]
      .hex(
        ACQUIRE,
        '534883ec204889d3440f20c04189c0b802000000440f22c0448842104883220048894a084889d04887014885c0740b4889d14889c2e856000000904883c4205bc3',
      )
      // its AtDpcLevel form
      .hex(ACQUIRE_AT_DPC, '4883ec284883220048894a084889d04887014885c0740b4889d14889c2e82ee7ffff904883c428c3')
      // void ProcessQueue(Obj *o, int k): acquire; work++; helper(o, buffer, k); release
      .hex(
        HOLDING,
        '5657534881ec0001000089d64889cf4883c150488d5c24284889daff156f0e000048ff4768488d5424404889f94189f0e83bfeffff4889d9ff156a0e0000904881c4000100005b5f5ec3',
      )
      // void RcvData(Obj *o, n): acquire; count += n; release
      .hex(
        ASKING,
        '5657534883ec404889d64889cf4883c150488d5c24284889daff154910000048017758488935961f00004889d9ff154d100000904883c4405b5f5ec3',
      )
      // helper: sub rsp,28h; call RcvData
      .hex(DRIVER + 0x1080n, '4883ec28e8b7ffffff4883c428c3')
      // thread: call ProcessQueue
      .hex(DRIVER + 0x1500n, 'e80bfdffffc3')
      .number(DRIVER + 0x20a0n, ACQUIRE, 8)
      .number(LOCK, OWN, 8)
      .number(OWN, 0, 8)
      .number(OWN + 8n, LOCK | 1n, 8)
      .number(HOLDER, OWN, 8)
      .number(HOLDER + 8n, LOCK, 8)
  );
}

interface Surroundings {
  readonly threads?: readonly Thread[];
  /** Processors that the header counts. */
  readonly declared?: number;
}

function spin(
  memory: FakeMemory,
  acquire: bigint,
  values: Readonly<Record<string, bigint>> = {},
  around: Surroundings = {},
): readonly Finding[] {
  memory.number(DRIVER + 0x20a8n, acquire, 8);
  const call = acquire === ACQUIRE ? ACQUIRE + 0x3an : ACQUIRE_AT_DPC + 0x22n;
  const start = fakeRegisters('x64', {
    rip: WAIT_LOOP + 8n,
    rsp: 0xffffc08f2e6f7bc8n,
    rcx: OWN,
    rdx: HOLDER,
    rax: LOCK | 1n,
    efl: 0x202n,
    ...values,
  });
  const frame = (index: number, pc: bigint, low: bigint, high: bigint, known: Record<string, bigint>): Frame =>
    fakeFrame({
      index,
      pc: va(pc),
      sp: va(low),
      extent: { low: va(low), high: va(high) },
      trust: index === 0 ? 'context' : 'unwind-data',
      registers: index === 0 ? start : fakeRegisters('x64', { rip: pc, rsp: low, ...known }),
    });
  const frames = (from: Registers): readonly Frame[] =>
    from.pc === start.pc
      ? [
          frame(0, start.pc, 0xffffc08f2e6f7bc8n, 0xffffc08f2e6f7bd0n, {}),
          frame(1, call, 0xffffc08f2e6f7bd0n, 0xffffc08f2e6f7c00n, {}),
          frame(2, ASKING + 0x1fn, 0xffffc08f2e6f7c00n, 0xffffc08f2e6f7c60n, { rbx: OWN, rdi: LOCK - 0x50n }),
          frame(3, DRIVER + 0x1089n, 0xffffc08f2e6f7c60n, 0xffffc08f2e6f7c90n, { rbx: HOLDER, rdi: LOCK - 0x50n }),
          frame(4, HOLDING + 0x35n, 0xffffc08f2e6f7c90n, 0xffffc08f2e6f7db0n, { rbx: HOLDER, rdi: LOCK - 0x50n }),
          frame(5, DRIVER + 0x1505n, 0xffffc08f2e6f7db0n, 0xffffc08f2e6f7dc0n, {}),
        ]
      : [];
  const thread = fakeThread(0xffffe40b1c9d4080n, {
    stackBase: va(STACK.base),
    stackLimit: va(STACK.limit),
    kernelTime: 5000,
    waitTime: 98_765,
  });
  const target = fakeTarget({
    arch: 'x64',
    build: 17763,
    memory: memory.put(STACK.limit, new Uint8Array(8)),
    modules: [
      fakeModule('nt', 'ntoskrnl.exe', NT, 0xa9f000, null),
      fakeModule('widget', 'widget.sys', DRIVER, 0x5000, null),
    ],
    types: emptyTable(8),
    threads: [thread, ...(around.threads ?? [])],
    processors: [
      fakeProcessor(0, 0xfffff80256600180n, { currentThread: thread.address, interrupted: start, idle: false }),
    ],
    frames,
    tickCount: 104_000n,
  });
  return dispatchLevelSpin.run(new Diagnosis(declare(target, around.declared ?? 1)));
}

function declare(target: Target, numberProcessors: number): Target {
  return { ...target, dump: { ...target.dump, header: { ...target.dump.header, numberProcessors } } } as Target;
}

function told(findings: readonly Finding[]): readonly (string | null)[] {
  return findings.map((finding) => `${finding.verdict} ${finding.confidence}`);
}

describe('OldIrql of the own entry', () => {
  it('0 saved by the acquire: the level was lowered while the lock was held', () => {
    const findings = spin(code().number(OWN + 16n, 0, 8), ACQUIRE);
    expect(told(findings)).toEqual(['leaked-lock likely']);
  });

  it('0 that the AtDpcLevel acquire never wrote: says nothing', () => {
    const findings = spin(code().number(OWN + 16n, 0, 8), ACQUIRE_AT_DPC);
    expect(told(findings)).toEqual(['self-deadlock proven']);
    expect(findings[0]?.evidence.map((item) => item.claim).join('\n')).toContain('does not write it');
  });

  it('2 saved by the acquire: the thread was at that level when it asked again', () => {
    expect(told(spin(code().number(OWN + 16n, 2, 8), ACQUIRE))).toEqual(['self-deadlock proven']);
  });

  it('a byte that is no level is no level', () => {
    expect(told(spin(code().number(OWN + 16n, 0xa4, 8), ACQUIRE))).toEqual(['self-deadlock strong']);
  });
});

describe('mechanism', () => {
  it('is recursion where the frame computes lock and entry from a kept argument and RSP', () => {
    const [finding] = spin(code().number(OWN + 16n, 2, 8), ACQUIRE);
    expect(finding?.summary).toContain('Mechanism: recursion. widget+0x1245 took the lock at fffff80a`4e3c122b');
    expect(finding?.lock?.container).toBe('0xffffe40b1c2a57d0+0x50');
  });
});

describe('a lock word in a register', () => {
  it('is not taken for the predecessor entry, though it holds the address of the own entry', () => {
    // The real predecessor's Lock field is overwritten.
    const memory = code()
      .number(OWN + 16n, 2, 8)
      .number(HOLDER + 8n, 0xfffff80a4e3c1020n, 8)
      .number(LOCK + 8n, 0, 8);
    const [finding] = spin(memory, ACQUIRE, { rbx: LOCK });
    expect(finding?.verdict).toBe('leaked-lock');
    expect(finding?.evidence.map((item) => item.claim).join('\n')).toContain(
      'entry ffffc08f`2e6f7cb8 links to this one',
    );
  });
});

describe('a saved register on top of the stack', () => {
  it('does not make the stack pointer a predecessor', () => {
    const memory = code()
      .number(OWN + 16n, 2, 8)
      .number(HOLDER + 8n, 0xfffff80a4e3c1020n, 8)
      .number(0xffffc08f2e6f7bc8n, OWN, 8)
      .number(0xffffc08f2e6f7bd0n, 0, 8);
    const [finding] = spin(memory, ACQUIRE);
    expect(finding?.summary).toContain('The predecessor ffffc08f`2e6f7cb8');
  });
});

describe('a loop whose registers were not captured', () => {
  it('is undetermined, not absent', () => {
    // push rbx; sub rsp,20h; mov rbx,rcx; bts [rbx+8],0; mov [rdx],rcx; pause; mov rax,[rbx+8]; test al,1; jnz; add rsp,20h; pop rbx; ret
    const memory = code()
      .number(OWN + 16n, 2, 8)
      .hex(WAIT_LOOP, 'f390488b4308a80175f64883c4205bc3');
    const findings = spin(memory, ACQUIRE, { rip: WAIT_LOOP });
    expect(told(findings)).toEqual(['undetermined possible']);
    expect(findings[0]?.summary).toContain('rbx');
  });
});

describe('an endless loop of a thread whose level no byte records', () => {
  // pause; jmp
  const run = (
    known: Partial<Processor>,
    values: Record<string, bigint> = {},
    kind?: StackKind,
  ): readonly Finding[] => {
    const start = fakeRegisters('x64', { rip: WAIT_LOOP, rsp: OWN, efl: 0x246n, ...values });
    const stack =
      kind === undefined ? [] : [{ kind, ...STACK, processor: 0, thread: null, source: 'test' } as StackRange];
    const target = fakeTarget({
      arch: 'x64',
      build: 17763,
      memory: new FakeMemory(8).hex(WAIT_LOOP, 'f390ebfc'),
      modules: [fakeModule('nt', 'ntoskrnl.exe', NT, 0xa9f000, null)],
      types: emptyTable(8),
      processors: [
        fakeProcessor(0, 0xfffff80256600180n, { interrupted: start, idle: false, irql: null, stacks: stack, ...known }),
      ],
      frames: () => [fakeFrame({ pc: start.pc, sp: start.sp, registers: start, trust: 'context' })],
    });
    return dispatchLevelSpin.run(new Diagnosis(target));
  };
  const irql = (level: number, kind: Irql['kind']): Irql => ({ level, kind, source: 'test', address: null });

  it('rests on the assumption that it is raised', () => {
    for (const known of [{}, { irql: irql(0, 'minimum') }]) {
      const findings = run(known);
      expect(told(findings)).toEqual(['unbounded-loop strong']);
      expect(findings[0]?.assumptions.join()).toContain('DISPATCH_LEVEL');
    }
  });

  it.each([
    ['a level', run({ irql: irql(2, 'exact') })],
    ['a least level', run({ irql: irql(2, 'minimum') })],
    ['an active DPC', run({ dpcRoutineActive: true })],
    ["an interrupt's stack", run({}, {}, 'isr')],
    ['interrupts off', run({}, { efl: 0x46n })],
  ])('is proven by %s', (_, findings) => expect(told(findings)).toEqual(['unbounded-loop proven']));

  it('is none below DISPATCH_LEVEL', () => {
    expect(told(run({ irql: irql(1, 'exact') }))).toEqual([]);
  });
});

describe('a wait for a flag', () => {
  it('that counts its turns is no endless walk', () => {
    // mov rax,[rsi+68h]; cmp rax,0DEADh; je; inc qword [rip+...]; jmp
    const memory = code()
      .hex(WAIT_LOOP, '488b4668483dadde0000740948ff05bd1c0000ebeb488d4c2428c3')
      .number(0xffffe40b1c2a57d0n + 0x68n, 3, 8)
      .number(WAIT_LOOP + 0x13n + 0x1cbdn, 77, 8);
    const findings = spin(memory, ACQUIRE, { rip: WAIT_LOOP, rsi: 0xffffe40b1c2a57d0n });
    expect(told(findings)).toEqual(['undetermined likely']);
    expect(findings[0]?.summary).toContain('ends only when somebody else changes');
  });
});

describe('an endless loop under the idle thread', () => {
  // pause; jmp: what is left of an idle loop when nothing names it
  const run = (known: Partial<Processor>): readonly Finding[] => {
    const start = fakeRegisters('x64', { rip: WAIT_LOOP, rsp: 0xffffc08f2e6f7bc8n, efl: 0x246n });
    const target = fakeTarget({
      arch: 'x64',
      build: 17763,
      memory: new FakeMemory(8).hex(WAIT_LOOP, 'f390ebfc'),
      modules: [fakeModule('nt', 'ntoskrnl.exe', NT, 0xa9f000, null)],
      types: emptyTable(8),
      processors: [fakeProcessor(0, 0xfffff80256600180n, { interrupted: start, idleThread: true, ...known })],
      frames: () => [fakeFrame({ pc: start.pc, sp: start.sp, registers: start, trust: 'context' })],
    });
    return dispatchLevelSpin.run(new Diagnosis(target));
  };

  it('is the idle loop where no DPC is active', () => {
    expect(told(run({ dpcRoutineActive: false }))).toEqual([]);
  });

  it('may be the idle loop where DpcRoutineActive cannot be read', () => {
    expect(told(run({ dpcRoutineActive: null }))).toEqual(['undetermined possible']);
  });

  it('is a DPC that never ends where one is active', () => {
    expect(told(run({ dpcRoutineActive: true }))).toEqual(['unbounded-loop proven']);
  });
});

describe('a dump on request', () => {
  const bugcheck = { code: 0xe2, baseCode: 0xe2, name: 'MANUALLY_INITIATED_CRASH', parameters: [0n, 0n, 0n, 0n] };
  const run = (processors: readonly Processor[]): readonly Finding[] =>
    dispatchLevelSpin.run(
      new Diagnosis(
        fakeTarget({
          arch: 'x64',
          build: 17763,
          memory: new FakeMemory(8),
          modules: [],
          types: emptyTable(8),
          processors,
          threads: [fakeThread(0xffffe40b1c9d4080n, {})],
          bugcheck: bugcheck as unknown as Target['bugcheck'],
        }),
      ),
    );

  it('of which no processor can be read leaves the spin open', () => {
    expect(told(run([]))).toEqual(['undetermined possible']);
  });

  it('over a DPC that cannot be examined leaves the spin open', () => {
    const processor = fakeProcessor(0, 0xfffff80256600180n, {
      currentThread: va(0xffffe40b1c9d4080n),
      idleThread: true,
      dpcRoutineActive: true,
      idle: false,
      contextReason: 'its saved context is not in the dump',
    });
    expect(told(run([processor]))).toEqual(['undetermined possible']);
    expect(told(run([{ ...processor, dpcRoutineActive: false }]))).toEqual([]);
  });
});

describe('what is out of sight', () => {
  const unlinked = (): FakeMemory =>
    code()
      .number(OWN + 16n, 2, 8)
      .number(HOLDER, 0, 8)
      .number(HOLDER + 8n, 0, 8);
  const whole = (memory: FakeMemory): FakeMemory => {
    // The stack is there from end to end.
    const filled = new FakeMemory(8).put(STACK.limit, new Uint8Array(Number(STACK.base - STACK.limit)));
    for (const at of [OWN, OWN + 8n, OWN + 16n]) {
      const bytes = new Uint8Array(8);
      memory.readInto(va(at), bytes);
      filled.put(at, bytes);
    }
    return Object.assign(memory, {
      readInto: join(memory, filled),
    });
  };

  function join(first: FakeMemory, second: FakeMemory): FakeMemory['readInto'] {
    const read = first.readInto.bind(first);
    return (address, into) => {
      const got = second.readInto(address, into);
      return got > 0 ? got : read(address, into);
    };
  }

  it('an entry on no stack that is here: orphaned only where every processor is here', () => {
    expect(told(spin(whole(unlinked()), ACQUIRE))).toEqual(['orphaned-lock likely']);
    expect(told(spin(whole(unlinked()), ACQUIRE, {}, { declared: 2 }))).toEqual(['undetermined possible']);
  });

  it('an entry on the stack of a thread that runs on a processor which is not here', () => {
    const other = 0xffffc08f2f100000n;
    const entry = other - 0x350n;
    const memory = unlinked()
      .number(entry, OWN, 8)
      .number(entry + 8n, LOCK, 8);
    const thread = fakeThread(0xffffe40b1e111080n, {
      stackBase: va(other),
      stackLimit: va(other - 0x6000n),
      // of its last switch: the entry lies below it
      kernelStack: va(other - 0x2c8n),
      state: 2,
    });
    const values = { rdx: entry };
    expect(told(spin(memory, ACQUIRE, values, { threads: [thread], declared: 2 }))).toEqual([
      'held-elsewhere possible',
    ]);
    expect(told(spin(memory, ACQUIRE, values, { threads: [{ ...thread, state: 5 }] }))).toEqual([
      'orphaned-lock likely',
    ]);
  });
});

describe('a plain lock', () => {
  const ACQUIRE_PLAIN = NT + 0x2c6b0n;
  const SPIN = NT + 0x2c740n;
  const ASK = DRIVER + 0x2000n;
  const HOLD = DRIVER + 0x2040n;
  const SLOT = DRIVER + 0x3000n;

  function plain(slot: boolean): readonly Finding[] {
    const memory = new FakeMemory(8)
      // KxWaitForSpinLockAndAcquire: pause; mov rax,[rcx]; test rax,rax; jnz; lock bts [rcx],0; jc; ret
      .hex(SPIN, 'f390488b014885c075f6f0480fba290072eec3')
      // KeAcquireSpinLockRaiseToDpc: ... lock bts [rcx],0; jnc; call KxWaitForSpinLockAndAcquire; mov al,bl; ...
      .hex(ACQUIRE_PLAIN, '534883ec20440f20c089c3b802000000440f22c0f0480fba29007305e86f00000088d84883c4205bc3')
      // push rbx; sub rsp,20h; mov rbx,rcx; call [SLOT]; nop; add rsp,20h; pop rbx; ret
      .hex(ASK, '534883ec204889cbff15f20f0000904883c4205bc3')
      // push rbx; sub rsp,20h; mov rbx,rcx; call [SLOT]; mov rcx,rbx; call ASK; nop; add rsp,20h; pop rbx; ret
      .hex(HOLD, '534883ec204889cbff15b20f00004889d9e8aaffffff904883c4205bc3')
      .hex(DRIVER + 0x2080n, 'e8bbffffff')
      .number(LOCK, 1, 8);
    if (slot) memory.number(SLOT, ACQUIRE_PLAIN, 8);
    const start = fakeRegisters('x64', { rip: SPIN, rsp: 0xffffc08f2e6f7bc8n, rcx: LOCK, rax: 1n, efl: 0x202n });
    const pcs = [SPIN, ACQUIRE_PLAIN + 0x21n, ASK + 0xen, HOLD + 0x16n, DRIVER + 0x2085n];
    const frames = pcs.map((pc, index) =>
      fakeFrame({
        index,
        pc: va(pc),
        sp: va(0xffffc08f2e6f7bc8n + BigInt(index * 0x28)),
        trust: index === 0 ? 'context' : 'unwind-data',
        registers: index === 0 ? start : fakeRegisters('x64', { rip: pc, rsp: start.sp, rbx: LOCK }),
      }),
    );
    return dispatchLevelSpin.run(
      new Diagnosis(
        fakeTarget({
          arch: 'x64',
          build: 17763,
          memory,
          modules: [
            fakeModule('nt', 'ntoskrnl.exe', NT, 0xa9f000, null),
            fakeModule('widget', 'widget.sys', DRIVER, 0x5000, null),
          ],
          types: emptyTable(8),
          processors: [fakeProcessor(0, 0xfffff80256600180n, { interrupted: start, idle: false })],
          frames: (from) => (from.pc === start.pc ? frames : []),
        }),
      ),
    );
  }

  it('that an older frame holds by its code', () => {
    expect(told(plain(true))).toEqual(['self-deadlock strong']);
  });

  it('is not orphaned because the import slot of an older frame cannot be read', () => {
    expect(told(plain(false))).toEqual(['undetermined possible']);
  });
});
