/** Loops whose shape misleads: nested ones, drains, acquires in the middle of an acquire, stacks that broke off. */
import { va } from '@dumpscope/core';
import type { Frame, Processor, Target } from '@dumpscope/debugger';
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
const SP = 0xffffc08f2e6f7bc8n;
const LOCK = 0xffffe40b1c2a5820n;
const OTHER = LOCK + 0x40n;
const LOOP = NT + 0xd3640n;

interface Scene {
  readonly memory: FakeMemory;
  readonly pc: bigint;
  readonly values: Readonly<Record<string, bigint>>;
  /** Return addresses of older frames, youngest first. */
  readonly callers?: readonly bigint[];
  readonly endReason?: string;
  readonly others?: readonly Processor[];
  readonly level?: null;
}

function run(scene: Scene): readonly Finding[] {
  const start = fakeRegisters('x64', { rip: scene.pc, rsp: SP, efl: 0x202n, ...scene.values });
  const frames: readonly Frame[] = [scene.pc, ...(scene.callers ?? [])].map((pc, index) =>
    fakeFrame({
      index,
      pc: va(pc),
      sp: va(SP + BigInt(index * 0x28)),
      trust: index === 0 ? 'context' : 'unwind-data',
      registers: index === 0 ? start : fakeRegisters('x64', { rip: pc, rsp: SP, rbx: LOCK }),
    }),
  );
  const thread = fakeThread(0xffffe40b1c9d4080n, { stackBase: va(SP + 0x438n), stackLimit: va(SP - 0x5bc8n) });
  const irql = { level: 2, kind: 'exact', source: 'test', address: null } as const;
  const target = fakeTarget({
    arch: 'x64',
    build: 17763,
    memory: scene.memory,
    modules: [
      fakeModule('nt', 'ntoskrnl.exe', NT, 0xa9f000, null),
      fakeModule('widget', 'widget.sys', DRIVER, 0x5000, null),
    ],
    types: emptyTable(8),
    threads: [thread],
    processors: [
      fakeProcessor(0, 0xfffff80256600180n, {
        currentThread: thread.address,
        interrupted: start,
        idle: false,
        irql: scene.level === null ? null : irql,
        contextTrust: 'frozen',
      }),
      ...(scene.others ?? []),
    ],
    frames: (from) => (from.pc === start.pc ? frames : []),
  });
  const walk = target.walkStack.bind(target);
  const header = { ...target.dump.header, numberProcessors: 1 + (scene.others?.length ?? 0) };
  return dispatchLevelSpin.run(
    new Diagnosis({
      ...target,
      dump: { ...target.dump, header },
      walkStack: (from, options) => ({ ...walk(from, options), endReason: scene.endReason ?? 'stack-base' }),
    } as Target),
  );
}

const told = (findings: readonly Finding[]): readonly string[] =>
  findings.map((finding) => `${finding.verdict} ${finding.confidence}`);

describe('a wait inside a loop', () => {
  // O: nop; W: pause; mov rax,[rcx]; test al,1; jnz W; cmp dword [rdx],0; je O; ret
  const nested = (other: bigint): readonly string[] =>
    told(
      run({
        memory: new FakeMemory(8)
          .hex(LOOP, '90 f390 488b01 a801 75f7 833a00 74f1 c3'.replaceAll(' ', ''))
          .number(LOCK, 0, 8)
          .number(OTHER, other, 8),
        pc: LOOP + 3n,
        values: { rcx: LOCK, rdx: OTHER, rax: 1n },
      }),
    );

  it('that leaves into the loop around it is not over', () => {
    expect(nested(0n)).toEqual(['undetermined likely']);
  });

  it('that leaves it for good is', () => {
    expect(nested(1n).join()).not.toMatch(/undetermined|unbounded/);
  });
});

describe('a loop that stores to what it reads and pauses', () => {
  // L: [pause;] [lock] or dword [rcx],40000000h; mov edx,[rcx]; lea edx,[rdx+rdx*2]; cmp edx,r8d; jne L; ret
  const drain = (code: string): readonly string[] =>
    told(
      run({
        memory: new FakeMemory(8).hex(LOOP, code).number(LOCK, 0xc0000001n, 8),
        pc: LOOP,
        values: { rcx: LOCK, r8: 7n },
      }),
    );

  it('counts on others, and is no endless walk', () => {
    expect(drain('f3908109000000408b118d14524439c275eec3')).toEqual(['undetermined likely']);
    expect(drain('f08109000000408b118d14524439c275efc3').join()).not.toContain('unbounded');
  });

  it('counts on nobody without them', () => {
    expect(drain('8109000000408b118d14524439c275f0c3')).toEqual(['unbounded-loop proven']);
  });
});

describe('an acquire that waits in a helper', () => {
  const ACQUIRE = NT + 0x2c6b0n;
  const ASK = DRIVER + 0x2000n;
  const code = (): FakeMemory =>
    new FakeMemory(8)
      // pause; mov rax,[rcx]; test rax,rax; jnz; lock bts [rcx],0; jc; ret
      .hex(LOOP, 'f390488b014885c075f6f0480fba290072eec3')
      // push rbx; sub rsp,20h; mov rbx,rcx; lock bts [rbx],0; jnc; mov rcx,rbx; call LOOP; add rsp,20h; pop rbx; ret
      .hex(ACQUIRE, `534883ec204889cbf0480fba2b0073084889d9e8${callTo(ACQUIRE + 0x13n, LOOP)}4883c4205bc3`)
      // push rbx; sub rsp,20h; mov rbx,rcx; call [import]; nop; add rsp,20h; pop rbx; ret
      .hex(ASK, '534883ec204889cbff15f20f0000904883c4205bc3')
      // the kernel: call [slot]
      .hex(NT + 0x5000n, 'ff15fa0f0000c3')
      .number(NT + 0x6000n, ASK, 8)
      .number(DRIVER + 0x3000n, ACQUIRE, 8);
  const wait = (word: bigint, endReason: string = 'stack-base'): readonly string[] =>
    told(
      run({
        memory: code().number(LOCK, word, 8),
        pc: LOOP,
        values: { rcx: LOCK, rax: 1n },
        callers: [ACQUIRE + 0x18n, ASK + 0xen, NT + 0x5006n],
        endReason,
      }),
    );

  it('does not hold what it asks for', () => {
    expect(wait(1n)).toEqual(['orphaned-lock strong']);
  });

  it('finds nobody only where the walk came to the end of the stack', () => {
    for (const endReason of ['memory-gap', 'did-not-advance'])
      expect(wait(1n, endReason).join()).not.toMatch(/orphaned-lock (strong|proven)/);
  });

  it('is about to go on where the word is 0', () => {
    expect(wait(0n)[0]).toMatch(/^transient/);
  });
});

describe('an endless loop below an acquire, at a level that nothing records', () => {
  const ACQUIRE = NT + 0x2c6b0n;
  const HOLD = DRIVER + 0x2000n;
  const below = (level: string): readonly string[] =>
    told(
      run({
        memory: new FakeMemory(8)
          .hex(LOOP, 'f390ebfc')
          // mov rdx,rcx; mov ecx,LEVEL; mov cr8,rcx; lock bts [rdx],0; ret
          .hex(ACQUIRE, `4889cab9${level}000000440f22c1f0480fba2a00c3`)
          // push rbx; sub rsp,20h; mov rbx,rcx; call [import]; mov rcx,rbx; call [loop]; nop; add rsp,20h; pop rbx; ret
          .hex(HOLD, '534883ec204889cbff15f20f00004889d9ff15f10f0000904883c4205bc3')
          .hex(NT + 0x5000n, 'ff15fa0f0000c3')
          .number(NT + 0x6000n, HOLD, 8)
          .number(DRIVER + 0x3000n, ACQUIRE, 8)
          .number(DRIVER + 0x3008n, LOOP, 8)
          .number(LOCK, 1, 8),
        pc: LOOP + 2n,
        values: {},
        callers: [HOLD + 0x17n, NT + 0x5006n],
        level: null,
      }),
    );

  it('is raised by a spin lock', () => {
    expect(below('02')).toEqual(['unbounded-loop proven']);
  });

  it('is not raised to DISPATCH_LEVEL by a lock that raises to APC_LEVEL', () => {
    expect(below('01')).toEqual(['unbounded-loop strong']);
  });
});

describe('a lock word of 0', () => {
  it('is free, also where the carry that decides lies in a register', () => {
    // L: lock bts [rcx],0; setb al; test al,al; jne L; ret
    const findings = run({
      memory: new FakeMemory(8).hex(LOOP, 'f0480fba29000f92c084c075f3c3').number(LOCK, 0, 8),
      pc: LOOP + 9n,
      values: { rcx: LOCK },
    });
    expect(told(findings)).toEqual(['transient likely']);
  });
});

/** Displacement of a call whose instruction begins at `from`, as bytes. */
function callTo(from: bigint, to: bigint): string {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(Number(to - from - 5n));
  return bytes.toString('hex');
}
