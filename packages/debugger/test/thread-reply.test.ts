/** What `!thread` says of clients of LPC and ALPC, and `!irp` of their requests, in forged dumps. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { forge, loadScenario } from '../../forge/src/index.ts';
import { createRegistry, createSession, executeLine } from '../src/commands/index.ts';
import { openTarget } from '../src/target/open.ts';
import { here } from './target-support.ts';

const folder = join(here, '..', '..', 'forge');

function run(name: string, command: string): string {
  const text = (file: string): string | undefined => (existsSync(file) ? readFileSync(file, 'utf8') : undefined);
  const scenario = loadScenario(name, { names: () => [], read: (id) => text(join(folder, 'scenarios', `${id}.json`)) });
  const { bytes } = forge(scenario, {
    read: (path) => (existsSync(join(folder, 'images', path)) ? readFileSync(join(folder, 'images', path)) : undefined),
  });
  const session = createSession(openTarget(openDump(bytesSource(bytes ?? new Uint8Array(), name))));
  return [...executeLine(createRegistry(), session, command)]
    .map((done) => `${done.text}${done.error ?? ''}`)
    .join('\n');
}

describe('!thread of a client', () => {
  // The numbers are those of Crash Dump Analysis Patterns, part 42f; the line's text is that of published outputs.
  it('names the ALPC message, its port and the port’s owner', () => {
    const text = run('W-alpc', '!thread fffffa80110b8700');
    expect(text).toContain('WAIT: (WrLpcReply) UserMode');
    expect(text).toContain(
      'Waiting for reply to ALPC Message fffff8801c7096e0 : queued at port fffffa8010c9d9a0 : owned by process fffffa80109c8c10',
    );
    expect(text).toMatch(/Wait Start TickCount\s+14004580\s+Ticks: 62149 \(0:00:16:09\.530\)/);
  });

  it('names the LPC message and port', () => {
    expect(run('W-x86-lpc', '!thread 82b3f020')).toContain(
      'Waiting for reply to LPC MessageId 00003d74:\nCurrent LPC port e1030100\n',
    );
  });

  it('says nothing of threads that wait for something else', () => {
    expect(run('W-x86-lpc', '!thread 82b3e020')).not.toContain('Waiting for reply');
  });
});

it('!irp names the driver that has the request', () => {
  const text = run('W-irp', '!irp ffffa9851c700010');
  expect(text).toContain('Irp is active with 2 stacks 1 is current');
  expect(text).toMatch(
    />\[IRP_MJ_READ\(3\), N\/A\(0\)\]\n.*ffffa9851c500060 ffffa9851c600000.*pending\n.*\\Driver\\qdrv/,
  );
});
