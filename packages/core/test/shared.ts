import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder with real dumps beside the repository, or null (one line says so). */
export const shared: string | null = find();

function find(): string | null {
  const root = resolve(fileURLToPath(import.meta.url), '../../../..');
  const folder = process.env['DUMPSCOPE_SHARED'] ?? join(root, '..', 'shared');
  if (existsSync(join(folder, 'dumps'))) return folder;
  console.log(`SKIPPED: tests of real dumps, ${folder}/dumps is not there`);
  return null;
}

export function sharedDump(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(shared ?? '', 'dumps', name)));
}
