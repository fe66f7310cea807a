// Drops every page that a diagnosis reads, one at a time, for every forged scenario, as bitmap and as triage dump: a
// verdict may weaken and must never turn into another. The sample of it is part of the tests.
//   node scripts/dropped-pages.mjs [PATTERN]     only scenarios whose name matches
import { bin, run } from './run.mjs';

run(bin('vitest'), ['run', 'packages/diagnose/test/dropped-pages.test.ts'], {
  env: { ...process.env, DROPPED_PAGES: 'all', DROPPED_SCENARIOS: process.argv[2] ?? '' },
});
