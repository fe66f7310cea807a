import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { checkScenario, forge } from '../../forge/src/index.ts';
import type { Frame, Target } from '../src/target/model.ts';
import { openTarget } from '../src/target/open.ts';
import { here } from './target-support.ts';

/** Whole machines from the forge: x86 XP with the seed's addresses, x64 10.0.17763. */

const folder = join(here, '..', '..', 'forge');

function forged(name: string, options: { symbols?: boolean; patch?: Record<string, unknown> } = {}): Target {
  const json = JSON.parse(readFileSync(join(folder, 'scenarios', `${name}.json`), 'utf8')) as Record<string, unknown>;
  const result = forge(checkScenario({ ...json, ...options.patch }), {
    read(path) {
      const file = join(folder, 'images', path);
      return existsSync(file) ? readFileSync(file) : undefined;
    },
  });
  if (result.bytes === null) throw new Error('no bytes');
  const files = new Map(result.symbols.map((file) => [file.name.toLowerCase(), file.bytes]));
  return openTarget(
    openDump(bytesSource(result.bytes, name)),
    options.symbols === true ? { answers: { answer: (request) => files.get(request.name.toLowerCase()) } } : {},
  );
}

const hex = (value: bigint | null) => (value ?? 0n).toString(16).padStart(8, '0');

function rows(target: Target, frames: readonly Frame[]): string[] {
  return frames.map((frame) => {
    // As !thread on the page: remarks of trap frames alone.
    const remark = frame.remark === null || frame.trapFrame === null ? '' : ` (${frame.remark})`;
    return `${hex(frame.childEbp ?? frame.sp)} ${hex(frame.returnAddress)} ${target.nameOf(frame.pc).text}${remark}`;
  });
}

function stackOf(target: Target, number: number) {
  const processor = target.processors[number];
  if (processor?.registers == null) throw new Error(`processor ${number} has no registers`);
  return target.walkStack(processor.registers);
}

describe('the seed’s machine', () => {
  it('prints the page’s stack with symbols', () => {
    const target = forged('S01a', { symbols: true });
    const trace = stackOf(target, 0);
    expect(rows(target, trace.frames).slice(0, 6)).toEqual([
      'a07be0f8 f77777fa nt!KeBugCheckEx+0x1b',
      'a07be114 f7777032 i8042prt!I8xProcessCrashDump+0x237',
      'a07be15c 805448e5 i8042prt!I8042KeyboardInterruptService+0x21c',
      'a07be15c 806e4a37 nt!KiInterruptDispatch+0x45 (FPO: [0,2] TrapFrame @ a07be180)',
      'a07be220 a1342755 hal!KeAcquireInStackQueuedSpinLock+0x47',
      'a07be220 a134247f MyDriver!RcvData+0x98',
    ]);
    expect(trace.endReason).toBe('user-mode');
    expect(rows(target, stackOf(target, 1).frames)).toEqual(['f794cd54 00000000 nt!KiIdleLoop+0x14']);
    expect(target.nameOf(0x35f76821n).text).toBe('MyApp!ThreadImpersonation');
  });

  it.each([true, false])('interrupts the spin, whatever is known of names (symbols: %s)', (symbols) => {
    const target = forged('S01a', { symbols });
    const [spinning, idle] = target.processors;
    expect(target.currentProcessor).toBe(0);
    expect(spinning).toMatchObject({ contextTrust: 'bugchecking', idleThread: false, idle: false });
    expect(spinning?.interrupted?.pc).toBe(0x806e4a37n);
    expect(spinning?.interrupted?.sp).toBe(0xa07be1f4n);
    expect(spinning?.interrupted?.values.get('edx')).toBe(0xa07beb94n);
    expect(spinning?.interruptedFrom).toContain('trap frame a07be180');
    expect(spinning?.irql).toMatchObject({ level: 2, kind: 'exact' });
    expect(idle).toMatchObject({ contextTrust: 'frozen', idleThread: true, idle: true });
    const thread = target.thread(spinning?.currentThread ?? 0n);
    expect(thread).toMatchObject({ waitTime: 122850, kernelTime: 40794, userTime: 0, contextSwitches: 191 });
    expect(target.time).toMatchObject({ tickCount: 163646n, tickIncrement: 156250 });
    expect(target.process(thread?.process ?? 0n)?.image).toBe('MyApp.EXE');
  });

  it('walks the same frames without any symbols', () => {
    const pcs = (target: Target) => stackOf(target, 0).frames.map((frame) => hex(frame.pc));
    expect(pcs(forged('S01a'))).toEqual(pcs(forged('S01a', { symbols: true })));
  });

  it.each(['full', 'kernel-summary', 'triage'])('is the same machine in a dump of kind %s', (dump) => {
    const target = forged('S01a', { patch: { dump } });
    const spinning = target.processors.find((p) => p.number === target.currentProcessor);
    expect(target.currentProcessor).toBe(0);
    expect(spinning?.currentThread).toBe(0x830c07c0n);
    expect(spinning?.interrupted?.pc).toBe(0x806e4a37n);
  });
});

describe('an x64 machine', () => {
  it.each([true, false])('crosses the interrupt stack by unwind data (symbols: %s)', (symbols) => {
    const target = forged('S03', { symbols });
    const trace = stackOf(target, 0);
    expect([...new Set(trace.frames.map((frame) => frame.stack))]).toEqual(['isr', 'idle']);
    expect(trace.frames.slice(1).every((frame) => ['unwind-data', 'trap-frame'].includes(frame.trust))).toBe(true);
    expect(trace.endReason).toBe('no-return-address');
    expect(target.processors.map((p) => [p.contextTrust, p.idle])).toEqual([
      ['bugchecking', true],
      ['frozen', true],
      ['frozen', true],
      ['frozen', false],
    ]);
    expect(target.processors[0]?.irql).toMatchObject({ level: 0, kind: 'exact' });
    // Frozen: Cr8 15 is the freezer's, and nothing else was written.
    expect(target.processors[3]?.irql).toBeNull();
  });

  it('has the published stack of the spinning thread', () => {
    const target = forged('S03', { symbols: true });
    expect(
      stackOf(target, 3)
        .frames.slice(0, 6)
        .map((frame) => hex(frame.sp)),
    ).toEqual([
      'ffff8687621ee640',
      'ffff8687621ee670',
      'ffff8687621ee6a0',
      'ffff8687621ee6d0',
      'ffff8687621ee7b0',
      'ffff8687621ee8d0',
    ]);
  });
});

describe('without the page of KDDEBUGGER_DATA64', () => {
  for (const [name, page] of [
    ['S01a', '80545000'],
    ['S03', 'fffff802385ff000'],
  ] as const) {
    it(`${name}: KiProcessorBlock is found by what its entries point at`, () => {
      const whole = forged(name);
      const target = forged(name, { patch: { drop: [page] } });
      expect(target.kdbg).toBeNull();
      expect(target.processors.map((processor) => processor.prcb)).toEqual(
        whole.processors.map((processor) => processor.prcb),
      );
    });
  }
});
