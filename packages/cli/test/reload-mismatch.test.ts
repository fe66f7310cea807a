/** A PDB of another build: refused and said, taken with `.reload /i`, every name marked. */
import { copyFileSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { runCli } from './run-cli.ts';

const dir = mkdtempSync(join(tmpdir(), 'dumpscope-reload-'));
const dump = join(dir, 'S03.dmp');
const files = join(dir, 'files');
const wrong = join(dir, 'wrong');

beforeAll(async () => {
  for (const [scenario, folder] of [
    ['S03', files],
    ['S03-released', wrong],
  ] as const) {
    const { status, err } = await runCli(['forge', scenario, '-o', join(dir, `${scenario}.dmp`), '--symbols', folder]);
    expect(status, err).toBe(0);
  }
  // Everything matches but the driver's PDB.
  for (const name of readdirSync(files))
    if (name !== 'ebpfcore.pdb') copyFileSync(join(files, name), join(wrong, name));
  const own = readdirSync(wrong).find((name) => /^ebpfcore.*\.pdb$/.test(name)) ?? '';
  if (own !== 'ebpfcore.pdb') copyFileSync(join(wrong, own), join(wrong, 'ebpfcore.pdb'));
});

const debug = (commands: string): ReturnType<typeof runCli> =>
  runCli(['debug', dump, '-y', wrong, '--offline', '-c', `~3s; ${commands}`]);

it('is refused, and said', async () => {
  const { out, err } = await debug('k');
  expect(out).toContain('ebpfcore+0xa664');
  expect(out).not.toContain('ebpfcore!');
  expect(err).toMatch(/symbols of ebpfcore: .*ebpfcore\.pdb: its GUID is [0-9A-F]{32}, not [0-9A-F]{32}: not used/);
});

it('is taken with .reload /i, and every name is marked', async () => {
  for (const reload of ['.reload /i ebpfcore', '.reload /f /i ebpfcore.sys', '.reload /i']) {
    const { out } = await debug(`${reload}; lm; k; x ebpfcore!*; u ebpfcore!ebpf_lock_lock L1`);
    expect(out).toContain('*** Symbols of ebpfcore do not match: ');
    expect(out).toContain('ebpfcore!ebpf_lock_lock{mismatch}+0x14');
    expect(out).toMatch(/ebpfcore +M \(private pdb symbols\)/);
    const names = out.match(/ebpfcore![^\s(+:;]+/g) ?? [];
    const bare = names.filter((name) => !name.endsWith('{mismatch}') && !/!\*$|ebpf_lock_lock$/.test(name));
    expect(names.length).toBeGreaterThan(20);
    expect(bare).toEqual([]);
    // The others are what they were.
    expect(out).toContain('nt!KxWaitForSpinLockAndAcquire+0x13');
  }
});

it('changes nothing for another module, and an unknown one is refused', async () => {
  expect((await debug('.reload /i nt; k')).out).not.toContain('ebpfcore!');
  expect((await debug('.reload /i nosuch')).out).toContain('there is no module nosuch');
});

it('.exepath shows where images are looked for', async () => {
  const { out } = await runCli(['debug', dump, '--offline', '-i', files, '-c', '.exepath; .sympath']);
  expect(out).toContain(`Executable image search path is: ${files}`);
});

it('symbols says where in the dump each wish was learned, and why a file was refused', async () => {
  interface Wanted {
    readonly kind: string;
    readonly name: string;
    readonly outcome: string;
    readonly learned: string | null;
    readonly why: string | null;
  }
  const { out } = await runCli(['symbols', dump, '-y', wrong, '--offline', '--json']);
  const { wanted } = JSON.parse(out) as { wanted: Wanted[] };
  const of = (name: string): Wanted | undefined => wanted.find((row) => row.name === name);
  expect(of('ebpfcore.pdb')).toMatchObject({
    outcome: 'mismatch',
    learned: 'RSDS record of the image at 0xfffff80d5487a000',
    why: expect.stringMatching(/ebpfcore\.pdb: its GUID is [0-9A-F]{32}, not /),
  });
  expect(of('ebpfcore.sys')?.learned).toBe('image headers at 0xfffff80d5487a000');
  const text = await runCli(['symbols', dump, '-y', wrong, '--offline']);
  expect(text.out).toContain('learned from RSDS record of the image at 0xfffff80d5487a000');
});
