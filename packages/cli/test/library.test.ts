/** The published library loads in Node, and its browser form needs nothing of Node. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';

const dist = join(import.meta.dirname, '../../dumpscope/dist');

it('loads as a library', async () => {
  const library = await import(/* @vite-ignore */ pathToFileURL(join(dist, 'index.js')).href);
  for (const name of ['openDump', 'openTarget', 'diagnose', 'renderText', 'openFileSource', 'forge']) {
    expect(typeof library[name], name).toBe('function');
  }
  expect(() => library.openDump(library.bytesSource(new Uint8Array(16), 'x'))).toThrow(/x|empty|short|zero/i);
  expect(existsSync(join(dist, 'types/index.d.ts'))).toBe(true);
});

it('has a browser form without Node', () => {
  const text = readFileSync(join(dist, 'browser.js'), 'utf8');
  expect(text).not.toMatch(/from\s*["']node:|require\(["'](?:fs|path|node:)/);
});
