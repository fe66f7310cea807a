/** `!locks` on kernels that keep waiters in an event and a semaphore, and on those that chain them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { forge, loadScenario } from '../../forge/src/index.ts';
import { createRegistry, createSession, executeLine } from '../src/commands/index.ts';
import { openTarget } from '../src/target/open.ts';
import { here } from './target-support.ts';

const folder = join(here, '..', '..', 'forge');

function locks(name: string, build: string | null, command = '!locks'): string {
  const text = (file: string): string | undefined => (existsSync(file) ? readFileSync(file, 'utf8') : undefined);
  const scenario = loadScenario(name, { names: () => [], read: (id) => text(join(folder, 'scenarios', `${id}.json`)) });
  const { bytes } = forge(build === null ? scenario : { ...scenario, build }, {
    read: (path) => (existsSync(join(folder, 'images', path)) ? readFileSync(join(folder, 'images', path)) : undefined),
  });
  const session = createSession(openTarget(openDump(bytesSource(bytes ?? new Uint8Array(), name))));
  return [...executeLine(createRegistry(), session, command)]
    .map((done) => `${done.text}${done.error ?? ''}`)
    .join('\n');
}

describe('!locks', () => {
  // Event and semaphore; single links and an event; double links.
  for (const build of ['6.3.9600.20919', '10.0.14393.4583', '10.0.22000.318']) {
    it(`lists owners and waiters on ${build}`, () => {
      const text = locks('W-resources', build);
      expect(text).toContain('Resource @ 0xffffdf821ce683e0    Exclusively owned');
      expect(text).toContain('    Contention Count = 1\n    NumberOfExclusiveWaiters = 1');
      expect(text).toContain('     Threads: ffffdf821f4b8040-01<*> ');
      expect(text).toContain('     Threads Waiting On Exclusive Access:\n              ffffdf8217a30040');
      expect(text).toContain('2 total locks, 2 locks currently held');
    });
  }

  it('lists 43 shared and 2 exclusive waiters on XP', () => {
    const text = locks('W-42c', null, '!locks 8b4425c8');
    expect(text).toContain('Resource @ 0x8b4425c8    Shared 1 owning threads');
    expect(text).toContain('NumberOfSharedWaiters = 43\n    NumberOfExclusiveWaiters = 2');
    const shared = text.slice(text.indexOf('Threads Waiting On Shared Access:'));
    expect(shared.match(/^ {14}[0-9a-f]{8}/gm)).toHaveLength(43);
  });
});
