import { va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { findLoopAround, type LoopHints } from '../cfg/find-loop.ts';
import { createDisassembler } from '../disassembler.ts';
import { Program } from '../execute/program.ts';
import type { CpuState } from '../execute/state.ts';
import { codeAt } from '../testing/code.ts';
import { memoryOf } from '../testing/memory.ts';
import type { LoopAnalysis } from './analysis.ts';
import { type AnalyzeOptions, analyzeLoop } from './analyze-loop.ts';

interface Scene {
  readonly arch: 'x86' | 'x64';
  readonly base: bigint;
  readonly code: string;
  readonly pc: bigint;
  readonly registers: Readonly<Record<string, bigint>>;
  readonly flags?: number | null;
  readonly memory: readonly (readonly [address: bigint, value: bigint, size: 1 | 2 | 4 | 8])[];
  readonly hints?: LoopHints;
  readonly options?: AnalyzeOptions;
}

function analyze(scene: Scene): LoopAnalysis {
  const code = codeAt(scene.base, scene.code);
  const disassembler = createDisassembler(scene.arch);
  const { graph, loop } = findLoopAround(code, disassembler, va(scene.pc), scene.hints);
  if (!loop) throw new Error('no loop');
  const state: CpuState = {
    arch: scene.arch,
    pc: va(scene.pc),
    registers: new Map(Object.entries(scene.registers)),
    flags: scene.flags === undefined ? 0x202 : scene.flags,
  };
  return analyzeLoop(new Program(code, disassembler), graph, loop, state, memoryOf(scene.memory), scene.options);
}

const SEED_CODE =
  'a18000feffc1e8048a8018f26e80c7058000feff41000000884208894a04c7020000000089d0871183fa00750783c902894804c383c9018948048902f740040100000074eef390ebf3';
const SEED: Scene = {
  arch: 'x86',
  base: 0x806e49f0n,
  code: SEED_CODE,
  pc: 0x806e4a37n,
  registers: {
    eax: 0xa07be200n,
    ebx: 0xa07be228n,
    ecx: 0x831dabf5n,
    edx: 0xa07beb94n,
    esi: 0x831d02a8n,
    edi: 0x831dabd8n,
    esp: 0xa07be1f4n,
    ebp: 0xa07be220n,
  },
  flags: 0x202,
  memory: [
    [0xa07be200n, 0n, 4],
    [0xa07be204n, 0x831dabf5n, 4],
    [0x831dabf4n, 0xa07be200n, 4],
    [0xa07beb94n, 0xa07be200n, 4],
    [0xa07beb98n, 0x831dabf6n, 4],
  ],
};

describe('S01: queued hand-off on x86', () => {
  const a = analyze(SEED);
  it('has one exit that needs bit 0 of [a07be204] clear', () => {
    expect(a.exits.map((e) => e.text)).toEqual(['leaves when ([a07be204] & 1) == 0']);
    expect(a.exits[0]?.taken).toBe(false);
    const test = a.exits[0]?.alternatives[0]?.[0]?.test;
    expect(test).toMatchObject({ mask: 1n, relation: 'eq', value: 0n });
    expect(test?.cell).toMatchObject({
      address: 0xa07be204n,
      size: 4,
      value: 0x831dabf5n,
      expression: 'eax+4',
      kind: 'invariant',
      base: { register: 'eax', value: 0xa07be200n, displacement: 4n },
    });
    expect(a.stores).toEqual([]);
    expect(a.complete).toBe(true);
  });
  it('flags agree: the processor saw the bit set', () => {
    expect(a.witness).toMatchObject({ setter: 0x806e4a2cn, verdict: 'agree', decides: true });
  });
  it('never ends with the captured values', () => {
    expect(a.execution).toMatchObject({ end: 'cycle', period: 1 });
  });
  it('is a queued hand-off, with the predecessor in edx', () => {
    expect(a.protocol).toMatchObject({
      kind: 'queued-handoff',
      entry: 0xa07be200n,
      lockField: 0xa07be204n,
      lock: 0x831dabf4n,
      predecessors: [{ register: 'edx', entry: 0xa07beb94n }],
    });
    expect(a.waits.map((w) => w.text)).toEqual(['([a07be204] & 1) == 0']);
  });
  it('is the same from the start of the function', () => {
    const b = analyze({ ...SEED, hints: { start: va(0x806e49f0n) } });
    expect(b.exits).toEqual(a.exits);
    expect(b.protocol).toEqual(a.protocol);
  });
  it('ends at once when the bit is clear in memory', () => {
    const memory = SEED.memory.map((m) => (m[0] === 0xa07be204n ? ([m[0], 0x831dabf4n, 4] as const) : m));
    const b = analyze({ ...SEED, memory });
    expect(b.exits[0]?.taken).toBe(true);
    expect(b.execution).toMatchObject({ end: 'exit', to: 0x806e4a23n });
    expect(b.waits).toEqual([]);
    // The processor saw another value than the dump has.
    expect(b.witness.verdict).toBe('disagree');
    expect(b.protocol.kind).toBe('queued-handoff');
  });
  it('is undetermined when the page of [a07be204] is absent', () => {
    const b = analyze({ ...SEED, memory: SEED.memory.filter((m) => m[0] !== 0xa07be204n) });
    expect(b.exits[0]?.taken).toBeNull();
    expect(b.execution).toMatchObject({ end: 'unknown', source: { kind: 'memory', address: 0xa07be204n } });
    expect(b.witness.verdict).toBeNull();
    expect(b.protocol).toMatchObject({ kind: 'poll', cell: { address: 0xa07be204n, value: null } });
  });
  it('is undetermined when the register is not known', () => {
    const { eax: _, ...registers } = SEED.registers;
    const b = analyze({ ...SEED, registers });
    expect(b.exits[0]?.text).toBe('leaves when ([eax+4] & 1) == 0');
    expect(b.exits[0]?.taken).toBeNull();
    expect(b.execution).toMatchObject({ end: 'unknown', source: { kind: 'register', register: 'eax' } });
  });
  // The same wait in other registers, displacements and instructions: nothing may depend on the encoding.
  const own = 0xa07be200n;
  it.each([
    ['esi as base', 'f6460401 7404 f390 ebf6', { esi: own }, 'leaves when ([a07be204] & 1) == 0'],
    ['test byte', 'f6400401 7404 f390 ebf6', { eax: own }, 'leaves when ([a07be204] & 1) == 0'],
    ['bt', '0fba600400 7304 f390 ebf5', { eax: own }, 'leaves when ([a07be204] & 1) == 0'],
    ['load, test al', '8b4304 a801 7404 f390 ebf5', { ebx: own }, 'leaves when ([a07be204] & 1) == 0'],
    ['load, and', '8b4f04 83e101 7404 f390 ebf4', { edi: own }, 'leaves when ([a07be204] & 1) == 0'],
    ['load, shr into carry', '8b4204 d1e8 7304 f390 ebf5', { edx: own }, 'leaves when ([a07be204] & 1) == 0'],
    ['other displacement', 'f74008 01000000 7404 f390 ebf3', { eax: own - 4n }, 'leaves when ([a07be204] & 1) == 0'],
    ['absolute address', 'f60504e27ba001 7404 f390 ebf3', {}, 'leaves when ([a07be204] & 1) == 0'],
  ])('%s', (_, code, registers, text) => {
    const b = analyze({
      ...SEED,
      base: 0x1000n,
      code: `${code} c3c3c3c3`,
      pc: 0x1000n,
      registers: { edx: 0xa07beb94n, ...registers },
    });
    expect(b.exits.map((e) => e.text)).toEqual([text]);
    expect(b.exits[0]?.taken).toBe(false);
    expect(b.execution.end).toBe('cycle');
    expect(b.protocol).toMatchObject({ kind: 'queued-handoff', lock: 0x831dabf4n, entry: own });
  });
});

describe('plain lock on x64', () => {
  const LOCK = 0xfffff80d548a61c0n;
  const S03: Scene = {
    arch: 'x64',
    base: 0xfffff80238d0a1c0n,
    code: '48895c2408574883ec204889cf31dbffc3f390488b074885c075f4f0480fba2f0072ec89d8488b5c24304883c4205fc3',
    pc: 0xfffff80238d0a1d3n,
    registers: { rsp: 0xffff8687621ee640n, rdi: LOCK, rbx: 0x3a1c4f7n, rax: 1n },
    memory: [[LOCK, 1n, 8]],
  };
  it.each([[undefined], [{ start: va(0xfffff80238d0a1c0n) }]])('S03: spins on rdi, counts in ebx (%#)', (hints) => {
    const a = analyze({ ...S03, ...(hints ? { hints } : {}) });
    expect(a.exits.map((e) => e.text)).toEqual([
      'leaves when [fffff80d548a61c0] == 0 and ([fffff80d548a61c0] & 1) == 0',
    ]);
    expect(a.exits[0]?.taken).toBe(false);
    expect(a.protocol).toMatchObject({
      kind: 'plain-lock',
      lock: LOCK,
      form: 'test-and-test-and-set',
      atomicAt: 0xfffff80238d0a1dbn,
      value: 1n,
    });
    // The flags at pc are those of the spin counter: they say nothing about the lock.
    expect(a.witness).toMatchObject({ setter: 0xfffff80238d0a1cfn, decides: false });
    expect(a.assumingCalls).toBeNull();
    // The spin counter changes every turn but decides nothing.
    expect(a.execution).toMatchObject({ end: 'cycle', period: 1 });
    expect(a.carried.find((c) => c.register === 'rbx')?.captured).toBe(0x3a1c4f7n);
    expect(a.waits[0]?.text).toBe('[fffff80d548a61c0] == 0');
    expect(a.stores).toMatchObject([{ atomic: true, reaches: 'must', address: LOCK }]);
  });
  it('S14: the lock is free in memory', () => {
    const a = analyze({ ...S03, memory: [[LOCK, 0n, 8]] });
    expect(a.exits[0]?.taken).toBe(true);
    expect(a.execution).toMatchObject({ end: 'exit' });
    expect(a.waits).toEqual([]);
  });
  it('S04: the leaf form on rcx', () => {
    const a = analyze({
      arch: 'x64',
      base: 0xfffff801730f0c40n,
      code: 'f390488b014885c075f6f0480fba290072eec3',
      pc: 0xfffff801730f0c42n,
      registers: { rcx: 0xffffe000a1683c70n },
      memory: [[0xffffe000a1683c70n, 1n, 8]],
    });
    expect(a.protocol).toMatchObject({ kind: 'plain-lock', lock: 0xffffe000a1683c70n, value: 1n });
    expect(a.execution.end).toBe('cycle');
  });
  it('with a call that notifies the hypervisor: followed when it is there, else assumed harmless when told so', () => {
    // 1000: inc ebx; test [rip->2000],ebx; jne +7; mov ecx,ebx; call 3000; (1013) pause; mov rax,[rdi]; test rax,rax; jne 1000
    const code = 'ffc3 851df80f0000 7507 8bcb e8ef1f0000 f390 488b07 4885c0 75e5 c3';
    const scene: Scene = {
      arch: 'x64',
      base: 0x1000n,
      code,
      pc: 0x1011n,
      registers: { rdi: LOCK, rbx: 0x41n, rsp: 0xffff8687621ee640n },
      memory: [
        [LOCK, 1n, 8],
        [0x2000n, 0x3fn, 4],
        [0xffff8687621ee638n, 0n, 8],
      ],
    };
    const followed = analyze(scene);
    expect(followed.calls).toEqual([{ at: 0x100cn, target: 0x3000n }]);
    expect(followed.execution).toMatchObject({ end: 'unknown', why: expect.stringContaining('code at 3000') });
    expect(followed.assumingCalls).toMatchObject({ end: 'cycle', period: 1 });
    const assumed = analyze({ ...scene, options: { skipCall: (t) => t === 0x3000n } });
    expect(assumed.execution).toMatchObject({ end: 'cycle', period: 1 });
    expect(assumed.waits.map((w) => w.text)).toEqual(['[fffff80d548a61c0] == 0']);
  });
  describe('inlined, hypervisor-aware, with its tail in a cold chunk (nt!IopfCompleteRequest)', () => {
    // Assembled with llvm-mc-19 from: L: inc r13d; test [mask],r13d; je cold; B: pause; C: mov rax,[rsi+40h]; test rax,rax;
    // jne L; lock bts [rsi+40h],0; jb L; ret.  cold: test byte [flag],40h; je B; mov ecx,r13d; call 1200; jmp C
    const hot = '41ffc5 44852df6020000 0f84f0000000 f390 488b4640 4885c0 75e5 f0480fba6e4000 72dc c3';
    const cold = 'f6050010000040 0f8403ffffff 4489e9 e8eb000000 e9f8feffff';
    const code = hot.replaceAll(' ', '').padEnd(0x200, '0') + cold.replaceAll(' ', '');
    const scene: Scene = {
      arch: 'x64',
      base: 0x1000n,
      code,
      pc: 0x1012n,
      registers: { rsi: LOCK - 0x40n, r13: 0x123n, rsp: 0xffff8687621ee640n },
      memory: [
        [LOCK, 1n, 8],
        [0x1300n, 0xffffn, 4],
        [0x2107n, 0x40n, 1],
        [0xffff8687621ee638n, 0n, 8],
      ],
      hints: {
        ranges: [
          { start: va(0x1000), end: va(0x1025) },
          { start: va(0x1100), end: va(0x111a) },
        ],
      },
    };
    it('is one loop over both chunks that waits for the lock word', () => {
      const a = analyze(scene);
      expect(a.loop.instructions.length).toBe(14);
      expect(a.exits.map((e) => e.text)).toEqual([
        'leaves when [fffff80d548a61c0] == 0 and ([fffff80d548a61c0] & 1) == 0',
      ]);
      expect(a.protocol).toMatchObject({ kind: 'plain-lock', lock: LOCK, value: 1n });
      expect(a.calls).toEqual([{ at: 0x1110n, target: 0x1200n }]);
      expect(a.assumingCalls).toMatchObject({ end: 'cycle' });
    });
    it('says that the cold chunk is missing', () => {
      const a = analyze({ ...scene, code: hot, hints: { start: va(0x1000) } });
      expect(a.exits.map((e) => e.exit.kind).sort()).toEqual(['branch', 'unreadable']);
      expect(a.exits.find((e) => e.exit.kind === 'unreadable')?.text).toBe('leaves when ([1300] & (r13d+1)) == 0');
      // It would enter the chunk at a round count, and come back from it or not.
      expect(a.execution).toMatchObject({ end: 'unknown', why: 'code at 1100 could not be read' });
      expect(a.protocol).toMatchObject({ kind: 'plain-lock', lock: LOCK });
    });
  });
  it.each([
    ['xchg', 'b801000000 8701 85c0 75f5 c3', 'test-and-set'],
    ['cmpxchg', '31c0 ba01000000 f00fb111 75f3 c3', 'test-and-set'],
    ['lock bts alone', 'f00fba2900 72f9 c3', 'test-and-set'],
    ['or with carry-free flags', '833900 75fb f00fba2900 72f4 c3', 'test-and-test-and-set'],
  ])('%s', (_, code, form) => {
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code,
      pc: 0x1000n,
      registers: { rcx: LOCK, rax: 1n, rdx: 1n },
      memory: [[LOCK, 1n, 8]],
    });
    expect(a.protocol).toMatchObject({ kind: 'plain-lock', lock: LOCK, form });
    expect(a.execution.end).toBe('cycle');
  });
  it('x86 test-and-test-and-set: the test loop leaves to the atomic instruction around it', () => {
    const scene: Scene = {
      arch: 'x86',
      base: 0x80501000n,
      code: 'f00fba2900 7201 c3 f70101000000 74f0 f390 ebf4',
      pc: 0x80501010n,
      registers: { ecx: 0x8234567cn },
      memory: [[0x8234567cn, 1n, 4]],
    };
    const a = analyze(scene);
    expect(a.loop.instructions.length).toBe(4);
    expect(a.exits.map((e) => e.text)).toEqual(['leaves when ([8234567c] & 1) == 0']);
    expect(a.protocol).toMatchObject({
      kind: 'plain-lock',
      lock: 0x8234567cn,
      form: 'test-and-test-and-set',
      atomicAt: 0x80501000n,
    });
    // Stopped at the atomic instruction itself the loop around it is meant.
    expect(analyze({ ...scene, pc: 0x80501000n, flags: null }).protocol.kind).toBe('plain-lock');
  });
});

describe('queued locks on x64', () => {
  const OWN = 0xffffb08012345610n;
  const PREDECESSOR = 0xffffb08055555510n;
  const LOCK = 0xffffe001aaaa0040n;
  it('queued_wait: rcx own, rdx predecessor', () => {
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code: '488349080148890af390488b4108a80175f6c3',
      pc: 0x1008n,
      registers: { rcx: OWN, rdx: PREDECESSOR, rax: LOCK | 1n },
      memory: [
        [OWN, 0n, 8],
        [OWN + 8n, LOCK | 1n, 8],
        [LOCK, OWN, 8],
        [PREDECESSOR, OWN, 8],
        [PREDECESSOR + 8n, LOCK, 8],
      ],
    });
    expect(a.exits.map((e) => e.text)).toEqual(['leaves when ([ffffb08012345618] & 1) == 0']);
    expect(a.protocol).toMatchObject({
      kind: 'queued-handoff',
      entry: OWN,
      lock: LOCK,
      predecessors: [{ register: 'rdx', entry: PREDECESSOR }],
    });
    expect(a.execution).toMatchObject({ end: 'cycle', period: 1 });
  });
  it('chain-valid: a releaser waits for its successor to link itself', () => {
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code: 'f390 488b01 4885c0 74f6 c3',
      pc: 0x1002n,
      registers: { rcx: OWN, rax: 0n },
      flags: 0x246,
      memory: [
        [OWN, 0n, 8],
        [OWN + 8n, LOCK, 8],
        [LOCK, PREDECESSOR, 8],
        [PREDECESSOR + 8n, LOCK | 1n, 8],
      ],
    });
    expect(a.exits.map((e) => e.text)).toEqual([`leaves when [${OWN.toString(16)}] != 0`]);
    expect(a.protocol).toMatchObject({ kind: 'chain-valid', entry: OWN, lock: LOCK, tail: PREDECESSOR });
    expect(a.witness.verdict).toBe('agree');
  });
  it('a flag that is no queue entry is a wait on memory', () => {
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code: 'f390 488b01 4885c0 74f6 c3',
      pc: 0x1002n,
      registers: { rcx: OWN },
      memory: [
        [OWN, 0n, 8],
        [OWN + 8n, 0x1234n, 8],
      ],
    });
    expect(a.protocol).toMatchObject({ kind: 'memory-wait' });
  });
});

describe('a carry that is kept in a register', () => {
  const LOCK = 0xfffff80d548a61c0n;
  it.each([
    ['setb', 'f390 48833900 75f8 f0480fba2900 0f92c0 84c0 75eb c3', 'test-and-test-and-set'],
    ['sbb', 'f0480fba2900 19c0 85c0 75f4 c3', 'test-and-set'],
    ['setae', 'f0480fba2900 0f93c0 84c0 74f3 c3', 'test-and-set'],
  ])('%s', (_, code, form) => {
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code,
      pc: 0x1000n,
      registers: { rcx: LOCK },
      memory: [[LOCK, 1n, 8]],
    });
    expect(a.protocol).toMatchObject({ kind: 'plain-lock', lock: LOCK, form });
    expect(a.exits[0]?.text).not.toContain('unknown');
    expect(a.exits[0]?.taken).toBe(false);
    expect(a.execution.end).toBe('cycle');
  });
});

describe('EX_SPIN_LOCK', () => {
  it('shared: the inner wait leaves to the exchange of the loop around it, behind a branch', () => {
    // L: mov eax,[rcx]; and eax,r8d; lea r9d,[rax+1]; lock cmpxchg [rcx],r9d; sete al; je out; W: pause; cmp [rcx],0; js W;
    // test al,al; je L; out: ret
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code: '8b01 4421c0 448d4801 f0440fb109 0f94c0 740b f390 833900 78f9 84c0 74e2 c3',
      pc: 0x1013n,
      registers: { rcx: 0xfffff80212340010n, r8: 0x7fffffffn },
      memory: [[0xfffff80212340010n, 0x80000000n, 4]],
      hints: { start: va(0x1000) },
    });
    expect(a.loop.instructions.length).toBe(3);
    expect(a.protocol).toMatchObject({ kind: 'ex-spin-lock', mode: 'shared', waitsFor: 'writer' });
  });
  it('the drain with its mask in a register, compared by the overflow of neg', () => {
    // L: pause; mov edx,[rcx]; and edx,eax; neg edx; jo +11; test [rcx],40000000; jne L; lock or [rcx],40000000; jmp L
    const scene = (value: bigint, eax: bigint): LoopAnalysis =>
      analyze({
        arch: 'x64',
        base: 0x1000n,
        code: 'f390 8b11 21c2 f7da 7011 f70100000040 75ee f0810900000040 ebe5 c3',
        pc: 0x1002n,
        registers: { rcx: 0xfffff80212340010n, rax: eax },
        memory: [[0xfffff80212340010n, value, 4]],
      });
    const held = scene(0xc0000001n, 0xbfffffffn);
    expect(held.protocol).toMatchObject({ kind: 'ex-spin-lock', mode: 'exclusive', waitsFor: 'readers' });
    expect(held.exits[0]?.taken).toBe(false);
    expect(scene(0xc0000000n, 0xbfffffffn).exits[0]?.taken).toBe(true);
    expect(scene(0xc0000001n, 0xbffffffen).exits[0]?.taken).toBe(true);
  });

  const LOCK = 0xfffff80212340010n;
  const exclusive = (value: bigint): LoopAnalysis =>
    analyze({
      arch: 'x64',
      base: 0x1000n,
      code: 'f3908b01a90000008075f5a9ffffff3f75ee f00fba291f72e7c3',
      pc: 0x1002n,
      registers: { rcx: LOCK },
      memory: [[LOCK, value, 4]],
    });
  it.each([
    [0x80000000n, 'writer'],
    [3n, 'readers'],
  ])('an exclusive waiter with %s', (value, waitsFor) => {
    const a = exclusive(value);
    expect(a.protocol).toMatchObject({ kind: 'ex-spin-lock', mode: 'exclusive', lock: LOCK, waitsFor, value });
    expect(a.execution.end).toBe('cycle');
  });
  it('passes when the word is zero', () => {
    expect(exclusive(0n).execution.end).toBe('exit');
  });
  it('the drain: own bit 31 is set, readers leave one by one', () => {
    // L: pause; mov eax,[rcx]; and eax,bfffffff; cmp eax,80000000; jne L
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code: 'f390 8b01 25ffffffbf 3d00000080 75f0 c3',
      pc: 0x1002n,
      registers: { rcx: LOCK },
      memory: [[LOCK, 0xc0000001n, 4]],
    });
    expect(a.protocol).toMatchObject({ kind: 'ex-spin-lock', mode: 'exclusive', waitsFor: 'readers' });
  });
  it('shared: waits for the writer, then adds itself', () => {
    // L: pause; mov eax,[rcx]; test eax,c0000000; jne L; lea edx,[rax+1]; lock cmpxchg [rcx],edx; jne L; ret
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code: 'f390 8b01 a9000000c0 75f5 8d5001 f00fb111 75ec c3',
      pc: 0x1002n,
      registers: { rcx: LOCK },
      memory: [[LOCK, 0x80000000n, 4]],
    });
    expect(a.protocol).toMatchObject({ kind: 'ex-spin-lock', mode: 'shared', waitsFor: 'writer', lock: LOCK });
    expect(a.execution.end).toBe('cycle');
  });
});

describe('walks', () => {
  const NODE = 0xffffa98012340000n;
  const HEAD = 0xffffa98011110008n;
  const S08: Scene = {
    arch: 'x64',
    base: 0xfffff80a1c2b4410n,
    code: '443940107408488b004839d075f2c3',
    pc: 0xfffff80a1c2b4416n,
    registers: { rax: NODE + 0x20n, rdx: HEAD, r8: 0x77n },
    flags: null,
    memory: [
      [HEAD, NODE, 8],
      [NODE, NODE + 0x20n, 8],
      [NODE + 0x20n, NODE + 0x40n, 8],
      [NODE + 0x40n, NODE + 0x20n, 8],
      [NODE + 0x30n, 0x11n, 4],
      [NODE + 0x50n, 0x22n, 4],
      [NODE + 0x10n, 0x33n, 4],
    ],
  };
  it('S08: a cyclic list never ends, and the two elements are named', () => {
    const a = analyze(S08);
    expect(a.execution).toMatchObject({ end: 'cycle', period: 2 });
    if (a.execution.end !== 'cycle') throw new Error();
    const elements = a.execution.states.map((s) => s.get('rax'));
    expect(elements.sort()).toEqual([NODE + 0x20n, NODE + 0x40n]);
    expect(a.protocol).toMatchObject({ kind: 'list-walk', register: 'rax', linkOffset: 0n, keyed: true });
    expect(a.exits.length).toBe(2);
    expect(a.carried).toMatchObject([{ register: 'rax', updates: ['[rax]'] }]);
  });
  it('a sibling whose list closes at the head ends', () => {
    const memory = S08.memory.map((m) => (m[0] === NODE + 0x40n ? ([m[0], HEAD, 8] as const) : m));
    expect(analyze({ ...S08, memory }).execution).toMatchObject({ end: 'exit', iterations: 1 });
  });
  it('a sibling that finds the key ends', () => {
    const memory = S08.memory.map((m) => (m[0] === NODE + 0x50n ? ([m[0], 0x77n, 4] as const) : m));
    expect(analyze({ ...S08, memory }).execution.end).toBe('exit');
  });
  it('is not determinable when an element is not in the dump', () => {
    const memory = S08.memory.filter((m) => m[0] !== NODE + 0x40n);
    expect(analyze({ ...S08, memory }).execution).toMatchObject({
      end: 'unknown',
      source: { kind: 'memory', address: NODE + 0x40n },
    });
  });
  it('list_walk without a key', () => {
    const a = analyze({ ...S08, code: '488b004839d075f8c3', pc: S08.base });
    expect(a.protocol).toMatchObject({
      kind: 'list-walk',
      keyed: false,
      end: `[rax] == rdx`,
    });
    expect(a.execution).toMatchObject({ end: 'cycle', period: 2 });
  });
  it('ring_consume: 16-bit indices meet at last', () => {
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code: '0fb7431a0fb74f026639c8740666ff431aebedc3',
      pc: 0x1000n,
      registers: { rbx: NODE, rdi: HEAD },
      memory: [
        [NODE + 0x1an, 0xfffen, 2],
        [HEAD + 2n, 3n, 2],
      ],
    });
    expect(a.protocol).toMatchObject({
      kind: 'ring',
      moved: { address: NODE + 0x1an },
      other: { address: HEAD + 2n },
    });
    expect(a.execution).toMatchObject({ end: 'exit', iterations: 5 });
    expect(a.stores).toMatchObject([{ address: NODE + 0x1an, reaches: 'must' }]);
  });
  it.each([
    [0x110n, 'cycle'],
    [0x10n, 'exit'],
  ])('ring_consume_masked: a producer index of %s', (producer, end) => {
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code: '0fb7431a0fb74f026639c8740dffc025ff0000006689431aebe6c3',
      pc: 0x1000n,
      registers: { rbx: NODE, rdi: HEAD },
      memory: [
        [NODE + 0x1an, 0x20n, 2],
        [HEAD + 2n, producer, 2],
      ],
    });
    expect(a.protocol.kind).toBe('ring');
    expect(a.execution.end).toBe(end);
    if (a.execution.end === 'cycle') expect(a.execution.period).toBe(256);
  });
});

describe('polls and counters', () => {
  it('mmio_poll: the register page is not in the dump', () => {
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code: '8b4614a80174f9c3',
      pc: 0x1003n,
      registers: { rsi: 0xffffd000abcd0000n },
      memory: [],
    });
    expect(a.exits.map((e) => e.text)).toEqual(['leaves when ([ffffd000abcd0014] & 1) != 0']);
    expect(a.protocol).toMatchObject({ kind: 'poll', cell: { address: 0xffffd000abcd0014n, value: null } });
    expect(a.execution.end).toBe('unknown');
    expect(a.exits[0]?.taken).toBeNull();
  });
  it('a countdown tells the turns left, however many', () => {
    const scene = (ecx: bigint): Scene => ({
      arch: 'x86',
      base: 0x1000n,
      code: 'f390 49 75fb c3',
      pc: 0x1000n,
      registers: { ecx },
      memory: [],
    });
    const short = analyze(scene(1000n));
    expect(short.execution).toMatchObject({ end: 'exit', iterations: 999 });
    expect(short.protocol).toMatchObject({ kind: 'counter', register: 'ecx', step: -1n, remaining: 999n });
    const long = analyze(scene(0xfffffff0n));
    expect(long.execution.end).toBe('limit');
    expect(long.protocol).toMatchObject({ kind: 'counter', remaining: 0xffffffefn });
    expect(analyze({ ...scene(0n), options: { maxSteps: 100 } }).execution).toMatchObject({ end: 'limit', steps: 100 });
  });
  it('loop instruction', () => {
    const a = analyze({ arch: 'x86', base: 0x1000n, code: 'e2fe c3', pc: 0x1000n, registers: { ecx: 5n }, memory: [] });
    expect(a.execution).toMatchObject({ end: 'exit', iterations: 4 });
  });
  it('a counter that can never meet its bound repeats', () => {
    // add ecx,2; cmp ecx,1; jne
    const a = analyze({
      arch: 'x86',
      base: 0x1000n,
      code: '6683c102 6683f901 75f6 c3',
      pc: 0x1000n,
      registers: { ecx: 0n },
      memory: [],
    });
    expect(a.execution).toMatchObject({ end: 'cycle', period: 32768 });
  });
  it('a wait for a value in a register', () => {
    const a = analyze({
      arch: 'x64',
      base: 0x1000n,
      code: 'f390 483911 75f9 c3',
      pc: 0x1002n,
      registers: { rcx: 0xffffd000abcd0000n, rdx: 7n },
      memory: [[0xffffd000abcd0000n, 6n, 8]],
    });
    expect(a.waits).toMatchObject([{ relation: 'eq', value: 7n, cell: { value: 6n } }]);
    expect(a.protocol.kind).toBe('memory-wait');
  });
  it('jmp to itself has no exit', () => {
    const a = analyze({ arch: 'x64', base: 0x1000n, code: 'ebfe', pc: 0x1000n, registers: {}, memory: [] });
    expect(a.exits).toEqual([]);
    expect(a.execution.end).toBe('cycle');
    expect(a.protocol.kind).toBe('unclassified');
  });
});
