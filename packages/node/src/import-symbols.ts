import { copyFileSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { bytesSource } from '@dumpscope/core';
import {
  ImageFile,
  parseIsfFileName,
  type SymbolFileIdentity,
  type SymbolRequest,
  safeFileName,
  storePath,
} from '@dumpscope/symbols';
import { commitFile, discardFile, temporaryFile, writeWhole } from './cache-folder.ts';
import { expandFile, identify, MAXIMUM_WHOLE_FILE, oneLine } from './file-identity.ts';
import { openFileSource } from './file-source.ts';
import { FolderIndex, isFile } from './folder-index.ts';
import { isIsfName } from './isf-files.ts';

export interface ImportedFile {
  readonly file: string;
  readonly outcome: 'imported' | 'present' | 'skipped' | 'failed';
  /** Path below the cache folder. */
  readonly to: string | null;
  readonly why: string | null;
}

/**
 * Files every PDB, image and ISF file of a folder (compressed ones expanded) into a cache, under the names and keys by
 * which they are asked for. Files that are none of these are skipped; nothing in the folder makes it throw.
 */
export function importSymbols(folder: string, cache: string): ImportedFile[] {
  const index = new FolderIndex(folder);
  const names = pdbNames(index.files);
  return index.files.map((file): ImportedFile => {
    try {
      return importFile(file, cache, names);
    } catch (error) {
      return { file, outcome: 'failed', to: null, why: oneLine(error) };
    }
  });
}

function importFile(file: string, cache: string, names: ReadonlyMap<string, string>): ImportedFile {
  const isf = isIsfName(file) ? parseIsfFileName(file) : null;
  if (isf?.pdb && safeFileName(isf.pdb) === isf.pdb) {
    const ending = /\.xz$/i.test(file) ? '.json.xz' : '.json';
    return keep(file, null, cache, `${isf.pdb}/${isf.guid}-${isf.age}${ending}`);
  }
  let { identity, expanded } = look(file);
  if (identity.kind === 'cab') {
    expanded = expandFile(file);
    identity = identify(bytesSource(expanded, file));
  }
  if (identity.kind !== 'pdb' && identity.kind !== 'image') {
    return {
      file,
      outcome: 'skipped',
      to: null,
      why: identity.kind === 'other' ? identity.what : `${identity.kind} file`,
    };
  }
  if (identity.missingBytes > 0) {
    return { file, outcome: 'failed', to: null, why: `it is cut: ${identity.missingBytes} bytes are missing` };
  }
  const own = basename(file);
  // `foo.pd_` was foo.pdb.
  const plain = expanded === null ? own : own.replace(/_$/, identity.kind === 'pdb' ? 'b' : imageLetter(own));
  const name = identity.kind === 'pdb' ? (names.get(identity.guid) ?? plain) : plain;
  const request: SymbolRequest =
    identity.kind === 'pdb'
      ? { kind: 'pdb', module: name, name, guid: identity.guid, age: identity.age }
      : {
          kind: 'image',
          module: name,
          name,
          timeDateStamp: identity.timeDateStamp,
          sizeOfImage: identity.sizeOfImage,
        };
  return keep(file, expanded, cache, storePath(request));
}

const imageLetter = (name: string): string => (/\.ex_$/i.test(name) ? 'e' : /\.sy_$/i.test(name) ? 's' : 'l');

function look(file: string): { identity: SymbolFileIdentity; expanded: Uint8Array | null } {
  const source = openFileSource(file);
  try {
    return { identity: identify(source), expanded: null };
  } finally {
    source.close();
  }
}

function keep(file: string, bytes: Uint8Array | null, cache: string, to: string): ImportedFile {
  const path = join(cache, to);
  if (isFile(path)) return { file, outcome: 'present', to, why: null };
  if (bytes) writeWhole(cache, path, bytes);
  else {
    const temporary = temporaryFile(cache);
    try {
      copyFileSync(file, temporary);
      commitFile(temporary, path);
    } catch (error) {
      discardFile(temporary);
      throw error;
    }
  }
  return { file, outcome: 'imported', to, why: null };
}

/** PDB names by GUID, as the images of the folder ask for them: a PDB may have been given another name. */
function pdbNames(files: readonly string[]): Map<string, string> {
  const out = new Map<string, string>();
  for (const file of files) {
    if (!/\.(exe|dll|sys|drv|efi)$/i.test(file)) continue;
    try {
      const source = openFileSource(file);
      const { size } = source;
      source.close();
      if (size > MAXIMUM_WHOLE_FILE) continue;
      const record = new ImageFile(new Uint8Array(readFileSync(file)), file).pe.codeView;
      const name = record?.name === undefined ? null : safeFileName(record.name);
      if (record && name !== null) out.set(record.guid.replace(/-/g, '').toUpperCase(), name);
    } catch {
      // Whatever is wrong with the image is said where it is imported itself.
    }
  }
  return out;
}
