import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { toJson } from '../src/json.ts';
import { runCli } from './run-cli.ts';

const dir = mkdtempSync(join(tmpdir(), 'dumpscope-cli-'));
const shared = process.env['DUMPSCOPE_SHARED'] ?? join(import.meta.dirname, '../../../../shared');
const hasShared = existsSync(shared);
if (!hasShared) console.log(`skipped: no shared inputs at ${shared}`);

/** The smallest thing that counts as a dump: a 32-bit header with nothing behind it. */
function headerOnly(): string {
  const bytes = new Uint8Array(0x1000);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode('PAGEDUMP'));
  view.setUint32(0x8, 0xf, true);
  view.setUint32(0xc, 2600, true);
  view.setUint32(0x20, 0x14c, true);
  view.setUint32(0x24, 2, true);
  view.setUint32(0x28, 0xe2, true);
  view.setUint32(0xf88, 1, true);
  const path = join(dir, 'header.dmp');
  writeFileSync(path, bytes);
  return path;
}

const dump = headerOnly();

describe('exit status and messages', () => {
  it('is 2 with one line for wrong usage', async () => {
    for (const args of [
      ['debug'],
      ['debug', '--nope', dump],
      ['info', join(dir, 'absent.dmp')],
      ['debug', dump, '--script', join(dir, 'absent.txt')],
      ['symbols', dump, '--import', join(dir, 'absent')],
      ['pdb'],
      ['info', dump, 'surplus'],
    ]) {
      const { status, out, err } = await runCli(args);
      expect([status, out], args.join(' ')).toEqual([2, '']);
      expect(err, args.join(' ')).toMatch(/^dumpscope: [^\n]+\n$/);
    }
    expect((await runCli([])).status).toBe(2);
  });

  it('is 3 with one line for what is no dump', async () => {
    const text = join(dir, 'note.txt');
    writeFileSync(text, 'hello');
    const empty = join(dir, 'empty.dmp');
    writeFileSync(empty, '');
    for (const path of [text, empty, dir]) {
      for (const command of ['info', 'debug']) {
        const { status, out, err } = await runCli([command, path, ...(command === 'debug' ? ['-c', 'k'] : [])]);
        expect([status, out], path).toEqual([3, '']);
        expect(err).toMatch(/^dumpscope: [^\n]+\n$/);
        expect(err).toContain(path);
      }
    }
    const { status, err } = await runCli(['pdb', text]);
    expect(status).toBe(3);
    expect(err).toMatch(/^dumpscope: .*note\.txt: neither PDB nor image\n$/);
  });

  it('is 0 for help and version, on standard output', async () => {
    for (const args of [['--help'], ['--version'], ['help', 'debug'], ['debug', '--help']]) {
      const { status, out, err } = await runCli(args);
      expect([status, err], args.join(' ')).toEqual([0, '']);
      expect(out).not.toBe('');
    }
  });
});

describe('debug', () => {
  it('prints a log of prompts, texts and errors', async () => {
    const { status, out, err } = await runCli(['debug', dump, '-c', '.echo one; ? 1+1; bogus', '-c', '.bugcheck']);
    expect([status, err]).toEqual([0, '']);
    expect(out).toBe(
      [
        '0: kd> .echo one',
        'one',
        '0: kd> ? 1+1',
        'Evaluate expression: 2 = 00000002',
        '0: kd> bogus',
        "       ^ Syntax error in 'bogus'",
        '0: kd> .bugcheck',
        'Bugcheck code 000000E2',
        'Arguments 00000000 00000000 00000000 00000000',
        '',
      ].join('\n'),
    );
  });

  it('--json prints one object a command with command, rows, text, error', async () => {
    const { out } = await runCli(['debug', dump, '--json', '-c', '? 0x80000000; dd 0 l1; ~9s; .echo x']);
    const objects = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(objects.map((o) => Object.keys(o))).toEqual(Array(4).fill(['command', 'rows', 'text', 'error']));
    expect(objects[0]).toMatchObject({ command: '? 0x80000000', rows: [{ value: '0xffffffff80000000' }], error: null });
    expect(objects[1]).toMatchObject({ rows: [{ address: '0x0', values: [null] }], text: '00000000  ????????\n' });
    expect(objects[1]).toMatchObject({ rows: [{ gap: expect.stringMatching(/./) }] });
    expect(objects[2]?.['error']).toMatch(/not a valid processor number/);
  });

  it('reads a script and standard input, and stops at q', async () => {
    const script = join(dir, 'script.txt');
    writeFileSync(script, '* comment\r\n.echo a\r\nq\r\n.echo b\r\n');
    expect((await runCli(['debug', dump, '--script', script])).out).toContain('a\n0: kd> q\nquit:\n');
    expect((await runCli(['debug', dump, '--script', script])).out).not.toContain('.echo b');
    const piped = await runCli(['debug', dump], { stdin: '.echo a\n\nq\n.echo b\n' });
    expect(piped.out).toBe('0: kd> .echo a\na\n0: kd> q\nquit:\n');
    const json = await runCli(['debug', dump, '--json'], { stdin: '.echo a\nq\n' });
    expect(
      json.out
        .trimEnd()
        .split('\n')
        .map((l) => JSON.parse(l).command),
    ).toEqual(['.echo a', 'q']);
  });

  it('says what is wrong with the symbol path on standard error and goes on', async () => {
    const missing = join(dir, 'no-symbols');
    const { status, out, err } = await runCli(['debug', dump, '-y', missing, '--offline', '-c', '.sympath']);
    expect(status).toBe(0);
    expect(err).toBe(`dumpscope: symbol path: there is no folder ${missing}\n`);
    expect(out).toContain(`Symbol search path is: ${missing}\n`);
    expect((await runCli(['debug', dump, '-c', '.sympath'], { env: { _NT_SYMBOL_PATH: dir } })).out).toContain(
      `Symbol search path is: ${dir}\n`,
    );
  });
});

describe('info and symbols', () => {
  it('describe even a bare header', async () => {
    const text = await runCli(['info', dump]);
    expect(text.status).toBe(0);
    expect(text.out).toContain('Windows XP Kernel Version 2600 MP (2 procs) Free x86 compatible');
    expect(text.out).toContain('Bugcheck: 0xe2 MANUALLY_INITIATED_CRASH');
    const json = JSON.parse((await runCli(['info', dump, '--json'])).out);
    expect(json).toMatchObject({
      kind: 'full',
      arch: 'x86',
      buildNumber: 2600,
      processors: 2,
      bugcheck: { code: '0xe2' },
    });
    const symbols = JSON.parse((await runCli(['symbols', dump, '--json'])).out);
    expect(symbols).toMatchObject({ wanted: [], modules: [], imported: null });
  });
});

it('JSON of the edge', () => {
  expect(toJson({ a: 0x806e4a37n, b: -1n, c: new Map([['x', 1]]), d: Uint8Array.of(1, 255) })).toBe(
    '{"a":"0x806e4a37","b":"-0x1","c":{"x":1},"d":"01ff"}',
  );
});

describe.skipIf(!hasShared)('on shared inputs', () => {
  it('refuses the file without signature, describes the header-only one', async () => {
    const refused = await runCli(['info', join(shared, 'dumps/broken/no-signature.dmp')]);
    expect(refused.status).toBe(3);
    expect(refused.err.split('\n')).toHaveLength(2);
    const described = JSON.parse(
      (await runCli(['info', '--json', join(shared, 'dumps/broken/x64-19045-header-only.dmp')])).out,
    );
    expect(described.bugcheck).toBeNull();
    expect(described.bugcheckNote).toMatch(/MATT MOON SOLS/);
    expect(described.complete).toBe(false);
  });

  it('finds the exact ISF of a triage dump by what the KDBG block says', async () => {
    const path = join(shared, 'dumps/kernel/x64-19041-0x7e-amdppm.dmp');
    const { out } = await runCli(['symbols', path, '--json', '--offline', '-y', join(shared, 'symbols/isf')]);
    const { layouts, wanted } = JSON.parse(out) as {
      layouts: { trust: string; origin: string };
      wanted: { kind: string; guid: string; outcome: string }[];
    };
    expect(layouts.trust).toBe('exact');
    expect(wanted.find((w) => w.kind === 'pdb')).toMatchObject({
      guid: '5278AFF86C341677D7D7835C85B7B844',
      outcome: 'found',
    });
  });

  it('pdb lists what it reads in every shared PDB', async () => {
    const folder = join(shared, 'symbols/pdb');
    const files = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((f) => f.isFile() && /\.pd[b_]$/i.test(f.name))
      .map((f) => join(f.parentPath, f.name));
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) {
      const { status, out } = await runCli(['pdb', file, '--json', '--publics', '--streams']);
      expect(status, file).toBe(0);
      const listing = JSON.parse(out) as { guid: string; publics: unknown[]; streams: unknown[] };
      expect(listing.streams.length, file).toBeGreaterThan(3);
      const text = await runCli(['pdb', file, '--types', '--fpo', '--lines', '--publics', '--streams']);
      expect(text.status, file).toBe(0);
      expect(text.out).toContain(listing.guid);
    }
  });
});
