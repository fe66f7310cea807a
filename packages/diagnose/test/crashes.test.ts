/**
 * Crashes: the real dumps of ../shared against goldens that were reviewed by hand against the bytes (kernel facts only),
 * and what the forged ones (C-*) must claim. Verdicts of the forged ones are checked by scenarios.test.ts.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, openDump } from '@dumpscope/core';
import { openTarget } from '@dumpscope/debugger';
import { describe, expect, it } from 'vitest';
import { diagnose, type Finding, type Report } from '../src/index.ts';
import { crashPatterns, crashText } from './crash-text.ts';
import { forgedTarget, scenarioNamed, scenarios } from './forged.ts';

const shared = process.env['DUMPSCOPE_SHARED'] ?? join(import.meta.dirname, '../../../../shared');
const folder = join(shared, 'dumps/kernel');
const there = existsSync(folder);
if (!there) console.warn(`SKIPPED: ${folder} is absent, crashes of real dumps are not tested`);

function real(name: string, change: (bytes: Uint8Array, view: DataView) => void = () => {}): Report {
  const bytes = new Uint8Array(readFileSync(join(folder, name)));
  change(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
  return diagnose(openTarget(openDump(bytesSource(bytes, name))), 'test');
}

function crash(report: Report): Finding | undefined {
  return report.findings.find((finding) => crashPatterns.has(finding.pattern));
}

function claims(finding: Finding | undefined): string {
  return (finding?.evidence ?? []).map((item) => `${item.outcome}: ${item.claim}`).join('\n');
}

/** Replaces every eight bytes that equal `from`; data blocks lie at any offset of the file. */
function replace(view: DataView, from: bigint, to: bigint): number {
  let n = 0;
  const low = Number(from & 0xffffffffn);
  for (let i = 0; i + 8 <= view.byteLength; i++)
    if (view.getUint32(i, true) === low && view.getBigUint64(i, true) === from) {
      view.setBigUint64(i, to, true);
      n++;
    }
  return n;
}

const list139 = 'x64-19041-0x139-list-corruption.dmp';
const ntfs3b = 'x64-19041-0x3b-ntfs.dmp';

describe.skipIf(!there)('crashes of real dumps', () => {
  for (const name of there ? readdirSync(folder).sort() : [])
    it(`${name}: as reviewed`, async () => {
      await expect(crashText(real(name))).toMatchFileSnapshot(
        join(import.meta.dirname, 'goldens', `${name.replace(/\.dmp$/, '')}.crash.txt`),
      );
    });

  it('0x139 with the wrong bit put right names no link', () => {
    const finding = crash(
      real(list139, (_bytes, view) => {
        expect(replace(view, 0xfff7c60914925de8n, 0xffffc60914925de8n)).toBeGreaterThan(0);
      }),
    );
    expect(finding).toMatchObject({ verdict: 'corrupt-list-entry', confidence: 'strong' });
    expect(finding?.title).not.toMatch(/bit/);
  });

  it('0x139 with another wrong value is no flipped bit', () => {
    const finding = crash(
      real(list139, (_bytes, view) => void replace(view, 0xfff7c60914925de8n, 0xffffc60914920ee8n)),
    );
    expect(finding).toMatchObject({ verdict: 'corrupt-list-entry' });
    expect(`${finding?.title} ${finding?.summary}`).not.toMatch(/wrong bit/);
    expect(finding?.blame[0]?.role).toBe('detector');
  });

  it('0x3B at another address than its instruction touches is no proof', () => {
    const finding = crash(
      real(ntfs3b, (_bytes, view) => {
        // Exception record's address and the trap frame's FaultAddress.
        expect(replace(view, 0x2010n, 0x9990n)).toBeGreaterThan(0);
      }),
    );
    expect(finding?.pattern).toBe('null-pointer');
    expect(finding?.confidence).toBe('likely');
    expect(claims(finding)).toMatch(/not the reported 9990/);
  });

  it('cutting a dump anywhere weakens and never proves', () => {
    const whole = new Uint8Array(readFileSync(join(folder, ntfs3b)));
    for (const part of [0.15, 0.3, 0.45, 0.6, 0.75, 0.9]) {
      const bytes = whole.slice(0, Math.floor(whole.length * part));
      const finding = crash(diagnose(openTarget(openDump(bytesSource(bytes, 'cut'))), 'test'));
      if (finding?.confidence === 'proven') expect(finding).toMatchObject({ pattern: 'null-pointer', verdict: 'data' });
    }
  });
});

function forged(name: string, symbols = false): Report {
  return diagnose(forgedTarget(scenarioNamed(name), { symbols }), 'test');
}

describe('crashes of forged dumps', () => {
  for (const [name, expected] of [
    ['C-d1-unmapped', [/\[rcx\+18h\] is 8 bytes at ffffc20b`5a7f2018 .*: what the report says/, /its PDE is 0: nothing is mapped there/]],
    ['C-d1-paged', [/paged out to page file 0, offset 0x1a34/]],
    ['C-d1-transition', [/not valid for the processor, the page is in transition/]],
    ['C-d1-elsewhere', [/not the reported ffffc20b5a7f3018/]],
    ['C-d1-no-code', [/undetermined: the instruction at crashdrv\S* cannot be read/]],
    ['C-d1-call-null', [/the top of the stack is the return address crashdrv\+0x1073/, /the instruction before it is call qword ptr \[rcx\+18h\]/]],
    ['C-d1-call-unloaded', [/gonedrv\.sys was unloaded from fffff80353cf0000\.\.fffff80353d00000/]],
    ['C-7e-noncanonical', [/the report gives no address to compare with/, /with bit 51 flipped it is ffffc20b5a3e7000/]],
    ['C-7e-list', [/without bit 13 it is null/, /it walks a list/]],
    ['C-7e-inside', [/lies inside the instruction at fffff803`53501009/]],
    ['C-139-removed', [/Flink->Blink is ffffc20b`5a3e7300, not ffffc20b`5a3e7100/, /Blink->Flink is ffffc20b`5a3e7200, not/]],
    ['C-7f-recursion', [/sp was ffffb804`12a4a000/, /repeats \d+ times/]],
    ['C-x86-overflow', [/TSS 82f0e000, where the double fault's task gate saved it/]],
    ['C-133-single', [/1,281 ticks \(20\.015 s\)/, /CurrentDpcRoutine is crashdrv!Work/]],
    ['C-101-hung', [/EFLAGS 46 \(interrupts off\)/]],
    ['C-9f-irp', [/waits at location 2 of 2: IRP_MJ_POWER, SET_POWER/, /location 2: the device ffffc20b`5a501000 belongs to crashdrv/]],
    ['C-18-object', [/PointerCount of the object header ffffc20b`5a3e7000 is -1/]],
    ['C-1a-one-bit', [/should be 0 and has bit 17 alone set/]],
  ] as const) // biome-ignore format: a table
    it(`${name}: its claims`, () => {
      const text = claims(crash(forged(name)));
      for (const claim of expected) expect(text).toMatch(claim);
    });

  it('who holds a spin lock is blamed for the page fault at raised level, not who faulted (S07)', () => {
    const finding = crash(forged('S07', true));
    expect(finding).toMatchObject({ pattern: 'invalid-pointer', verdict: 'pageable', confidence: 'proven' });
    expect(finding?.blame.map((item) => `${item.module} ${item.role}`)).toEqual(['TestDriver holder', 'Ntfs victim']);
  });

  it('two flipped bits are no flipped bit', () => {
    expect(crash(forged('C-7e-list'))?.title).toMatch(/one bit away from null/);
    expect(crash(forged('C-7e-list-bits'))?.title).not.toMatch(/bit/);
    expect(crash(forged('C-7e-list-bits'))?.blame[0]?.role).toBe('faulting code');
  });

  it('evidence that cites memory carries the bytes at its address', () => {
    for (const name of ['C-d1-unmapped', 'C-139-one-bit', 'C-7f-recursion']) {
      const target = forgedTarget(scenarioNamed(name), { symbols: false });
      for (const item of crash(diagnose(target, 'test'))?.evidence ?? []) {
        if (item.address === null || item.bytes === null) continue;
        const bytes = target.memory.bytes(BigInt(item.address), item.length ?? 0);
        expect([...(bytes ?? [])].map((byte) => byte.toString(16).padStart(2, '0')).join('')).toBe(item.bytes);
      }
    }
  });
});

/** What a verdict may become where page tables, records or stacks are not in the dump: less, never something else. */
const mayBecome: Readonly<Record<string, readonly string[]>> = {
  'invalid-pointer not-mapped': ['invalid-pointer kernel-address'],
  // The forge may capture pages in transition; Windows asks whether an address is valid first.
  'invalid-pointer pageable': ['invalid-pointer kernel-address', 'invalid-pointer contradiction'],
  'invalid-pointer contradiction': ['invalid-pointer kernel-address'],
  'null-pointer data': ['self-diagnosis exception'],
  'wild-code mid-instruction': ['self-diagnosis exception'],
  'stack-overflow recursion': ['stack-overflow overflow', 'self-diagnosis double-fault'],
  'stack-overflow overflow': ['self-diagnosis double-fault'],
};
const strength = ['possible', 'likely', 'strong', 'proven'];

describe('the same crash in another container', () => {
  const told = (report: Report): { what: string; strength: number } => {
    const finding = crash(report);
    return finding === undefined
      ? { what: 'nothing', strength: -1 }
      : { what: `${finding.pattern} ${finding.verdict}`, strength: strength.indexOf(finding.confidence) };
  };
  for (const name of [...scenarios.names()].sort().filter((item) => item.startsWith('C-')))
    it(`${name}: a triage dump says the same or less`, () => {
      const scenario = scenarioNamed(name);
      const bitmap = told(diagnose(forgedTarget(scenario, { symbols: false }), 'test'));
      const triage = told(diagnose(forgedTarget({ ...scenario, dump: 'triage' }, { symbols: false }), 'test'));
      expect([bitmap.what, ...(mayBecome[bitmap.what] ?? [])]).toContain(triage.what);
      if (triage.what === bitmap.what) expect(triage.strength).toBeLessThanOrEqual(bitmap.strength);
      else if (triage.what !== 'self-diagnosis exception')
        expect(triage.strength).toBeLessThan(strength.indexOf('proven'));
    });
});

it('the context record of a file system bug check is parameter 3, whatever parameter 4 is', () => {
  for (const code of ['23', '24', '27']) {
    const scenario = scenarioNamed('C-24-ntfs');
    const parameters = scenario.header?.bugcheck?.parameters ?? [];
    const header = { ...scenario.header, bugcheck: { code, parameters } };
    const { processors } = diagnose(forgedTarget({ ...scenario, header }, { symbols: false }), 'test');
    expect(processors[0]?.interruptedFrom).toBe('context record ffffb80412a4ec00, bug check parameter 3');
  }
});
