/** A small run of the campaign over symbol files; the large one is `node scripts/mutants-symbols.mjs --count 5000`. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SHARED_PDB } from './pdb-paths.ts';

const root = join(import.meta.dirname, '../../..');

it.skipIf(!existsSync(SHARED_PDB))('ends mutated symbol files in answers or named errors', () => {
  const run = spawnSync(
    process.execPath,
    [join(root, 'scripts/mutants-symbols.mjs'), '--count', '300', '--seed', '7'],
    {
      encoding: 'utf8',
    },
  );
  expect(run.stdout + run.stderr).toMatch(/300 mutants of \d+ symbol files, seed 7: \d+ read, \d+ refused, 0 failed/);
});
