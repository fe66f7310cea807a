/** The 64-bit scenarios: what they plan is what the debugger, which shares no code with the forge, finds in the dumps. */
import { bytesSource, Memory, openDump, type Va, va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { type Frame, openTarget, type StackTrace, type Target } from '../../debugger/src/index.ts';
import { forge, loadScenario, type Scenario } from '../src/index.ts';
import { images, scenarios } from './shipped.ts';

const names = scenarios.names().filter((name) => /^(S0[3478]|S14|S133|X-|x64-idle|arm64)/.test(name));
const kinds = ['full', 'bitmap-kernel', 'triage'] as const;

function scenarioOf(name: string, dump: Scenario['dump']): Scenario {
  const scenario = loadScenario(name, scenarios);
  // Up to 8.1 a triage dump holds one processor; here all are to be found.
  return { ...scenario, dump, triage: { ...scenario.triage, allProcessors: true } };
}

interface Opened {
  readonly memory: Memory;
  readonly target: Target;
  readonly at: ReadonlyMap<string, bigint>;
}

function open(scenario: Scenario): Opened {
  const { bytes, symbols, layoutMap } = forge(scenario, images);
  if (bytes === null) throw new Error('no bytes');
  const dump = openDump(bytesSource(bytes, scenario.id));
  // Memory that the dump lacks ends a full dump early: there is no other way to leave a page out.
  const absent = scenario.drop?.some((drop) => typeof drop !== 'object' || (drop.as ?? 'absent') === 'absent');
  const lacks = scenario.dump === 'full' && absent === true ? ['truncated-file'] : [];
  expect(dump.problems.map((problem) => problem.id)).toEqual(lacks);
  const files = new Map(symbols.map((file) => [file.name.toLowerCase(), file.bytes]));
  const target = openTarget(dump, { answers: { answer: (request) => files.get(request.name.toLowerCase()) } });
  return { memory: new Memory(dump.memory()), target, at: layoutMap };
}

/** Words that decide a verdict: address, size, value; by scenario, for its siblings where nothing else is said. */
const words: Readonly<Record<string, readonly (readonly [bigint, 4 | 8, bigint])[]>> = {
  S03: [[0xfffff80d548a61c0n, 8, 1n]],
  'S03-corrupt': [[0xfffff80d548a61c0n, 8, 2n]],
  'S03-moved': [[0xfffff80d55ad61c0n, 8, 1n]],
  S14: [[0xfffff80d548a61c0n, 8, 0n]],
  S04: [
    [0xffffe000a1683c70n, 8, 1n],
    [0xffffe000a1658650n, 8, 1n],
  ],
  'S04-free': [
    [0xffffe000a1683c70n, 8, 1n],
    [0xffffe000a1658650n, 8, 0n],
  ],
  S08: [
    [0xffffa98012340020n, 8, 0xffffa98012340040n],
    [0xffffa98012340040n, 8, 0xffffa98012340020n],
    [0xffffa98012340050n, 4, 0x22n],
  ],
  'S08-finite': [[0xffffa98012340040n, 8, 0xffffa98011110008n]],
  'S08-key-found': [[0xffffa98012340050n, 4, 0x77n]],
  'X-queued-self': [
    [0xffffa9851d204058n, 8, 0xfffffb0c5a2f6ab8n], // lock word: the own entry is the tail
    [0xfffffb0c5a2f6ab8n, 8, 0n],
    [0xfffffb0c5a2f6ac0n, 8, 0xffffa9851d204059n], // own entry: lock | WAIT
    [0xfffffb0c5a2f6b10n, 8, 0xfffffb0c5a2f6ab8n], // predecessor's Next
    [0xfffffb0c5a2f6b18n, 8, 0xffffa9851d204058n],
  ],
  'X-queued-clear': [[0xfffffb0c5a2f6ac0n, 8, 0xffffa9851d204058n]],
  'X-queued-leaked': [[0xfffffb0c5a2f6780n, 8, 0xfffffb0c5a2f6ab8n]],
  'X-queued-other': [[0xfffffb0c5a316b80n, 8, 0xfffffb0c5a2f6ab8n]],
  'X-dpc-idle': [[0xffffa9851e117040n, 8, 1n]],
  'X-dpc-levels': [[0xffffa9851e117040n, 8, 1n]],
  'X-ex-upgrade': [[0xffffa9851e117080n, 4, 1n]],
  'X-ex-free': [[0xffffa9851e117080n, 4, 0n]],
  'X-contended': [[0xffffa9851e117040n, 8, 1n]],
  'arm64-plain-lock': [[0xffffbb8ec1d40040n, 8, 1n]],
  'X-arm64-packed': [[0xffffbb8ec1d40040n, 8, 1n]],
};

const bare = (name: string): string => name.replace(/\+0x[0-9a-f]+$/, '');

/** The names of `plan` in this order, others between them allowed. */
function follows(trace: readonly string[], plan: readonly string[]): boolean {
  let next = 0;
  for (const name of trace) if (next < plan.length && name.startsWith(plan[next] ?? '')) next += 1;
  return next === plan.length;
}

function walks(target: Target): StackTrace[] {
  return target.processors.flatMap((processor) =>
    processor.registers === null ? [] : [target.walkStack(processor.registers)],
  );
}

/** Length of the x64 call instruction at `at` of `bytes`, 0 where there is none. */
function callLength(bytes: Uint8Array, at: number): number {
  const rex = ((bytes[at] ?? 0) & 0xf0) === 0x40 ? 1 : 0;
  const op = bytes[at + rex];
  if (op === 0xe8) return rex + 5;
  const modrm = bytes[at + rex + 1] ?? 0;
  if (op !== 0xff || ((modrm >> 3) & 7) !== 2) return 0;
  const mod = modrm >> 6;
  const rm = modrm & 7;
  if (mod === 3) return rex + 2;
  const sib = rm === 4 ? 1 : 0;
  const displacement = mod === 1 ? 1 : mod === 2 || (mod === 0 && rm === 5) ? 4 : 0;
  return rex + 2 + sib + displacement;
}

function followsCall(memory: Memory, pc: Va): boolean {
  const bytes = memory.bytes(va(pc - 7n), 7);
  return bytes !== undefined && [0, 1, 2, 3, 4, 5].some((at) => callLength(bytes, at) === 7 - at);
}

describe.each(kinds)('as %s dump', (kind) => {
  it.each(names)('%s is found as planned', (name) => {
    const scenario = scenarioOf(name, kind);
    const { memory, target } = open(scenario);
    const own = words[name] ?? [];
    for (const [address, size, value] of own) {
      const found = size === 8 ? memory.u64(address) : memory.u32(address);
      // A triage dump holds what the registers and the stack of the processor that bugchecked point at.
      if (kind === 'triage' && found === undefined && !/^X-dpc/.test(name)) continue;
      expect(`${address.toString(16)}: ${found?.toString(16)}`).toBe(`${address.toString(16)}: ${value.toString(16)}`);
    }
    expect(target.processors.length).toBe(scenario.processors.length);
    const order = scenario.processorOrder ?? scenario.processors.map((_, index) => index);
    target.processors.forEach((processor, index) => {
      const spec = scenario.processors[order[index] ?? 0];
      expect(processor.idleThread).toBe(spec?.thread === 'idle');
      // Nobody was frozen where an acquisition tool wrote the dump.
      if (spec?.state !== 'running') expect(processor.contextTrust).toBe(spec?.state);
      if (spec?.state === 'bugchecking') expect(target.currentProcessor).toBe(index);
    });
    const traces = walks(target).map((trace) => {
      const kernel = trace.frames.filter((frame) => frame.stack !== 'unknown' || frame.trust !== 'trap-frame');
      return { trace, kernel, names: kernel.map((frame) => bare(target.nameOf(frame.pc).text)) };
    });
    // Neither unwind data in the dump nor an image that holds it: the stack is scanned.
    if (kind === 'triage' && scenario.symbols === 'none') return;
    const trusted = ['context', 'trap-frame', 'unwind-data', 'leaf'];
    for (const { trace, kernel } of traces) {
      expect(
        kernel
          .filter((frame) => frame.registers.arch !== 'x86')
          .map((frame) => frame.trust)
          .filter((trust) => !trusted.includes(trust)),
      ).toEqual([]);
      expect(['no-return-address', 'user-mode']).toContain(trace.endReason);
    }
    if (scenario.symbols === 'none') return;
    for (const [stack, contents] of Object.entries(scenario.stacks ?? {})) {
      // Public names are printed with one underscore less, as WinDbg does.
      const plan = contents.frames.flatMap((frame) =>
        frame.at === undefined ? [] : [bare(frame.at).replace('!_', '!')],
      );
      const met = traces.some((trace) => follows(trace.names, plan));
      expect(met ? stack : [stack, plan, traces.map((trace) => trace.names)]).toBe(stack);
    }
  });
});

describe('return addresses', () => {
  it.each(names.filter((name) => !name.includes('arm64')))('of %s stand behind calls', (name) => {
    const { target } = open(scenarioOf(name, 'bitmap-kernel'));
    const astray: string[] = [];
    for (const trace of walks(target)) {
      for (const [index, frame] of trace.frames.entries()) {
        const callee = trace.frames[index - 1];
        if (callee === undefined || callee.trapFrame !== null || frame.trust === 'trap-frame') continue;
        if (!followsCall(target.memory, frame.pc)) astray.push(target.nameOf(frame.pc).text);
      }
    }
    expect(astray).toEqual([]);
  });
});

const hex = (value: bigint): string => value.toString(16);

function framesOf(name: string, processor: number): { target: Target; frames: readonly Frame[] } {
  const { target } = open(scenarioOf(name, 'bitmap-kernel'));
  const from = target.processors[processor]?.interrupted;
  if (from == null) throw new Error(`processor ${processor} has no context`);
  return { target, frames: target.walkStack(from).frames };
}

describe('published addresses', () => {
  it('S03: stack pointers and return addresses of ebpf-for-windows#1510', () => {
    const { frames } = framesOf('S03', 3);
    expect(frames.slice(0, 6).map((frame) => `${hex(frame.sp)} ${hex(frame.returnAddress ?? 0n)}`)).toEqual([
      'ffff8687621ee640 fffff80238c9956f',
      'ffff8687621ee670 fffff80d54884664',
      'ffff8687621ee6a0 fffff80d54882bc5',
      'ffff8687621ee6d0 fffff80d5487c02d',
      'ffff8687621ee7b0 fffff80d548820d0',
      'ffff8687621ee8d0 fffff80d5488259d',
    ]);
    expect(hex(frames[0]?.pc ?? 0n)).toBe('fffff80238d0a1d3');
    expect(frames[0]?.registers.values.get('rdi')).toBe(0xfffff80d548a61c0n);
  });

  it('S04: both processors of virtio-win#52 at one acquire site', () => {
    for (const [processor, sp, lock] of [
      [0, 0xfffff80174698350n, 0xffffe000a1683c70n],
      [1, 0xffffd0010cd67aa0n, 0xffffe000a1658650n],
    ] as const) {
      const { frames } = framesOf('S04', processor);
      expect(hex(frames[0]?.pc ?? 0n)).toBe('fffff801730f0c42');
      expect(frames[0]?.sp).toBe(sp);
      expect(frames[0]?.registers.values.get('rcx')).toBe(lock);
      expect(frames.slice(0, 3).map((frame) => hex(frame.returnAddress ?? 0n))).toEqual([
        'fffff801730f0be2',
        'fffff8003c00942d',
        'fffff8003c009b78',
      ]);
    }
    const { frames } = framesOf('S04', 0);
    const send = frames.find((frame) => frame.sp === 0xfffff80174699240n);
    expect(hex(send?.returnAddress ?? 0n)).toBe('fffff8003c1388e6');
  });

  it('S07: the holder below the fault, two waiters', () => {
    const holder = framesOf('S07', 1);
    expect(hex(holder.frames[0]?.pc ?? 0n)).toBe('fffff8014d54c7ae');
    expect(holder.frames.map((frame) => hex(frame.pc))).toContain('fffff8016d431375');
    const fault = open(scenarioOf('S07', 'bitmap-kernel')).target;
    const start = fault.processors[1]?.registers;
    if (start == null) throw new Error('no context');
    expect(
      fault
        .walkStack(start)
        .frames.slice(0, 3)
        .map((frame) => hex(frame.pc)),
    ).toEqual(['fffff80149616970', 'fffff8014962bfa9', 'fffff80149627634']);
    for (const [processor, site] of [
      [4, 'fffff8016d431153'],
      [5, 'fffff8016d431468'],
    ] as const) {
      const { frames } = framesOf('S07', processor);
      expect(frames.slice(0, 3).map((frame) => hex(frame.pc))).toEqual(['fffff8014944059c', 'fffff8014944056e', site]);
    }
    expect(
      framesOf('S07', 5)
        .frames.slice(0, 3)
        .map((frame) => hex(frame.sp)),
    ).toEqual(['fffffb0289e67310', 'fffffb0289e67340', 'fffffb0289e67370']);
  });

  it('S08: the walk in npfx!FindOpen', () => {
    const { frames } = framesOf('S08', 2);
    expect(hex(frames[0]?.pc ?? 0n)).toBe('fffff80a1c2b4416');
    const values = frames[0]?.registers.values;
    expect([values?.get('rax'), values?.get('rdx'), values?.get('r8')]).toEqual([
      0xffffa98012340020n,
      0xffffa98011110008n,
      0x77n,
    ]);
  });
});

/** The wait loops as cases/spin-states.json lists them (code_forms). */
describe('code forms', () => {
  it.each([
    ['S04', 'nt!KxWaitForSpinLockAndAcquire', 'f390488b014885c075f6f0480fba290072eec3'],
    [
      'S03',
      'nt!KxWaitForSpinLockAndAcquire',
      '48895c2408574883ec204889cf31dbffc3f390488b074885c075f4f0480fba2f0072ec89d8488b5c24304883c4205fc3',
    ],
    ['X-queued-self', 'nt!KxWaitForLockOwnerShip', '488349080148890af390488b4108a80175f6c3'],
    [
      'X-ex-upgrade',
      'nt!ExpWaitForSpinLockExclusiveAndAcquire',
      'f3908b01a90000008075f5a9ffffff3f75eef00fba291f72e7c3',
    ],
    ['S08', 'npfx!FindOpen', '443940107408488b004839d075f2c3'],
  ])('%s: %s', (name, symbol, code) => {
    const { target } = open(scenarioOf(name, 'full'));
    const at = target.resolve(symbol);
    if (at === undefined) throw new Error(`${symbol} is not known`);
    const bytes = target.memory.bytes(at, code.length / 2);
    expect(Buffer.from(bytes ?? []).toString('hex')).toBe(code);
  });
});

describe('levels', () => {
  it('the interrupted level is the trap frame’s', () => {
    const level = (name: string, processor: number): number | undefined =>
      open(scenarioOf(name, 'bitmap-kernel')).target.processors[processor]?.irql?.level;
    expect(level('X-dpc-idle', 1)).toBe(2);
    expect(level('X-dpc-levels', 1)).toBe(2);
    expect(level('X-busy', 0)).toBe(0);
  });

  it('a DPC over a thread leads from the DPC stack back to it', () => {
    const { frames } = framesOf('X-dpc-levels', 1);
    expect([...new Set(frames.map((frame) => frame.stack))]).toEqual(['dpc', 'thread']);
    const dpc = frames.findIndex((frame) => frame.trapFrame === 0xfffffb0c5a2f6d30n);
    expect(frames[dpc + 1]?.registers.values.get('rbx')).toBe(0xffffa9851e117000n);
  });

  it('a DPC over the idle thread is not idle', () => {
    const { target } = open(scenarioOf('X-dpc-idle', 'bitmap-kernel'));
    expect(target.processors.map((processor) => [processor.idleThread, processor.idle])).toEqual([
      [true, true],
      [true, false],
      [true, true],
      [true, true],
    ]);
  });
});
