import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Real inputs beside the repository; tests that need them are skipped, with a line, where they are absent. */
export const shared: string =
  process.env['DUMPSCOPE_SHARED'] ?? fileURLToPath(new URL('../../../../shared', import.meta.url));

export const haveShared: boolean = existsSync(`${shared}/symbols/isf`);
if (!haveShared) console.log(`skipped: tests with real symbols and dumps (no ${shared})`);
