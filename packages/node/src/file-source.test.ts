import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openFileSource } from './file-source.ts';

const dir = mkdtempSync(join(tmpdir(), 'dumpscope-file-'));

it('reads at any offset, ends at the end of the file and after close', () => {
  const path = join(dir, 'a.bin');
  writeFileSync(
    path,
    Uint8Array.from({ length: 300 }, (_, i) => i),
  );
  const source = openFileSource(path);
  expect(source.size).toBe(300);
  const into = new Uint8Array(10);
  expect(source.read(295, into, 2, 8)).toBe(5);
  expect([...into]).toEqual([0, 0, 39, 40, 41, 42, 43, 0, 0, 0]);
  expect(source.read(300, into, 0, 1)).toBe(0);
  expect(source.read(-1, into, 0, 1)).toBe(0);
  expect(source.read(1e15, into, 0, 1)).toBe(0);
  expect(source.read(0, into, 8, 100)).toBe(2);
  source.close();
  source.close();
  expect(source.read(0, into, 0, 1)).toBe(0);
});

it('says what cannot be opened', () => {
  expect(() => openFileSource(join(dir, 'absent'))).toThrow(/ENOENT/);
  expect(() => openFileSource(dir)).toThrow(/directory/);
});
