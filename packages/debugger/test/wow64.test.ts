import { bytesSource, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { forge, resolveScenario } from '../../forge/src/index.ts';
import { images, scenarios } from '../../forge/test/shipped.ts';
import { createRegistry, createSession, executeLine } from '../src/commands/index.ts';
import { openTarget } from '../src/target/open.ts';

/** The 32-bit half of a thread's user stack on 64-bit Windows. */

function stackOf(patch: Record<string, unknown>) {
  const scenario = resolveScenario({ id: 'test', title: 'test', base: 'X-wow64', patch }, scenarios);
  const { bytes } = forge(scenario, images);
  if (bytes === null) throw new Error('no bytes');
  const target = openTarget(openDump(bytesSource(bytes, 'wow64')));
  const registers = target.processors[1]?.registers;
  if (registers == null) throw new Error('no registers');
  const trace = target.walkStack(registers);
  const process = target.thread(target.processors[1]?.currentThread ?? 0n)?.process ?? null;
  const user = trace.frames
    .slice(trace.frames.findIndex((frame) => frame.pc < 0x8000_0000_0000n))
    .map((frame) => `${frame.index} ${frame.registers.arch} ${target.nameOf(frame.pc, process).text} ${frame.trust}`);
  return { trace, user };
}

describe('WOW64', () => {
  it('follows the 64-bit half from the context that it saved', () => {
    const { trace, user } = stackOf({});
    expect(user).toEqual([
      '10 x64 0x7ffd4b0cd0a4 trap-frame',
      '11 x86 ntdll+0x7296c context',
      '12 x86 KERNELBASE+0x108d3 leaf',
      '13 x86 qtest+0x1337 frame-pointer',
      '14 x86 ntdll+0x67c6d frame-pointer',
    ]);
    expect(trace.endReason).toBe('no-return-address');
    expect(trace.frames[11]?.args.slice(0, 2)).toEqual([0x1cn, 0n]);
    expect(trace.frames[13]?.registers.values.get('ebp')).toBe(0x57f920n);
  });

  it('takes the place of the user part where 32-bit code itself was interrupted', () => {
    const { user } = stackOf({
      trapFrames: { 'system call': { regs: { cs: '23', rip: '75d508ce', rsp: '57f8c8', rbp: '57f8f8' } } },
    });
    expect(user[0]).toMatch(/ x86 KERNELBASE\+0x108ce /);
    expect(user.slice(1).map((line) => line.split(' ')[2])).toEqual(['qtest+0x1337', 'ntdll+0x67c6d']);
  });

  it('says nothing of a half that is not there', () => {
    // No CONTEXT_i386 in the flags, no area, a stack that is not in the dump, a process that is not 32-bit.
    expect(stackOf({ memory: { d4fd04: { dword: '7f', process: 'qtest' } } }).user).toHaveLength(1);
    expect(stackOf({ memory: { '6a1f3c9488': { pointer: 0, process: 'qtest' } } }).user).toHaveLength(1);
    expect(stackOf({ memory: { d4fdc8: { dword: '12340000', process: 'qtest' } } }).user).toHaveLength(1);
    const fields = { WoW64Process: 0 };
    expect(stackOf({ processes: { qtest: { fields } } }).user).toHaveLength(1);
  });

  it('a frame chain in a circle ends', () => {
    const { trace } = stackOf({ memory: { '57f930': { dwords: ['57f8f8', 'a81337'], process: 'qtest' } } });
    expect(trace.frames.length).toBeLessThan(20);
    expect(trace.endReason).not.toBe('frame-limit');
  });
});

function opened(patch: Record<string, unknown>) {
  const scenario = resolveScenario({ id: 'test', title: 'test', base: 'X-wow64', patch }, scenarios);
  const { bytes } = forge(scenario, images);
  if (bytes === null) throw new Error('no bytes');
  const session = createSession(openTarget(openDump(bytesSource(bytes, 'wow64'))));
  const registry = createRegistry();
  const run = (line: string): string =>
    [...executeLine(registry, session, line)].map((d) => `${d.text}${d.error ?? ''}`).join('');
  run('~1s');
  return { session, run };
}

describe('.effmach', () => {
  it('shows the 32-bit half in r, k, u and d', () => {
    const { run, session } = opened({});
    expect(run('.effmach')).toBe('Effective machine: x64 (AMD64)\n');
    const wide = run('r; k; dp esp L1');
    expect(run('.effmach x86')).toBe('Effective machine: x86 compatible (x86)\n');
    // CONTEXT of the reserved area, as the scenario lays it out.
    expect(run('r')).toBe(
      [
        'eax=00000000 ebx=00000022 ecx=00000000 edx=001b0007 esi=00000011 edi=00000000',
        'eip=77b8296c esp=0057f8c4 ebp=0057f8f8 iopl=0         nv up ei pl nz na pe nc',
        'cs=0023  ss=002b  ds=002b  es=002b  fs=0053  gs=002b             efl=00000206',
        'ntdll+0x7296c:',
        '77b8296c c22800          ret     28h',
        '',
      ].join('\n'),
    );
    expect(run('k').split('\n').slice(0, 3)).toEqual([
      'ChildEBP RetAddr  ',
      '0057f8f8 75d508d3 ntdll+0x7296c',
      '0057f8f8 00a81337 KERNELBASE+0x108d3',
    ]);
    expect(run('kn')).toContain('03 0057f930 00000000 ntdll+0x67c6d\n');
    expect(run('k = ebp esp eip')).toBe(run('k'));
    expect(run('u eip L1')).toBe('ntdll+0x7296c:\n77b8296c c22800          ret     28h\n');
    expect(run('dp esp L2')).toBe('0057f8c4  75d508d3 0000001c\n');
    expect(run('? poi(esp)')).toBe('Evaluate expression: 1976895699 = 75d508d3\n');
    expect(run('.frame /c 2')).toContain('qtest+0x1337\n');
    expect(run('r eip')).toBe('eip=00a81337\n');
    // Other commands stay with the dump's machine.
    expect(run('lm m nt')).toMatch(/^start {13}end/);
    expect(run('.effmach')).toBe('Effective machine: x86 compatible (x86)\n');
    for (const own of ['.', '#', 'amd64']) {
      run('.effmach x86');
      expect(run(`.effmach ${own}`)).toBe('Effective machine: x64 (AMD64)\n');
      expect(run('r; k; dp esp L1')).toBe(wide);
    }
    expect(session.context).toBeNull();
  });

  it('takes the registers of 32-bit code that was interrupted', () => {
    const { run } = opened({
      trapFrames: { 'system call': { regs: { cs: '23', rip: '75d508ce', rsp: '57f8c8', rbp: '57f8f8' } } },
    });
    run('.effmach x86');
    expect(run('r eip,esp')).toBe('eip=75d508ce esp=0057f8c8\n');
    expect(run('k')).toMatch(/KERNELBASE\+0x108ce\n/);
  });

  it('shows itself in the prompt and follows the thread', () => {
    const { run, session } = opened({});
    run('.effmach x86');
    const prompts = (line: string): string[] => [...executeLine(createRegistry(), session, line)].map((d) => d.prompt);
    expect(prompts('.echo a')).toEqual(['1: kd:x86> ']);
    expect(run('~0s')).toBe('');
    expect(run('r')).toMatch(/^There is no WOW64 half of thread fffff803\w+ in the dump$/);
    expect(run('1k 1')).toContain('ntdll+0x7296c');
    run('.effmach .');
    expect(prompts('.echo a')).toEqual(['0: kd> ']);
  });

  it('says what is missing', () => {
    const fields = { WoW64Process: 0 };
    expect(opened({ processes: { qtest: { fields } } }).run('.effmach x86')).toMatch(/^There is no WOW64 half/);
    const { run, session } = opened({ memory: { '6a1f3c9488': { pointer: 0, process: 'qtest' } } });
    expect(run('.effmach x86')).toMatch(/^The 32-bit registers of thread \w+ are not in the dump/);
    expect(session.machine).toBeNull();
    expect(run('.effmach arm64')).toBe('Machine type arm64 is not that of the dump');
    expect(run('.effmach vax')).toMatch(/Syntax error/);
  });
});
