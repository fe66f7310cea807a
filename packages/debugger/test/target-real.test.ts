import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, type Dump, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import type { Target } from '../src/target/model.ts';
import { openTarget } from '../src/target/open.ts';
import { isUserMode } from '../src/target/registers.ts';
import { here, shared } from './target-support.ts';

const kernelDumps =
  shared === null ? [] : readdirSync(join(shared, 'dumps', 'kernel')).filter((name) => name.endsWith('.dmp'));

function open(path: string): Dump {
  return openDump(bytesSource(readFileSync(join(shared ?? '', 'dumps', path)), path));
}

const hex = (value: bigint | null | undefined) => (value == null ? '-' : value.toString(16));

/** Module and offset: no names, so that the text does not depend on the symbols at hand. */
function place(target: Target, pc: bigint): string {
  const module = target.moduleAt(pc);
  return module === undefined ? hex(pc) : `${module.name}+${(pc - module.base).toString(16)}`;
}

/** Processors and the bugchecking processor's stack: the text that was reviewed by hand once. */
function describeTarget(target: Target): string {
  const out = [
    `bugcheck ${target.bugcheck === null ? 'none' : target.bugcheck.code.toString(16)} ${target.bugcheck?.name ?? ''}`.trim(),
    `layouts ${target.layouts.trust}, current processor ${target.currentProcessor}, modules ${target.modules.length}`,
  ];
  for (const p of target.processors) {
    const irql = p.irql === null ? 'irql ?' : `irql ${p.irql.level} ${p.irql.kind}: ${p.irql.source}`;
    out.push(
      `cpu ${p.number} prcb ${hex(p.prcb)} thread ${hex(p.currentThread)} ${p.contextTrust} idleThread ${p.idleThread} idle ${p.idle} dpc ${p.dpcRoutineActive}`,
      `  pc ${p.registers === null ? '-' : place(target, p.registers.pc)} interrupted ${p.interrupted === null ? '-' : place(target, p.interrupted.pc)} (${p.interruptedFrom ?? '-'}) ${irql}`,
    );
  }
  for (const p of target.processors) {
    // Idle processors all stand in the same loop; user-mode ones have no kernel stack to show.
    if (p.registers === null || p.idle === true || isUserMode(p.registers)) continue;
    out.push(`stack of cpu ${p.number}`);
    const trace = target.walkStack(p.registers);
    for (const frame of trace.frames)
      out.push(
        `${hex(frame.sp)} ${hex(frame.returnAddress)} ${frame.trust} ${frame.stack} ${place(target, frame.pc)}${frame.remark === null ? '' : ` (${frame.remark})`}`,
      );
    out.push(`end: ${trace.endReason}`);
  }
  return `${out.join('\n')}\n`;
}

describe.skipIf(shared === null)('real dumps', () => {
  it.each(kernelDumps)('%s', (name) => {
    const text = describeTarget(openTarget(open(`kernel/${name}`)));
    const golden = join(here, 'goldens', `${name.replace(/\.dmp$/, '')}.txt`);
    if (process.env['UPDATE_GOLDENS'] === '1' || !existsSync(golden)) writeFileSync(golden, text);
    expect(text).toBe(readFileSync(golden, 'utf8'));
  });

  it('0x133: the spin below the clock interrupt of processor 4', () => {
    const target = openTarget(open('kernel/x64-19041-0x133-cumulative-24cpu.dmp'));
    expect(target.processors.length).toBe(24);
    expect(target.currentProcessor).toBe(4);
    expect(target.bugcheck).toMatchObject({ code: 0x133, parameters: [1n, 0x1e00n, 0xfffff800576fb320n, 0n] });
    const four = target.processors[4];
    expect(four?.interrupted?.pc).toBe(0xfffff80056a00000n + 0x231738n);
    expect(four?.interrupted?.values.get('rax')).toBe(0xffffa18000000028n);
    expect(four?.interrupted?.values.get('rdx')).toBe(0xc000f6282n);
    expect(four?.interrupted?.flags).toBe(0x40202);
    expect(four?.interruptedFrom).toContain('ffffbd81598ae750');
    expect(four?.irql).toMatchObject({ level: 2, kind: 'exact', address: 0xffffbd81598ae779n });
    expect(target.processors.filter((p) => p.idleThread === false).map((p) => p.number)).toEqual([2, 4, 6, 8, 10]);
    expect(target.processors.filter((p) => p.idle === true).length).toBe(19);
    // What the freezer left is no level of the frozen code.
    for (const p of target.processors)
      if (p.contextTrust === 'frozen') expect(p.irql?.source ?? '').not.toMatch(/Saved|Cr8/);
    const thread = target.thread(four?.currentThread ?? 0n);
    expect(thread?.waitTime).toBe(157912);
    expect(thread?.kernelTime).toBe(7684);
    expect(target.time).toMatchObject({ tickCount: 165592n, tickIncrement: 156250 });
    expect(four?.stacks.map((range) => range.kind)).toEqual(expect.arrayContaining(['thread', 'dpc', 'isr']));
  });

  it('0x3B: a DPC over the idle thread clears nobody', () => {
    const target = openTarget(open('kernel/x64-19041-0x3b-ntfs.dmp'));
    expect(target.layouts.trust).toBe('exact');
    expect(target.kernel?.pdb?.guid).toMatch(/^89284D0C/i);
    expect(target.processors[0]).toMatchObject({ idleThread: true, idle: false, dpcRoutineActive: true });
    const nine = target.processors[9];
    expect(nine?.contextTrust).toBe('bugchecking');
    expect(place(target, nine?.interrupted?.pc ?? 0n)).toBe('Ntfs+eec45');
  });

  it('0x7E: the header context is the exception’s own', () => {
    const target = openTarget(open('kernel/x64-19041-0x7e-amdppm.dmp'));
    expect(target.bugcheck).toMatchObject({
      code: 0x1000007e,
      baseCode: 0x7e,
      name: 'SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M',
    });
    expect(place(target, target.processors[0]?.interrupted?.pc ?? 0n)).toBe('amdppm+334c');
    expect(target.processors.length).toBe(16);
    expect(target.nameOf(target.kdbg?.pointer('PsLoadedModuleList') ?? 0n).text).toBe('nt!PsLoadedModuleList');
  });

  it('ARM64: eight contexts by KDBG offsets alone', () => {
    const target = openTarget(open('kernel/arm64-22000-0x1c8.dmp'));
    expect(target.layouts.trust).toBe('none');
    expect(target.processors.length).toBe(8);
    expect(target.processors.every((p) => p.registers !== null && p.currentThread !== null)).toBe(true);
    expect(place(target, target.bugcheck?.parameters[1] ?? 0n)).toBe('nt+c20860');
  });

  it('1C7: only the processor that wrote the dump', () => {
    const target = openTarget(open('kernel/x64-19041-0x1c7-no-prcbs.dmp'));
    expect(target.processors.map((p) => p.number)).toEqual([18]);
    expect(target.processorNote).toContain('23');
    expect(target.limits.some((limit) => limit.path === 'processors')).toBe(true);
  });

  it('asks for images first where no record names a PDB', () => {
    const target = openTarget(open('kernel/x64-19041-0x133-cumulative-24cpu.dmp'));
    expect(target.requests).toContainEqual({
      kind: 'image',
      module: 'nt',
      name: 'ntoskrnl.exe',
      timeDateStamp: 0x3e4ef1d4,
      sizeOfImage: 0x1046000,
      learned: expect.stringMatching(/^driver list of the dump, entry of 0xfffff80/),
    });
  });

  it('a header-only dump of an acquisition tool degrades', () => {
    const target = openTarget(open('broken/x64-19045-header-only.dmp'));
    expect(target.bugcheck).toBeNull();
    expect(target.bugcheckNote).toContain('MATT MOON SOLS');
    expect(target.processors.every((p) => p.contextTrust !== 'bugchecking')).toBe(true);
    expect(target.processes()).toEqual([]);
    expect(target.threads()).toEqual([]);
    expect(target.time.tickCount).toBeNull();
    expect(target.kernel).toBeNull();
    expect(target.thread(0xffff800012345678n)?.state ?? null).toBeNull();
    expect(target.trapFrame(0xffff800012345678n)).toBeNull();
    expect(target.nameOf(0xfffff80012345678n).text).toBe('0xfffff80012345678');
    expect(target.limits.length).toBeGreaterThan(0);
  });
});
