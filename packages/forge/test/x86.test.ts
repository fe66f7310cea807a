/** The seed's machine and its siblings: what they plan is what the debugger, which shares no code with the forge, finds. */
import { bytesSource, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { openTarget, type StackTrace, type Target } from '../../debugger/src/index.ts';
import { forge, loadScenario, type Scenario } from '../src/index.ts';
import { images, scenarios } from './shipped.ts';

const names = scenarios.names().filter((name) => /^S0[12]/.test(name));
const kinds = ['full', 'kernel-summary', 'bitmap-kernel', 'triage'] as const;

interface Opened {
  readonly target: Target;
  readonly at: ReadonlyMap<string, bigint>;
}

function open(scenario: Scenario): Opened {
  const { bytes, symbols, layoutMap } = forge(scenario, images);
  if (bytes === null) throw new Error('no bytes');
  const files = new Map(symbols.map((file) => [file.name.toLowerCase(), file.bytes]));
  const dump = openDump(bytesSource(bytes, scenario.id));
  const target = openTarget(dump, { answers: { answer: (request) => files.get(request.name.toLowerCase()) } });
  return { target, at: layoutMap };
}

const hex = (value: bigint): string => value.toString(16).padStart(8, '0');

/** A literal of a scenario; null for an expression. */
function literal(value: string | number | undefined): bigint | null {
  if (typeof value === 'number') return BigInt(value);
  return value !== undefined && /^[0-9a-f]+$/.test(value) ? BigInt(`0x${value}`) : null;
}

function walks(target: Target): StackTrace[] {
  return target.processors.flatMap((processor) =>
    processor.registers === null ? [] : [target.walkStack(processor.registers)],
  );
}

describe.each(kinds)('as %s dump', (kind) => {
  it.each(names)('%s is found as planned', (name) => {
    // Up to 8.1 a triage dump holds one processor; here all are to be found.
    const scenario: Scenario = { ...loadScenario(name, scenarios), dump: kind, triage: { allProcessors: true } };
    const { target, at } = open(scenario);
    expect(target.processors.length).toBe(scenario.processors.length);
    const order = scenario.processorOrder ?? scenario.processors.map((_, index) => index);
    target.processors.forEach((processor, number) => {
      const spec = scenario.processors[order[number] ?? 0];
      expect(processor.idleThread).toBe(spec?.thread === 'idle');
      expect(processor.contextTrust).toBe(spec?.state);
      const thread = spec?.thread === 'idle' ? `idle(${number})` : `thread(${spec?.thread})`;
      expect(processor.currentThread).toBe(at.get(thread));
      for (const [register, value] of Object.entries(spec?.context ?? {})) {
        const wanted = literal(value);
        if (wanted !== null)
          expect(`${register} ${hex(processor.registers?.values.get(register) ?? 0n)}`).toBe(
            `${register} ${hex(wanted)}`,
          );
      }
    });
    // Every page is there: trap frames and frame chains are what the scenario says, whatever the build's layout.
    if (scenario.drop !== undefined || kind === 'triage') return;
    for (const frame of Object.values(scenario.trapFrames ?? {})) {
      const found = target.trapFrame(literal(frame.at) ?? 0n);
      for (const [register, value] of Object.entries(frame.regs)) {
        const wanted = literal(value);
        if (wanted !== null)
          expect(`${register} ${hex(found?.values.get(register) ?? 0n)}`).toBe(`${register} ${hex(wanted)}`);
      }
    }
    if (scenario.symbols === 'none') return;
    // Names without offsets: some siblings stand at other places of the same functions.
    const bare = (text: string): string => text.replace(/\+0x[0-9a-f]+$/, '');
    const seen = walks(target).map((trace) => trace.frames.map((frame) => bare(target.nameOf(frame.pc).text)));
    for (const [stack, contents] of Object.entries(scenario.stacks ?? {})) {
      const plan = contents.frames.flatMap((frame) => (frame.at === undefined ? [] : [bare(frame.at)]));
      // A DPC leaves the stack that it interrupted by ESP alone, which no frame data describes (nor does WinDbg follow it).
      if (stack === 'interrupted' && name === 'S01-dpc-levels') continue;
      const met = seen.some((trace) => {
        let next = 0;
        for (const text of trace) if (text === plan[next]) next += 1;
        return next === plan.length;
      });
      expect(met ? stack : [stack, plan, seen]).toBe(stack);
    }
  });
});

describe('builds', () => {
  it.each([
    ['S01a', '5.1.2600.5512', true],
    ['S01-no-pae', '5.1.2600.5512', false],
    ['S01-7601', '6.1.7601', true],
    ['S01-7601-no-pae', '6.1.7601', false],
    ['S01-19041', '10.0.19041.928', true],
  ] as const)('%s: %s, PAE %s', (name, build, pae) => {
    const scenario = loadScenario(name, scenarios);
    expect([scenario.build, scenario.pae]).toEqual([build, pae]);
    const { target } = open(scenario);
    expect(target.dump.header.paeEnabled).toBe(pae);
    const [spinning, idle] = target.processors;
    const thread = target.thread(spinning?.currentThread ?? 0n);
    expect(thread).toMatchObject({ waitTime: 122850, kernelTime: 40794, userTime: 0, contextSwitches: 191 });
    expect(target.process(thread?.process ?? 0n)?.image).toBe('MyApp.EXE');
    expect(spinning?.irql).toMatchObject({ level: 2, kind: 'exact' });
    expect(spinning?.interrupted?.values.get('edx')).toBe(0xa07beb94n);
    expect([spinning?.idle, idle?.idle]).toEqual([false, true]);
    expect(target.memory.u32(0xa07be204n)).toBe(0x831dabf5);
    // The assembly kernels set OWNER, the compiled one does not.
    expect(target.memory.u32(0xa07beb98n)).toBe(name === 'S01-19041' ? 0x831dabf4 : 0x831dabf6);
  });

  it('without PAE on every build', () => {
    const { target } = open({ ...loadScenario('S01-19041', scenarios), pae: false });
    expect(target.dump.header.paeEnabled).toBe(false);
    expect(target.trapFrame(0xa07be178n)?.values.get('ecx')).toBe(0xa07be200n);
  });
});

describe('triage dumps', () => {
  it.each(['S01a', 'S01-7601', 'S01-swapped'])('%s: up to 8.1 they hold the processor that bugchecked', (name) => {
    const scenario = loadScenario(name, scenarios);
    const { target } = open({ ...scenario, dump: 'triage' });
    const found = target.processors.filter((processor) => processor.currentThread !== null);
    expect(found.map((processor) => processor.contextTrust)).toEqual(['bugchecking']);
    expect(found[0]?.currentThread).toBe(0x830c07c0n);
    expect(found[0]?.interrupted?.pc).toBe(0x806e4a37n);
    expect(target.memory.u32(0xa07be204n)).toBe(0x831dabf5); // the call stack
    expect(target.memory.u32(0x831dabf4n)).toBeUndefined();
    const more = open({ ...scenario, dump: 'triage', triage: { memory: true } }).target;
    expect(more.memory.u32(0x831dabf4n)).toBe(0xa07be200);
  });
});

describe('levels', () => {
  it('S01-dpc-levels: the spinning code is on the DPC stack, over a thread that is not idle', () => {
    const { target } = open(loadScenario('S01-dpc-levels', scenarios));
    const [processor] = target.processors;
    expect([processor?.idleThread, processor?.idle, processor?.dpcRoutineActive]).toEqual([false, false, true]);
    const sp = processor?.interrupted?.sp ?? 0n;
    expect(target.stackAt(sp)).toMatchObject({ kind: 'dpc', base: 0xf8991000n });
    expect(target.stackAt(0xa07beb94n)).toMatchObject({ kind: 'thread', base: 0xa07bf000n });
  });

  it('S01-isr: one stack, the device interrupt between the waiter and the holder', () => {
    const { target } = open(loadScenario('S01-isr', scenarios));
    const start = target.processors[0]?.registers;
    if (start == null) throw new Error('no context');
    const { frames } = target.walkStack(start);
    expect(frames.map((frame) => frame.trapFrame).filter((at) => at !== null)).toEqual([
      0xa07be0e0n,
      0xa07be1bcn,
      0xa07bed64n,
    ]);
  });
});

describe('places', () => {
  it('that another build outgrows are refused', () => {
    const scenario = loadScenario('S01a', scenarios);
    expect(() => forge({ ...scenario, build: '6.1.7601' }, images)).toThrow(
      'kpcr(1) at f7737000 (3748 bytes) runs into idle(1) at f7739fa0',
    );
  });
});
