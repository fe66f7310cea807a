/** Diagnosis of the real dumps of ../shared: kernel facts only, no memory contents. Expectations: dumps/README.md there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, NotADumpError, openDump } from '@dumpscope/core';
import { openTarget } from '@dumpscope/debugger';
import { describe, expect, it } from 'vitest';
import { diagnose, type Finding, type Report } from '../src/index.ts';

const shared = process.env['DUMPSCOPE_SHARED'] ?? join(import.meta.dirname, '../../../../shared');
const folder = join(shared, 'dumps/kernel');
const there = existsSync(folder);
if (!there) console.warn(`SKIPPED: ${folder} is absent, the diagnosis of real dumps is not tested`);

function report(bytes: Uint8Array, name: string): Report {
  return diagnose(openTarget(openDump(bytesSource(bytes, name))), 'test');
}

function file(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, name)));
}

const watchdogDump = 'x64-19041-0x133-cumulative-24cpu.dmp';

function spin(r: Report): Finding | undefined {
  return r.findings.find((finding) => finding.pattern === 'dispatch-level-spin');
}

function claims(finding: Finding | undefined): string {
  return (finding?.evidence ?? []).map((item) => `${item.outcome} ${item.claim}`).join('\n');
}

/** All places where eight bytes stand in the file. */
function places(bytes: Uint8Array, value: bigint): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const out: number[] = [];
  for (let i = 0; i + 8 <= bytes.length; i += 4) if (view.getBigUint64(i, true) === value) out.push(i);
  return out;
}

describe.skipIf(!there)('real dumps', () => {
  it('0x133: an unbounded loop, at most likely, each fact of it an evidence item', () => {
    const r = report(file(watchdogDump), watchdogDump);
    const finding = spin(r);
    expect(finding).toMatchObject({ verdict: 'unbounded-loop', confidence: 'likely', processor: 4, lock: null });
    const text = claims(finding);
    for (const fact of [
      /641 samples of 31 frames/,
      /641 samples, one a tick \(count 7680 = period 7680, profile threshold 7040\): the last 10\.000 s/,
      /all 641 samples have the same 25 callers/,
      /the interrupted PC is in 11 places within 0x82 bytes of nt/,
      /IRQL 2 \(DISPATCH_LEVEL\) \(trap frame ffffbd81598ae750 PreviousIrql\)/,
      /7,680 ticks ago and has 7,684 ticks of kernel time: 120\.0 s without a wait/,
      /256 code bytes are captured at nt\+231738; je nt\+2316c9 .* is the back edge to the lowest sampled PC, taken while bit 50 of \[rdx\*16\+rax\] is clear/,
      /undetermined that cell \(ffffa24000f62848: not in the dump\)/,
      /undetermined nt\+2316c9\.\.231737 is missing \(ntoskrnl\.exe, 3e4ef1d4, 1046000\)/,
      /equal return addresses do not exclude leaving the loop and entering it again from nt\+2d47bd/,
    ]) {
      expect(text).toMatch(fact);
    }
    expect(finding?.since).toMatchObject({ minSeconds: 10, maxSeconds: 120 });
    expect(r.processors[4]).toMatchObject({ irql: 2, contextTrust: 'bugchecking', idle: false });
    for (const busy of [2, 6, 8, 10]) expect(r.processors[busy]?.idle).toBe(false);
  });

  it('0x133: eight DPCs wait behind the spin, and no other dump has a blocked queue', () => {
    for (const name of readdirSync(folder)) {
      const found = report(file(name), name).findings.filter((finding) => finding.pattern === 'dpc-blockage');
      if (name !== watchdogDump) expect(found, name).toEqual([]);
      else {
        expect(found).toMatchObject([{ verdict: 'raised-irql', confidence: 'strong', processor: 4 }]);
        expect(found[0]?.title).toBe('8 DPCs of processor 4 cannot run: downstream of its spin');
        expect(claims(found[0])).toMatch(/7,680 ticks = 2:00.000 in a row at DISPATCH_LEVEL or above/);
        expect(claims(found[0])).toMatch(/undetermined the list cannot be read beyond .*: 1 DPC of 7/);
      }
    }
  });

  it('0x133 with callers that vary does not fire', () => {
    const bytes = file(watchdogDump);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    // The first caller behind the interrupted PC, changed in every second sample.
    const nt = 0xfffff80056a00000n;
    places(bytes, nt + 0x2d47bdn).forEach((at, n) => {
      if (n % 2 === 1) view.setBigUint64(at, nt + 0x2d4800n + BigInt(n), true);
    });
    expect(spin(report(bytes, 'varying'))).toBeUndefined();
  });

  it('0x133 with another threshold spans another time', () => {
    const bytes = file(watchdogDump);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    // DpcWatchdogPeriod 7680, Count 7680 and, eight bytes on, the threshold 7040, in the PRCB of processor 4.
    // The file holds it twice: in the triage part and as a data block.
    const found = places(bytes, (7680n << 32n) | 7680n).filter((at) => view.getUint32(at + 12, true) === 7040);
    expect(found.length).toBeGreaterThan(0);
    for (const at of found) view.setUint32(at + 12, 3840, true);
    const finding = spin(report(bytes, 'threshold'));
    expect(claims(finding)).toMatch(/641 samples in 3,840 ticks .*profile threshold 3840\): the last 60\.000 s/);
    expect(finding?.since?.minSeconds).toBe(60);
  });

  for (const name of there ? readdirSync(folder) : []) {
    it(`${name}: bugcheck, modules and a stack for each captured processor; no spin that the bytes do not show`, () => {
      const r = report(file(name), name);
      expect(r.dump.bugcheck?.name).toBeTruthy();
      expect(r.dump.bugcheck?.meaning).toHaveLength(4);
      expect(r.modules.length).toBeGreaterThan(100);
      expect(r.processors.length).toBeGreaterThan(0);
      for (const processor of r.processors) {
        expect(processor.thread).not.toBeNull();
        expect(processor.pc).not.toBeNull();
        if (processor.pc !== null) expect(processor.stack.length).toBeGreaterThan(0);
        for (const frame of processor.stack) expect(frame.trust).toBeTruthy();
        // A frozen processor's Cr8 (15) and DebuggerSavedIRQL (0 where unwritten) are no evidence.
        if (processor.contextTrust === 'frozen')
          expect(processor.irqlSource ?? '').not.toMatch(/Cr8|DebuggerSavedIRQL/);
      }
      if (name !== watchdogDump) expect(spin(r)).toBeUndefined();
      expect(r.findings.filter((finding) => finding.pattern === 'manual-dump')).toEqual([]);
    });
  }

  it('a dump without signature is refused, one with a header alone is reported', () => {
    const broken = join(shared, 'dumps/broken');
    const refused = new Uint8Array(readFileSync(join(broken, 'no-signature.dmp')));
    expect(() => openDump(bytesSource(refused, 'x'))).toThrow(NotADumpError);
    const r = report(new Uint8Array(readFileSync(join(broken, 'x64-19045-header-only.dmp'))), 'header-only');
    expect(r.dump.bugcheck).toBeNull();
    expect(r.limits.find((limit) => limit.what === 'dump.bugcheck')?.why).toMatch(/MATT|acquisition/);
    expect(r.dump.complete).toBe(false);
    expect(r.findings.map((finding) => finding.pattern)).not.toContain('manual-dump');
  });
});
