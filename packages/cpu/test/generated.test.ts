import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

describe('generated files are what their generators write', () => {
  it.each(['scripts/generate-iced.mjs', 'packages/cpu/scripts/generate-capstone.mjs'])('%s', (script) => {
    const result = spawnSync(process.execPath, [join(root, script), '--check'], { encoding: 'utf8' });
    expect(result.stderr).toBe('');
    expect(result.status).toBe(0);
  });
});
