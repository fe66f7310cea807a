import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type IsfFile, parseIsf, parseIsfFileName } from '@dumpscope/symbols';
import { MAXIMUM_WHOLE_FILE, oneLine } from './file-identity.ts';
import { expandXz, isXz } from './xz.ts';

/** An ISF file that is at hand. `guid` is null where only the content tells: {@link loadIsfFile} does. */
export interface IsfCatalogEntry {
  readonly path: string;
  readonly pdb: string | null;
  readonly guid: string | null;
  readonly age: number | null;
}

export const isIsfName = (name: string): boolean => /\.json(\.xz)?$/i.test(name);

export function isfEntry(path: string): IsfCatalogEntry {
  const name = parseIsfFileName(path);
  return name ? { path, ...name } : { path, pdb: null, guid: null, age: null };
}

/** ISF files of kernels in a store: below the folders of a kernel's PDB, as Volatility lays them out. */
export function kernelIsfFiles(store: string): string[] {
  const out: string[] = [];
  const names = (folder: string): string[] => {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  };
  for (const folder of names(store)) {
    if (!/^nt(krnl(mp|pa)|oskrnl|krpamp)\.pdb$/i.test(folder)) continue;
    for (const file of names(join(store, folder))) if (isIsfName(file)) out.push(join(store, folder, file));
  }
  return out;
}

/** Reads an ISF file, expanding it where it is `.xz`. Rejects with one line. */
export async function loadIsfFile(path: string): Promise<IsfFile> {
  let bytes: Uint8Array;
  try {
    const { size } = statSync(path);
    if (size > MAXIMUM_WHOLE_FILE) throw new Error(`${size} bytes are more than are read at once`);
    bytes = new Uint8Array(readFileSync(path));
    if (isXz(bytes)) bytes = await expandXz(bytes, MAXIMUM_WHOLE_FILE);
  } catch (error) {
    throw new Error(`${path}: ${oneLine(error)}`);
  }
  return parseIsf(bytes, path);
}
