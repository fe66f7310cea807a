import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SymbolRequest } from '@dumpscope/symbols';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type SymbolAnswer, SymbolProvider, type SymbolProviderOptions } from '../src/index.ts';
import { makeCab, makeImage, makePdb } from './make-files.ts';
import { startServer, type TestServer } from './symbol-server.ts';

const guid = '5278AFF86C341677D7D7835C85B7B844';
const pdb: SymbolRequest = { kind: 'pdb', module: 'nt', name: 'ntkrnlmp.pdb', guid, age: 1 };
const image: SymbolRequest = {
  kind: 'image',
  module: 'nt',
  name: 'ntoskrnl.exe',
  timeDateStamp: 0x3e4ef1d4,
  sizeOfImage: 0x1046000,
};
const pdbPath = `/sym/ntkrnlmp.pdb/${guid}1/ntkrnlmp.pdb`;
const packedPath = `/sym/ntkrnlmp.pdb/${guid}1/ntkrnlmp.pd_`;
const imagePath = '/sym/ntoskrnl.exe/3E4EF1D41046000/ntoskrnl.exe';
const good = makePdb(guid, 1, 50_000);

let server: TestServer;
let cache: string;
let open: SymbolProvider[];

beforeEach(async () => {
  server = await startServer();
  cache = join(mkdtempSync(join(tmpdir(), 'dumpscope-cache-')), 'cache');
  open = [];
});
afterEach(async () => {
  for (const provider of open) provider.close();
  await server.close();
});

function provider(options: Partial<SymbolProviderOptions> = {}): SymbolProvider {
  const made = new SymbolProvider({
    symbolPath: [`srv*${cache}*${server.url}`],
    ...options,
    limits: { connectMs: 400, idleMs: 400, retryDelayMs: 1, retries: 1, ...options.limits },
  });
  open.push(made);
  return made;
}

async function ask(request: SymbolRequest, options: Partial<SymbolProviderOptions> = {}): Promise<SymbolAnswer> {
  const [answer] = await provider(options).fetch([request]);
  if (!answer) throw new Error('no answer');
  return answer;
}

/** Every file in the cache, temporary ones too. */
const kept = (): string[] =>
  existsSync(cache)
    ? readdirSync(cache, { recursive: true, withFileTypes: true }).flatMap((e) => (e.isFile() ? [e.name] : []))
    : [];

describe('a server that has it', () => {
  it('gives a PDB, which stays in the cache', async () => {
    server.routes.set(pdbPath, good);
    const seen: number[] = [];
    const answer = await ask(pdb, { onProgress: (p) => seen.push(p.received) });
    expect(answer).toMatchObject({
      outcome: 'found',
      form: 'pdb',
      origin: 'download',
      where: `${server.url.slice(0, -4)}${pdbPath}`,
    });
    expect(answer.source?.size).toBe(good.length);
    expect(seen.at(-1)).toBe(good.length);
    expect(Buffer.compare(readFileSync(join(cache, 'ntkrnlmp.pdb', `${guid}1`, 'ntkrnlmp.pdb')), good)).toBe(0);
    expect(kept()).toEqual(['ntkrnlmp.pdb']);

    const asked = server.asked.length;
    expect(await ask(pdb)).toMatchObject({ outcome: 'found', origin: 'cache' });
    expect(await ask(pdb, { offline: true })).toMatchObject({ outcome: 'found', origin: 'cache' });
    expect(server.asked.length).toBe(asked);
  });

  it('gives an image, and a compressed PDB, which is kept expanded', async () => {
    server.routes.set(imagePath, makeImage(0x3e4ef1d4, 0x1046000, 1000));
    server.routes.set(packedPath, makeCab('ntkrnlmp.pdb', good));
    const answers = await provider().fetch([image, pdb]);
    expect(answers.map((a) => [a.outcome, a.form])).toEqual([
      ['found', 'image'],
      ['found', 'pdb'],
    ]);
    expect(answers[1]?.source?.size).toBe(good.length);
    expect(kept().sort()).toEqual(['ntkrnlmp.pdb', 'ntoskrnl.exe']);
  });

  it('in two tiers, by redirection, by a pointer to a URL', async () => {
    const elsewhere = `${server.url.slice(0, -4)}/elsewhere`;
    server.routes.set('/elsewhere', good);
    server.routes.set('/sym/index2.txt', new Uint8Array(0));
    server.routes.set(`/sym/nt/ntkrnlmp.pdb/${guid}1/ntkrnlmp.pdb`, (_, response) => {
      response.writeHead(302, { Location: '/elsewhere' }).end();
    });
    expect(await ask(pdb)).toMatchObject({ outcome: 'found', origin: 'download' });
    server.routes.set('/sym/ntoskrnl.exe/3E4EF1D41046000/file.ptr', Buffer.from(`PATH:${elsewhere}2`));
    server.routes.set('/elsewhere2', makeImage(0x3e4ef1d4, 0x1046000));
    expect(await ask(image)).toMatchObject({ outcome: 'found', where: `${elsewhere}2` });
  });

  it('after one failure that passed', async () => {
    server.routes.set(pdbPath, (_, response, count) => {
      if (count === 0) response.writeHead(503).end();
      else response.end(good);
    });
    expect(await ask(pdb)).toMatchObject({ outcome: 'found' });
  });

  it('asks once for what is wanted twice', async () => {
    server.routes.set(pdbPath, good);
    const both = await provider().fetch([pdb, { ...pdb, module: 'other', guid: guid.toLowerCase() }]);
    expect(both.map((a) => a.outcome)).toEqual(['found', 'found']);
    expect(both[1]?.request.module).toBe('other');
    expect(server.asked).toEqual([pdbPath]);
  });

  it('and no cache that can be written to', async () => {
    server.routes.set(pdbPath, good);
    const blocked = join(mkdtempSync(join(tmpdir(), 'dumpscope-cache-')), 'file');
    writeFileSync(blocked, 'a file where a folder should be');
    const made = provider({ symbolPath: [`srv*${blocked}*${server.url}`] });
    const [answer] = await made.fetch([pdb]);
    expect(answer).toMatchObject({ outcome: 'found', origin: 'download' });
    expect(made.problems.join()).toMatch(/cannot be written to/);
    made.close();
    expect(existsSync(answer?.path ?? '')).toBe(false);
  });
});

describe('a server that misbehaves: no partial file, one reason', () => {
  const cases: [string, (s: TestServer) => void, string, RegExp][] = [
    ['has nothing', () => undefined, 'not-found', /^not in http/],
    ['never answers', (s) => s.routes.set(pdbPath, () => undefined), 'failed', /no answer within 0.4 s/],
    [
      'stalls in the middle',
      (s) =>
        s.routes.set(pdbPath, (_, response) => {
          response.writeHead(200, { 'Content-Length': good.length });
          response.write(good.subarray(0, 20_000));
        }),
      'failed',
      /nothing came for 0.4 s after 20000 bytes/,
    ],
    [
      'sends a byte now and then',
      (s) =>
        s.routes.set(pdbPath, (_, response) => {
          response.writeHead(200, { 'Content-Length': good.length });
          const timer = setInterval(() => response.write('x'), 50);
          response.on('close', () => clearInterval(timer));
        }),
      'failed',
      /only \d+ bytes came in 0.4 s, \d+ in all/,
    ],
    [
      'breaks off',
      (s) =>
        s.routes.set(pdbPath, (_, response) => {
          response.writeHead(200, { 'Content-Length': good.length });
          response.write(good.subarray(0, 20_000), () => response.socket?.destroy());
        }),
      'failed',
      /broke off after 20000 of \d+ bytes/,
    ],
    [
      'breaks off without having said a length',
      (s) =>
        s.routes.set(pdbPath, (_, response) => {
          response.socket?.end(
            Buffer.concat([Buffer.from('HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n'), good.subarray(0, 20_000)]),
          );
        }),
      'mismatch',
      /it is cut: \d+ bytes are missing/,
    ],
    [
      'says a length that is too small',
      (s) =>
        s.routes.set(pdbPath, (_, response) => {
          response.socket?.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n'), good]));
        }),
      // The rest of the bytes is no HTTP: whether that or the cut file is noticed first is a matter of packets.
      'mismatch or failed',
      /it is cut|Parse Error|broke off/,
    ],
    [
      'announces too much',
      (s) =>
        s.routes.set(pdbPath, (_, response) => {
          response.writeHead(200, { 'Content-Length': 10 ** 12 });
          response.write('x');
        }),
      'failed',
      /announces 1000000000000 bytes, more than the/,
    ],
    [
      'sends without end',
      (s) =>
        s.routes.set(pdbPath, (_, response) => {
          const more = (): void => {
            if (!response.destroyed) response.write(new Uint8Array(50_000), () => setImmediate(more));
          };
          more();
        }),
      'failed',
      /more than the 200000 bytes/,
    ],
    [
      'sends a web page',
      (s) => s.routes.set(pdbPath, Buffer.from('<!DOCTYPE html><html>Sign in</html>')),
      'mismatch',
      /a web page/,
    ],
    ['sends another PDB', (s) => s.routes.set(pdbPath, makePdb('F'.repeat(32), 1)), 'mismatch', /its GUID is FFFF/],
    ['sends an empty file', (s) => s.routes.set(pdbPath, new Uint8Array(0)), 'mismatch', /an empty file/],
    [
      'sends a damaged cabinet',
      (s) => s.routes.set(packedPath, makeCab('a', good).subarray(0, 300)),
      'mismatch',
      /ends beyond the end of the cabinet/,
    ],
    [
      'redirects in a circle',
      (s) =>
        s.routes.set(pdbPath, (_, response) => {
          response.writeHead(301, { Location: pdbPath }).end();
        }),
      'failed',
      /more than 5 redirections/,
    ],
    [
      'redirects to a file',
      (s) =>
        s.routes.set(pdbPath, (_, response) => {
          response.writeHead(302, { Location: 'file:///etc/passwd' }).end();
        }),
      'failed',
      /neither http nor https/,
    ],
    [
      'points at a share',
      (s) => s.routes.set(`/sym/ntkrnlmp.pdb/${guid}1/file.ptr`, Buffer.from('PATH:\\\\server\\share\\a.pdb')),
      'not-found',
      /./,
    ],
    ['fails', (s) => s.routes.set(pdbPath, (_, r) => void r.writeHead(500).end('no')), 'failed', /answered 500/],
    ['forbids', (s) => s.routes.set(pdbPath, (_, r) => void r.writeHead(403).end('no')), 'failed', /answered 403/],
    [
      'compresses unasked',
      (s) => s.routes.set(pdbPath, (_, r) => void r.writeHead(200, { 'Content-Encoding': 'gzip' }).end(good)),
      'failed',
      /sends gzip/,
    ],
  ];

  it.each(cases)('%s', async (_, prepare, outcome, why) => {
    prepare(server);
    const answer = await ask(pdb, { limits: { maximumBytes: 200_000 } });
    expect(outcome.split(' or ')).toContain(answer.outcome);
    expect(answer.why).toMatch(why);
    expect(answer.why).not.toContain('\n');
    expect(answer.source).toBeNull();
    expect(kept()).toEqual([]);
  });

  it('is tried again as often as said, and only where that may help', async () => {
    const count = async (status: number): Promise<number> => {
      server.asked.length = 0;
      server.routes.set(pdbPath, (_, response) => void response.writeHead(status).end());
      await ask(pdb, { limits: { retries: 3 } });
      return server.asked.filter((path) => path === pdbPath).length;
    };
    expect([await count(500), await count(403), await count(404)]).toEqual([4, 1, 1]);
  });

  it('is tried at most twice where it lets the time run out', async () => {
    server.routes.set(pdbPath, () => undefined);
    await ask(pdb, { limits: { retries: 5, connectMs: 100 } });
    expect(server.asked.filter((path) => path === pdbPath)).toHaveLength(2);
  });

  it('is not asked again when it cannot be reached', async () => {
    const dead = await startServer();
    await dead.close();
    const made = provider({ symbolPath: [`srv*${cache}*${dead.url}`, `srv*${cache}*${server.url}`] });
    server.routes.set(pdbPath, good);
    const [first] = await made.fetch([image]);
    expect(first).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/ECONNREFUSED/) });
    const [second] = await made.fetch([pdb]);
    // The next server of the path is still asked.
    expect(second).toMatchObject({ outcome: 'found' });
    expect(second?.attempts[0]).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/^not asked again/) });
  });

  it('is not asked again after it stalled, which is said once', async () => {
    const stalls: [(s: TestServer) => void, RegExp][] = [
      [(s) => s.routes.set(imagePath, () => undefined), /no answer within 0.4 s/],
      [
        (s) =>
          s.routes.set(imagePath, (_, response) => {
            response.writeHead(200, { 'Content-Length': 90_000 });
            response.write(good.subarray(0, 20_000));
          }),
        /nothing came for 0.4 s after 20000 bytes/,
      ],
    ];
    for (const [prepare, why] of stalls) {
      prepare(server);
      server.routes.set(pdbPath, good);
      const made = provider();
      expect((await made.fetch([image]))[0]).toMatchObject({ outcome: 'failed', why: expect.stringMatching(why) });
      server.asked.length = 0;
      for (let i = 0; i < 2; i++) {
        const [later] = await made.fetch([pdb]);
        expect(later).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/not asked again/) });
      }
      expect(server.asked).toEqual([]);
      expect(made.problems.filter((p) => p.includes('is not asked again in this run'))).toEqual([
        expect.stringMatching(why),
      ]);
      // Another run asks again.
      expect((await provider().fetch([pdb]))[0]).toMatchObject({ outcome: 'found' });
      rmSync(cache, { recursive: true });
    }
  });

  it('still asks a server for other files where one broke off', async () => {
    server.routes.set(imagePath, (_, response) => {
      response.writeHead(200, { 'Content-Length': 90_000 });
      response.write(good.subarray(0, 20_000), () => response.socket?.destroy());
    });
    server.routes.set(pdbPath, good);
    const made = provider();
    expect((await made.fetch([image]))[0]).toMatchObject({ outcome: 'failed' });
    expect((await made.fetch([pdb]))[0]).toMatchObject({ outcome: 'found' });
  });

  it('stops when told to', async () => {
    server.routes.set(pdbPath, () => undefined);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    const answer = await ask(pdb, { signal: controller.signal, limits: { connectMs: 60_000 } });
    expect(answer).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/cancelled/) });
  });
});

it('discards what a killed process left in the cache', async () => {
  mkdirSync(cache, { recursive: true });
  // A process number above every limit of the platforms that we run on.
  writeFileSync(join(cache, '.dumpscope-99999999-0123456789ab.part'), 'x');
  writeFileSync(join(cache, `.dumpscope-${process.pid}-0123456789ab.part`), 'x');
  server.routes.set(pdbPath, good);
  expect((await ask(pdb)).outcome).toBe('found');
  expect(kept().sort()).toEqual([`.dumpscope-${process.pid}-0123456789ab.part`, 'ntkrnlmp.pdb']);
});

it('asks nobody when offline, and says who might have it', async () => {
  server.routes.set(pdbPath, good);
  const answer = await ask(pdb, { offline: true });
  expect(answer).toMatchObject({ outcome: 'offline', why: `not here; ${server.url} was not asked (offline)` });
  expect(server.asked).toEqual([]);
});

it('does not let a name leave the cache', async () => {
  const answer = await ask({ ...pdb, name: '..\\..\\..' });
  expect(answer).toMatchObject({ outcome: 'invalid' });
  expect(await ask({ ...pdb, guid: '../../../../etc' })).toMatchObject({ outcome: 'invalid' });
  expect(server.asked).toEqual([]);
  await ask({ ...pdb, name: 'c:\\build\\ntkrnlmp.pdb' });
  expect(server.asked[0]).toBe(pdbPath);
});

it('replaces a damaged file in the cache', async () => {
  server.routes.set(pdbPath, good);
  const path = join(cache, 'ntkrnlmp.pdb', `${guid}1`, 'ntkrnlmp.pdb');
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, good.subarray(0, 9000));
  chmodSync(path, 0o644);
  const answer = await ask(pdb);
  expect(answer.attempts[0]).toMatchObject({
    where: path,
    outcome: 'damaged',
    why: expect.stringMatching(/it is cut/),
  });
  expect(answer).toMatchObject({ outcome: 'found', origin: 'download' });
  expect(readFileSync(path).length).toBe(good.length);
});
