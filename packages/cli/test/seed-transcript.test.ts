import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { runCli } from './run-cli.ts';
import { type Difference, differences, reasons, seedPage } from './seed-page.ts';

const dir = mkdtempSync(join(tmpdir(), 'dumpscope-seed-'));
const dump = join(dir, 'seed.dmp');
const symbols = join(dir, 'symbols');
const doc = join(import.meta.dirname, '../../../docs/seed-transcript.md');

interface Ran {
  readonly command: string;
  readonly text: string;
  readonly error: string | null;
  readonly rows: readonly Record<string, unknown>[];
}

async function debug(...commands: string[]): Promise<Ran[]> {
  const { status, out, err } = await runCli([
    'debug',
    dump,
    '-y',
    symbols,
    '--json',
    ...commands.flatMap((c) => ['-c', c]),
  ]);
  expect([status, err]).toEqual([0, '']);
  return out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Ran);
}

beforeAll(async () => {
  const { status, err } = await runCli(['forge', 'S01a', '-o', dump, '--symbols', symbols]);
  expect(status, err).toBe(0);
});

/** Our lines of each step of the page, in one session. */
async function ourSteps(): Promise<string[][]> {
  const ran = await debug(...seedPage.map((step) => step.ours));
  let at = 0;
  return seedPage.map((step) => {
    const count = step.ours.split(';').length;
    const text = ran
      .slice(at, at + count)
      .map((r) => `${r.text}${r.error === null ? '' : `${r.error}\n`}`)
      .join('');
    at += count;
    return text === '' ? [] : text.replace(/\n$/, '').split('\n');
  });
}

function reasonOf(d: Difference): string | null {
  return reasons.find((r) => r.applies(d))?.id ?? null;
}

describe("the page's transcript on the forged seed dump", () => {
  it('differs only where a reason is given', async () => {
    const steps = await ourSteps();
    seedPage.forEach((step, i) => {
      if (step.lines === null) return;
      const unexplained = differences(step.lines, steps[i] ?? []).filter((d) => reasonOf(d) === null);
      expect(unexplained, step.page).toEqual([]);
    });
  });

  it('is what docs/seed-transcript.md shows (UPDATE_GOLDENS=1 writes it)', async () => {
    const text = transcript(await ourSteps());
    if (process.env['UPDATE_GOLDENS'] === '1') writeFileSync(doc, text);
    expect(readFileSync(doc, 'utf8')).toBe(text);
  });

  it('has the facts as data', async () => {
    const [thread, trap, cell, , idle] = await debug('!thread', '.trap a07be180', 'dyd eax+4 l1', '~1s', 'k');
    expect(thread?.rows[0]).toMatchObject({
      address: '0x830c07c0',
      cid: { process: 0x588, thread: 0x528 },
      image: 'MyApp.EXE',
      state: 'Running',
      irps: ['0x86163008'],
      waitStartTick: 122850,
      ticksSinceWait: 40796,
      kernelTicks: 40794,
      tickIncrement: 156250,
      contextSwitches: 191,
    });
    const frames = thread?.rows[0]?.['frames'] as { symbol: string; trapFrame: string | null }[];
    expect(frames.slice(0, 6).map((f) => f.symbol)).toEqual([
      'nt!KeBugCheckEx+0x1b',
      'i8042prt!I8xProcessCrashDump+0x237',
      'i8042prt!I8042KeyboardInterruptService+0x21c',
      'nt!KiInterruptDispatch+0x45',
      'hal!KeAcquireInStackQueuedSpinLock+0x47',
      'MyDriver!RcvData+0x98',
    ]);
    expect(frames[3]?.trapFrame).toBe('0xa07be180');
    expect(trap?.rows[0]).toMatchObject({ eip: '0x806e4a37', eax: '0xa07be200', edx: '0xa07beb94', esp: '0xa07be1f4' });
    expect(cell?.rows[0]).toMatchObject({ address: '0xa07be204', values: ['0x831dabf5'] });
    expect(idle?.text).toBe('ChildEBP RetAddr  \nf794cd54 00000000 nt!KiIdleLoop+0x14\n');
  });

  it("answers the rest of the seed's commands", async () => {
    const ran = await debug(
      '.bugcheck',
      'vertarget',
      'lm',
      '~',
      '!qlocks',
      '!analyze -v',
      'r',
      'kv',
      'dd a07be200 l3',
      'db 806e4a2c l4',
      'dq a07be200 l1',
      'dps a07be1f4 l1',
      'dyb a07be204 l4',
      'u 806e4a2c l2',
      '? a07beb94 - @esp',
      '!irp 86163008',
      '!process 831ec608 1',
      '!pte a07be204',
      '!vtop 0 a07be204',
      '!running -i',
      '!pcr',
      '!irql',
      's -d a07bb000 L1000 831dabf6',
      'dt nt!_KTHREAD 830c07c0 WaitTime KernelTime',
      'x hal!*Spin*',
    );
    const text = new Map(ran.map((r) => [r.command, r.text]));
    for (const r of ran) expect(r.error, r.command).toBeNull();
    expect(text.get('.bugcheck')).toBe('Bugcheck code 000000E2\nArguments 00000000 00000000 00000000 00000000\n');
    expect(text.get('vertarget')).toContain(
      'Windows XP Kernel Version 2600 (Service Pack 3) MP (2 procs) Free x86 compatible\n',
    );
    expect(text.get('vertarget')).toContain('Kernel base = 0x804d7000 PsLoadedModuleList = 0x');
    expect(text.get('vertarget')).toContain('System Uptime: 0 days 0:42:36.968\n');
    expect(text.get('lm')).toMatch(
      /^a1340000 a13[0-9a-f]{5} {3}MyDriver {3}\(private pdb symbols\) {2}MyDriver\.pdb$/m,
    );
    expect(text.get('dd a07be200 l3')).toBe('a07be200  00000000 831dabf5 00000002\n');
    expect(text.get('db 806e4a2c l4')).toMatch(/^806e4a2c {2}f7 40 04 01 {38}\.@\.\.\n$/);
    expect(text.get('dq a07be200 l1')).toBe('a07be200  831dabf5`00000000\n');
    expect(text.get('dps a07be1f4 l1')).toBe('a07be1f4  a1342755 MyDriver!RcvData+0x98\n');
    expect(text.get('u 806e4a2c l2')).toBe(
      'hal!KeAcquireInStackQueuedSpinLock+0x3c:\n806e4a2c f7400401000000  test    dword ptr [eax+4],1\n806e4a33 74ee            je      hal!KeAcquireInStackQueuedSpinLock+0x33 (806e4a23)\n',
    );
    expect(text.get('!irp 86163008')).toContain('Thread 830c07c0');
    expect(text.get('!process 831ec608 1')).toContain('PROCESS 831ec608  SessionId: ');
    expect(text.get('s -d a07bb000 L1000 831dabf6')).toMatch(/^a07beb98 {2}831dabf6 /);
    expect(text.get('dt nt!_KTHREAD 830c07c0 WaitTime KernelTime')).toMatch(
      /WaitTime +: 0x1dfe2\n.*KernelTime +: 0x9f5a\n/,
    );
    expect(text.get('!vtop 0 a07be204')).toMatch(
      /Virtual address a07be204 translates to physical address [0-9a-f]+204\.\n$/,
    );
    expect(text.get('!analyze -v')).toContain('MANUALLY_INITIATED_CRASH (e2)\n');
    expect(text.get('!analyze -v')).toContain('TRAP_FRAME:  a07be180 -- (.trap 0xa07be180)\n');
    expect(text.get('!analyze -v')).toContain('MODULE_NAME: MyDriver\n');
  });
});

function transcript(steps: readonly (readonly string[])[]): string {
  const used = new Set<string>();
  const out = [
    "# The seed's transcript, beside the page",
    '',
    'Written by `packages/cli/test/seed-transcript.test.ts` from a run on the forged dump; the test fails when a line differs from the',
    'page without one of the reasons below. The page is Crash Dump Analysis Patterns, part 44 (dumpanalysis.org, 2008-01-25). To see it',
    'yourself:',
    '',
    '    dumpscope forge S01a -o seed.dmp --symbols symbols',
    `    dumpscope debug seed.dmp -y symbols -c "${seedPage.map((s) => s.ours).join('; ')}"`,
    '',
  ];
  let prompt = '0: kd> ';
  seedPage.forEach((step, i) => {
    const ours = steps[i] ?? [];
    out.push(`## \`${step.ours}\``, '');
    if (step.why !== null) out.push(step.why, '');
    if (step.lines !== null) out.push('The page:', '', '```', step.page, ...step.lines, '```', '');
    out.push('dumpscope:', '', '```');
    out.push(`${prompt}${step.ours}`, ...ours.map((l) => l.trimEnd()), '```', '');
    const switched = /^~(\d+)s$/.exec(step.ours);
    if (switched) prompt = `${switched[1]}: kd> `;
    if (step.lines === null) return;
    const diffs = differences(step.lines, ours);
    if (diffs.length === 0) out.push('No difference.', '');
    else {
      out.push('| page | dumpscope | reason |', '|---|---|---|');
      for (const d of diffs) {
        const id = reasonOf(d) ?? '?';
        used.add(id);
        const cell = (text: string | null): string =>
          text === null || text.trim() === '' ? '' : `\`${text.trimEnd().replaceAll('|', '\\|')}\``;
        out.push(`| ${cell(d.page)} | ${cell(d.ours)} | ${id} |`);
      }
      out.push('');
    }
  });
  out.push('## Reasons', '');
  for (const reason of reasons) if (used.has(reason.id)) out.push(`- **${reason.id}**: ${reason.text}`);
  out.push(
    '',
    'Not a difference: `[FFFE0080h]` without a leading 0 in `mov eax,moffs` and `[0FFFE0080h]` with it elsewhere are both as the debugger',
    'prints them, and ChildEBP a07be220 twice is right (see repeated-row).',
    '',
  );
  return out.join('\n');
}
