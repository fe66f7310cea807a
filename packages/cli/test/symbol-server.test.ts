import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from './run-cli.ts';

const dir = mkdtempSync(join(tmpdir(), 'dumpscope-server-'));
const dump = join(dir, 'seed.dmp');
const files = join(dir, 'files');
const asked: string[] = [];
let server: Server;
let url = '';

beforeAll(async () => {
  const { status, err } = await runCli(['forge', 'S01a', '-o', dump, '--symbols', files]);
  expect(status, err).toBe(0);
  const byName = new Map(readdirSync(files).map((name) => [name.toLowerCase(), join(files, name)]));
  server = createServer((request, response) => {
    const name = basename(decodeURIComponent(request.url ?? ''));
    asked.push(name);
    const path = byName.get(name.toLowerCase());
    if (path === undefined) response.writeHead(404).end();
    else {
      const bytes = readFileSync(path);
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});

afterAll(() => new Promise<void>((done) => server.close(() => done())));

it('asks a server for what the stacks need, later for what commands need, and keeps it in the cache', async () => {
  const cache = join(dir, 'cache');
  const path = `srv*${cache}*${url}`;
  const first = await runCli(['debug', dump, '-y', path, '-c', '~1s; k; ~0s; k 6']);
  expect(first.status).toBe(0);
  expect(first.out).toContain('f794cd54 00000000 nt!KiIdleLoop+0x14');
  expect(first.out).toContain('a07be220 a1342755 hal!KeAcquireInStackQueuedSpinLock+0x47');
  expect(first.out).toContain('MyDriver!RcvData+0x98');
  expect(first.err).toContain('fetched http://127.0.0.1');
  expect(asked).toContain('MyDriver.pdb');
  const before = asked.length;
  const second = await runCli(['debug', dump, '-y', path, '-c', 'k 6']);
  expect(second.out).toContain('MyDriver!RcvData+0x98');
  expect(asked.slice(before).filter((name) => name === 'MyDriver.pdb')).toEqual([]);
  // Offline the cache is enough, and nothing is asked.
  const count = asked.length;
  const offline = await runCli(['debug', dump, '-y', path, '--offline', '-c', 'k 6']);
  expect(offline.out).toContain('MyDriver!RcvData+0x98');
  expect(asked.length).toBe(count);
});

it('asks nobody without a symbol path', async () => {
  const count = asked.length;
  const { out, err } = await runCli(['debug', dump, '-c', 'k']);
  expect([asked.length, err]).toEqual([count, '']);
  expect(out).not.toContain('MyDriver!RcvData');
  const none = await runCli(['symbols', dump, '--json']);
  const { wanted } = JSON.parse(none.out) as { wanted: { name: string; outcome: string }[] };
  expect(wanted.find((w) => w.name === 'MyDriver.pdb')?.outcome).toBe('not-searched');
});
