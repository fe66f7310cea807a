/** Pairs of forged dumps: a scenario, and the same scenario later. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, openDump } from '@dumpscope/core';
import { openTarget, type Target } from '@dumpscope/debugger';
import { describe, expect, it } from 'vitest';
import { forge } from '../../forge/src/index.ts';
import type { Scenario, ThreadSpec } from '../../forge/src/scenario/scenario.ts';
import { compareDumps, type DiffInput, type DumpDiff, diagnose, renderDiffText } from '../src/index.ts';
import { forgedTarget, images, scenarioNamed } from './forged.ts';

const seed = scenarioNamed('S01a');
const TICKS_A_SECOND = 64;

function input(target: Target): DiffInput {
  return { target, report: diagnose(target, 'test') };
}

function forged(scenario: Scenario): DiffInput {
  return input(forgedTarget(scenario, { symbols: true }));
}

/** The spinner of the seed, `seconds` later, with what changed about it. */
function later(seconds: number, thread: Partial<ThreadSpec> = {}, more: Partial<Scenario> = {}): Scenario {
  const ticks = seconds * TICKS_A_SECOND;
  const app = seed.processes?.['MyApp'];
  const spin = app?.threads?.['spin'];
  if (app === undefined || spin === undefined) throw new Error('S01a has no thread spin');
  return {
    ...seed,
    time: {
      tickCount: 163_646 + ticks,
      increment: 156_250,
      systemTime: new Date(Date.parse('2008-01-25T10:42:36.968Z') + seconds * 1000).toISOString(),
    },
    processes: {
      ...seed.processes,
      MyApp: { ...app, threads: { ...app.threads, spin: { ...spin, kernelTime: 40_794 + ticks, ...thread } } },
    },
    ...more,
  };
}

const first = forged(seed);

function diff(second: Scenario): DumpDiff {
  return compareDumps(first, forged(second));
}

const spinOf = (d: DumpDiff): DumpDiff['findings'][number] | undefined =>
  d.findings.find((finding) => finding.pattern === 'dispatch-level-spin');

describe('two dumps of one boot', () => {
  it('the seed ten minutes later did not move: same loop, lock and predecessor, no switch', () => {
    const d = diff(later(600));
    expect(d.boot.same).toBe(true);
    expect(d.elapsed.seconds).toBeCloseTo(600, 1);
    expect(spinOf(d)).toMatchObject({ status: 'same', moved: false, lasts: { minSeconds: expect.closeTo(600, 1) } });
    const items = new Map(spinOf(d)?.items.map((item) => [item.what, item]));
    expect(items.get('loop')).toMatchObject({ second: '0x806e4a2c..0x806e4a39', same: true });
    expect(items.get('lock')).toMatchObject({ second: '0x831dabf4', same: true });
    expect(items.get('predecessor')).toMatchObject({ second: '0xa07beb94', same: true });
    const thread = d.threads.find((row) => row.thread === '0x830c07c0');
    expect(thread).toMatchObject({ change: 'ran', contextSwitches: 0, kernelSeconds: 600, sameWait: true });
    expect(thread?.share).toBeCloseTo(1, 3);
    expect(d.processors[0]).toMatchObject({ moved: false, stack: 'same' });
    expect(d.processors[1]).toMatchObject({ moved: null, why: 'idle in both' });
    expect(d.verdict.text).toBe(
      'did not move: processor 0, thread 830c07c0 (same loop 806e4a2c..806e4a39, same lock 831dabf4, same predecessor a07beb94, no context switch in 10:00.000, 10:00.000 of CPU time)',
    );
    const text = renderDiffText(d);
    expect(text).toMatch(/^Did not move: processor 0, thread 830c07c0/m);
    expect(text).toMatch(/lasts at least 10:00\.000/);
    expect(text).toMatch(/100\.0 % of the time between, 0 context\s+switches/);
    expect(d.findings.find(({ pattern }) => pattern === 'spiking-thread')?.lasts?.minSeconds).toBeCloseTo(600, 1);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(110);
  });

  it('is in the order of the uptimes, whichever is given first', () => {
    const second = forged(later(600));
    const [forward, backward] = [compareDumps(first, second), compareDumps(second, first)];
    expect(backward).toEqual({ ...forward, swapped: true });
  });

  it('a thread that was switched in between moved, though it spins at the same place again', () => {
    const d = diff(later(600, { contextSwitches: 192 }));
    expect(spinOf(d)).toMatchObject({ status: 'same', moved: true, lasts: null });
    expect(d.processors[0]).toMatchObject({ moved: true, why: 'its thread was switched once in between' });
    expect(d.verdict.didNotMove).toEqual([]);
  });

  it('another predecessor is another wait', () => {
    const memory = {
      ...seed.memory,
      // The same chain eight bytes further up the stack.
      a07beb94: { dword: 0 },
      a07beb98: { dword: 0 },
      a07beb9c: { dword: 'a07be200' },
      a07beba0: { dword: '831dabf6' },
    };
    const d = diff(later(600, {}, { memory }));
    const item = spinOf(d)?.items.find(({ what }) => what === 'predecessor');
    expect(item).toEqual({ what: 'predecessor', first: '0xa07beb94', second: '0xa07beb9c', same: false });
    expect(spinOf(d)).toMatchObject({ moved: true });
  });

  it('a spin that is over is gone, and nothing is said not to move', () => {
    const other = scenarioNamed('S01a');
    const [, idle] = other.processors;
    if (idle === undefined) throw new Error('S01a has fewer than two processors');
    const d = diff(later(600, { contextSwitches: 400, state: 'waiting' }, scenarioWithout(idle)));
    expect(spinOf(d)?.status).toBe('gone');
    expect(d.verdict.didNotMove).toEqual([]);
    expect(d.verdict.text).toMatch(/^nothing was found that did not move; moved: /);
    const row = d.threads.find((thread) => thread.thread === '0x830c07c0');
    expect(row).toMatchObject({ change: 'switched', state: { first: 'running', second: 'waiting' } });
  });

  it('an address that is used again is another thread', () => {
    const d = diff(later(600, { tid: '52c' }));
    expect(d.threads.filter((row) => row.thread === '0x830c07c0').map((row) => row.change)).toEqual(['gone', 'new']);
    expect(spinOf(d)?.moved).not.toBe(false);
  });

  it('the same dump twice: no time passed', () => {
    const d = compareDumps(first, first);
    expect(d.boot.same).toBe(true);
    expect(d.verdict).toEqual({
      text: 'no time passed between the two dumps: nothing could move',
      didNotMove: [],
      moved: [],
    });
  });
});

/** Both processors idle: the second one's context for the first. */
function scenarioWithout(idle: Scenario['processors'][number]): Partial<Scenario> {
  const [zero] = seed.processors;
  return zero === undefined
    ? {}
    : {
        processors: [
          {
            ...idle,
            idle: zero.idle ?? {},
            kpcr: zero.kpcr ?? 'ffdff000',
            context: { ...idle.context, esp: 'f898fd58' },
            state: 'frozen',
          },
          idle,
        ],
      };
}

describe('not of one boot', () => {
  it('another boot time by more than a second', () => {
    const off = (ms: number): Scenario => {
      const scenario = later(600);
      const at = Date.parse(String(scenario.time?.systemTime)) + ms;
      return {
        ...scenario,
        time: { ...scenario.time, tickCount: scenario.time?.tickCount ?? 0, systemTime: new Date(at).toISOString() },
      };
    };
    expect(diff(off(900)).boot.same).toBe(true);
    const d = diff(off(2500));
    expect(d.boot.same).toBe(false);
    expect(d.verdict.text).toMatch(
      /^not two dumps of one boot: boot time: 2008-01-25T10:00:00\.\d{3}Z and 2008-01-25T10:00:02\.\d{3}Z$/,
    );
    expect([d.processors, d.threads, d.findings]).toEqual([[], [], []]);
    expect(renderDiffText(d)).toMatch(/- boot time/);
  });

  it('another kernel base, another architecture', () => {
    const moved = compareDumps(forged(scenarioNamed('S03')), forged(scenarioNamed('S03-moved')));
    expect(moved.boot.same).toBe(false);
    expect(moved.verdict.text).toMatch(/kernel base: 0x[0-9a-f]+ and 0x[0-9a-f]+/);
    const other = compareDumps(first, forged(scenarioNamed('S03')));
    expect(other.boot.same).toBe(false);
    expect(other.verdict.text).toMatch(/architecture: x\d+ and x\d+/);
  });

  it('without a boot time it is not sure, says so, and compares', () => {
    const d = diff({
      ...later(600),
      header: { ...seed.header, unwritten: ['systemTime', 'systemUpTime'] },
      drop: ['ffdf0000'],
    });
    expect(d.boot).toMatchObject({ same: null, why: expect.stringMatching(/^boot time could not be compared/) });
    expect(spinOf(d)).toMatchObject({ status: 'same', moved: false });
    expect(renderDiffText(d)).toMatch(/One boot: not sure; boot time could not be compared/);
  });

  it('modules that were loaded and unloaded in between are named, and are no other boot', () => {
    const late = { base: 'f7c40000', size: '2000', name: 'late.sys', path: '\\SystemRoot\\late.sys' };
    const d = diff(later(600, {}, { modules: { ...seed.modules, late } }));
    expect(d.boot.same).toBe(true);
    expect(d.modules).toEqual({ loaded: ['late.sys'], unloaded: [] });
    expect(renderDiffText(d)).toContain('Modules loaded since: late.sys');
  });
});

const folder = join(process.env['DUMPSCOPE_SHARED'] ?? join(import.meta.dirname, '../../../../shared'), 'dumps/kernel');
if (!existsSync(folder)) console.warn(`SKIPPED: ${folder} is absent, pairs of real dumps are not compared`);

describe.skipIf(!existsSync(folder))('real dumps', () => {
  it('no two are of one boot, each is of its own', () => {
    const all = readdirSync(folder).map((name) =>
      input(openTarget(openDump(bytesSource(new Uint8Array(readFileSync(join(folder, name))), name)))),
    );
    for (const one of all)
      for (const other of all) {
        const d = compareDumps(one, other);
        expect([one.report.dump.path, other.report.dump.path, d.boot.same !== false]).toEqual([
          one.report.dump.path,
          other.report.dump.path,
          one === other,
        ]);
        expect(renderDiffText(d)).not.toBe('');
      }
  });
});

describe('a broken second dump', () => {
  it('never ends the comparison, and never makes a spin move', () => {
    const { bytes } = forge(later(600), images);
    if (bytes === null) throw new Error('no bytes');
    for (let i = 0; i < 24; i++) {
      const cut = 0x1000 + Math.floor(((bytes.length - 0x1000) * i) / 24);
      const target = openTarget(openDump(bytesSource(bytes.slice(0, cut), 'cut.dmp')));
      const d = compareDumps(first, input(target));
      expect(renderDiffText(d)).not.toBe('');
      const spin = spinOf(d);
      // What is missing may make it unknown or leave the finding out, but shows no movement of what was found in both.
      if (spin?.status === 'same') expect(spin.moved).not.toBe(true);
    }
  });
});
