import { bytesSource, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { forge, resolveScenario } from '../../forge/src/index.ts';
import { images, scenarios } from '../../forge/test/shipped.ts';
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
