import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { readPe } from '../src/image/pe-image.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = join(root, 'packages/forge/images');

function files(at: string, prefix = ''): string[] {
  return readdirSync(at, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory()
      ? entry.name === 'src'
        ? []
        : files(join(at, entry.name), `${prefix}${entry.name}/`)
      : [`${prefix}${entry.name}`],
  );
}

const manifests = files(folder).filter((name) => name.endsWith('manifest.json'));

describe('committed images', () => {
  it.each(manifests)('%s says what stands beside it', (name) => {
    const manifest = JSON.parse(readFileSync(join(folder, name), 'utf8')) as {
      files: Record<string, { sha256: string; pdb: string | null; symbols: Record<string, string> }>;
    };
    const at = join(folder, name, '..');
    for (const [file, entry] of Object.entries(manifest.files)) {
      const bytes = readFileSync(join(at, file));
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(entry.sha256);
      if (entry.pdb !== null) expect(existsSync(join(at, entry.pdb))).toBe(true);
      const image = readPe(bytes, file);
      for (const [symbol, rva] of Object.entries(entry.symbols)) {
        const place = Number.parseInt(rva, 16);
        if (!image.sections.some((s) => place >= s.rva && place <= s.rva + s.size)) {
          throw new Error(`${file}: ${symbol} at ${rva} lies in no section`);
        }
      }
      // The image names the PDB that stands beside it.
      if (entry.pdb !== null) expect(bytes.includes(Buffer.from(`${entry.pdb}\0`, 'latin1'))).toBe(true);
    }
  });
});

const version = spawnSync('clang-19', ['--version'], { encoding: 'utf8' });
const linker = spawnSync('lld-link-19', ['--version'], { encoding: 'utf8' });
// Other releases of the tools give other bytes.
const same = /version 19\.1\.7/.test(version.stdout ?? '') && linker.error === undefined;
if (!same) console.warn('forge: clang-19 and lld-19 19.1.7 are not installed, images are not rebuilt');

describe.skipIf(!same)('rebuilding', () => {
  const out = mkdtempSync(join(tmpdir(), 'dumpscope-rebuilt-'));
  afterAll(() => {
    rmSync(out, { recursive: true, force: true });
  });

  it('gives the committed bytes', () => {
    const to = join(out, 'images');
    const run = spawnSync(process.execPath, [join(root, 'scripts/build-images.mjs'), '--out', to], {
      encoding: 'utf8',
    });
    expect(run.stderr).toBe('');
    expect(run.status).toBe(0);
    const made = files(to);
    expect(made.filter((name) => name.endsWith('manifest.json')).length).toBe(manifests.length);
    for (const name of made) {
      if (Buffer.compare(readFileSync(join(to, name)), readFileSync(join(folder, name))) !== 0) {
        throw new Error(`${name} differs from the committed file`);
      }
    }
  });
});
