import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { allCommands, createRegistry, createSession, executeLine, openTarget } from '../src/index.ts';

const shared = process.env['DUMPSCOPE_SHARED'] ?? join(import.meta.dirname, '../../../../shared');
const folder = join(shared, 'dumps/kernel');
const present = existsSync(folder);
if (!present) console.log(`skipped: no real dumps at ${folder}`);
const files = present ? readdirSync(folder).map((name) => join(folder, name)) : [];
const header = join(shared, 'dumps/broken/x64-19045-header-only.dmp');
if (existsSync(header)) files.push(header);

const ARGUMENTS = [
  '',
  '-1',
  '0',
  '0 0',
  '0 7',
  '@$thread',
  '@$proc',
  '@rsp',
  '@rip',
  '@sp',
  '@pc',
  '2',
  '-v',
  'nt!*Spin*',
  '@rsp L40',
  'nt',
  '-it',
  '0 @rsp',
  '/c nt',
  'nt!_KPRCB @$prcb',
  'nt!_ETHREAD -r1 @$thread',
  '-b nt!_LIST_ENTRY @rsp',
  '-b @rsp L1000 48',
  'ffffffffffffffff',
  'fffff78000000000 L20',
  '(nt!_EPROCESS *)@$proc',
];

describe.skipIf(!present)('every command on every real dump', () => {
  it.each(files.map((path) => [path.slice(path.lastIndexOf('/') + 1), path] as const))('%s', (_name, path) => {
    const target = openTarget(openDump(bytesSource(new Uint8Array(readFileSync(path)), path)));
    const registry = createRegistry();
    const session = createSession(target);
    for (const command of allCommands) {
      for (const name of command.names) {
        if (name.startsWith('q')) continue;
        for (const args of ARGUMENTS) {
          for (const done of executeLine(registry, session, `${name} ${args}`)) {
            expect(done.internal, `${done.command}: ${done.error}`).toBe(false);
            expect(done.error ?? 'x', done.command).not.toBe('');
          }
          for (const done of executeLine(registry, session, '.cxr; .process; .expr /s masm; n 16; ~0s')) void done;
        }
      }
    }
  });

  it('the cumulative 0x133: processor 4 spins, its trap frame and level are found', () => {
    const path = files.find((f) => f.includes('0x133'));
    if (path === undefined) return;
    const target = openTarget(openDump(bytesSource(new Uint8Array(readFileSync(path)), path)));
    const session = createSession(target);
    const text = (line: string): string =>
      [...executeLine(createRegistry(), session, line)].map((d) => `${d.text}${d.error ?? ''}`).join('');
    expect(text('.bugcheck')).toContain('Bugcheck code 00000133');
    // Facts of dumps/README.md: kernel facts only.
    expect(text('!thread')).toContain('Wait Start TickCount      157912         Ticks: 7680 (0:00:02:00.000)');
    expect(text('!irql 4')).toContain(
      'interrupted level: 2 (DISPATCH_LEVEL), from trap frame ffffbd81598ae750 PreviousIrql',
    );
    expect(text('.trap ffffbd81598ae750')).toContain('nt+0x231738:\nfffff800`56c31738 48c1e204        shl     rdx,4\n');
    expect(text('k 2')).toContain('00 ffffbd81`598ae8e0 fffff800`5c412d01     nt+0x231738\n');
    expect(text('u . L7')).toContain('fffff800`56c31758 0f846bffffff    je      nt+0x2316c9 (fffff800`56c316c9)\n');
    expect(text('u nt+2316c9 L1')).toContain('fffff800`56c316c9 ??              ???\n');
  });
});
