/** A small run of the mutation campaign; the large one is `node scripts/mutants.mjs --count 2000`. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');

it('ends mutated dumps in a report or a clear refusal', () => {
  // The campaign runs the bundle, as a user does; `npm test` builds it before.
  expect(existsSync(join(root, 'packages/dumpscope/dist/cli.js'))).toBe(true);
  const run = spawnSync(process.execPath, [join(root, 'scripts/mutants.mjs'), '--count', '60', '--seed', '11'], {
    encoding: 'utf8',
  });
  expect(run.stdout + run.stderr).toMatch(/60 mutants of \d+ dumps, seed 11: \d+ reported, \d+ refused, 0 failed/);
  expect(run.status).toBe(0);
});
