import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forge, loadScenario, type Scenario } from '@dumpscope/forge';
import { describe, expect, it } from 'vitest';
import { imageFiles, scenarioFiles } from '../src/forge/shipped.ts';
import { runCli } from './run-cli.ts';

const dir = mkdtempSync(join(tmpdir(), 'dumpscope-diff-'));
const seed = loadScenario('S01a', scenarioFiles(null));

function dump(name: string, scenario: Scenario): string {
  const path = join(dir, name);
  writeFileSync(path, forge(scenario, imageFiles(null)).bytes ?? new Uint8Array());
  return path;
}

const first = dump('first.dmp', seed);
const app = seed.processes?.['MyApp'];
const spin = app?.threads?.['spin'];
if (app === undefined || spin === undefined) throw new Error('S01a has no thread spin');
/** A minute later: 3840 ticks of 15.625 ms, all of them the spinner's. */
const second = dump('second.dmp', {
  ...seed,
  time: { tickCount: 167_486, increment: 156_250, systemTime: '2008-01-25T10:43:36.968750Z' },
  processes: {
    ...seed.processes,
    MyApp: { ...app, threads: { ...app.threads, spin: { ...spin, kernelTime: 44_634 } } },
  },
});

describe('diff', () => {
  it('says what did not move', async () => {
    const { status, out, err } = await runCli(['diff', first, second]);
    expect([status, err]).toEqual([0, '']);
    expect(out).toMatch(/^Did not move: processor 0, thread 830c07c0 \(same loop/m);
    expect(out).toContain('Time between them: 1:00.000');
  });

  it('--json is the comparison', async () => {
    const { status, out } = await runCli(['diff', first, second, '--json']);
    expect(status).toBe(0);
    const comparison = JSON.parse(out);
    expect(comparison).toMatchObject({ schemaVersion: 1, boot: { same: true }, elapsed: { seconds: 60 } });
    expect(comparison.findings[0]).toMatchObject({ pattern: 'dispatch-level-spin', moved: false });
  });

  it('exits 2 with one line that says why for dumps of two boots', async () => {
    const other = dump('other.dmp', {
      ...seed,
      time: { tickCount: 163_646, increment: 156_250, systemTime: '2009-01-25T10:43:36Z' },
    });
    const { status, out, err } = await runCli(['diff', first, other]);
    expect([status, out]).toEqual([2, '']);
    expect(err).toMatch(/^dumpscope: [^\n]*not two dumps of one boot: boot time: 2008-[^\n]* and 2009-[^\n]*\n$/);
    const json = await runCli(['diff', other, first, '--json']);
    expect(json.status).toBe(2);
    expect(JSON.parse(json.out)).toMatchObject({ boot: { same: false }, processors: [], threads: [], findings: [] });
  });

  it('exits 3 when one is no dump, 2 when one is missing', async () => {
    const note = join(dir, 'note.txt');
    writeFileSync(note, 'hello');
    expect((await runCli(['diff', first, note])).status).toBe(3);
    expect((await runCli(['diff', first])).status).toBe(2);
    expect((await runCli(['diff', first, join(dir, 'absent.dmp')])).status).toBe(2);
  });
});

describe('diagnose --html', () => {
  it('writes one file, and nothing to standard output', async () => {
    const file = join(dir, 'report.html');
    const { status, out, err } = await runCli(['diagnose', first, '--html', file]);
    expect([status, out, err]).toEqual([0, '', `dumpscope: report written to ${file}\n`]);
    expect(readFileSync(file, 'utf8')).toMatch(/^<!DOCTYPE html>\n.*self-deadlock.*<\/html>\n$/s);
    expect((await runCli([first, '--html', '-'])).out).toBe(readFileSync(file, 'utf8'));
  });

  it('--redact leaves names and bytes out, --fail-on still counts', async () => {
    const { status, out } = await runCli([first, '--html', '-', '--redact', '--fail-on', 'proven']);
    expect(status).toBe(1);
    expect(out).not.toMatch(/MyApp|f7400401/);
  });

  it('refuses what cannot be meant, and never writes over the dump', async () => {
    mkdirSync(join(dir, 'folder'), { recursive: true });
    const before = readFileSync(first);
    for (const args of [
      ['--html', join(dir, 'x.html'), '--json'],
      ['--html', join(dir, 'x.html'), '--explain', 'spin1'],
      ['--html', first],
      ['--html', join(dir, 'folder')],
    ]) {
      const { status, out, err } = await runCli([first, ...args]);
      expect([status, out], args.join(' ')).toEqual([2, '']);
      expect(err).toMatch(/^dumpscope: --html [^\n]+\n$/);
    }
    expect(readFileSync(first).equals(before)).toBe(true);
  });
});
