import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bytesSource } from '@dumpscope/core';
import { expandCab } from '../src/cab/cab.ts';
import { openPdb, type PdbFile } from '../src/pdb/index.ts';
import { workFolder } from './pdb-build.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Real PDBs and images; absent on machines that have only the repository. */
export const SHARED_PDB: string = join(process.env['DUMPSCOPE_SHARED'] ?? join(ROOT, '../shared'), 'symbols/pdb');
const NODE_PTY = join(process.env['DUMPSCOPE_NODE_PTY'] ?? join(ROOT, 'node_modules/node-pty'), 'prebuilds');

function filesBelow(folder: string, pattern: RegExp): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => join(folder, name));
}

export function sharedFiles(pattern: RegExp): string[] {
  const found = filesBelow(SHARED_PDB, pattern);
  if (found.length === 0) console.log(`SKIPPED: ../shared/symbols/pdb holds nothing like ${pattern}`);
  return found;
}

export function nodePtyFiles(pattern: RegExp): string[] {
  const found = filesBelow(NODE_PTY, pattern);
  if (found.length === 0) console.log(`SKIPPED: node-pty is not installed; nothing like ${pattern} of it is compared`);
  return found;
}

export function openFile(path: string): PdbFile {
  return openPdb(bytesSource(readFileSync(path), path));
}

/** PDBs of the shared folder that are compressed, expanded. */
export function expandedPdbs(): string[] {
  return sharedFiles(/\.pd_$/).map((path) => {
    const out = join(workFolder(), basename(path).replace(/_$/, 'b'));
    writeFileSync(out, expandCab(new Uint8Array(readFileSync(path))).bytes);
    return out;
  });
}
