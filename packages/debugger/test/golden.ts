import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';

const MARK = '# ';

/**
 * Compares a text with a golden file whose leading `# ` lines say where the expectation comes from. UPDATE_GOLDENS=1
 * rewrites the body and keeps the header; a golden without header is refused.
 */
export function expectGolden(folder: string, name: string, actual: string): void {
  const path = join(folder, name);
  const before = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const header = /^(?:# .*\n)*/.exec(before)?.[0] ?? '';
  if (process.env['UPDATE_GOLDENS'] === '1') {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${header === '' ? `${MARK}Source: to be reviewed\n` : header}${actual}`);
    return;
  }
  expect(header, `${path} must say where its expectation comes from`).not.toBe('');
  expect(actual).toBe(before.slice(header.length));
}
