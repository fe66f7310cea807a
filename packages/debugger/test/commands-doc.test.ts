import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { allCommands, commandDocs } from '../src/index.ts';

const path = join(import.meta.dirname, '../../../docs/commands.md');

it('docs/commands.md says what the commands say (UPDATE_GOLDENS=1 writes it)', () => {
  const text = commandDocs(allCommands);
  if (process.env['UPDATE_GOLDENS'] === '1') writeFileSync(path, text);
  expect(readFileSync(path, 'utf8')).toBe(text);
});
