import type { SymbolRequest } from '@dumpscope/symbols';
import { identify } from './file-identity.ts';
import { openFileSource } from './file-source.ts';

const MAXIMUM_FILES = 2000;

/** Files by what they are, for PDBs and images that do not bear their own name. Opens each file, so only small folders. */
export class ContentIndex {
  readonly #files: readonly string[];
  #byKey: Map<string, string[]> | undefined;

  constructor(files: readonly string[]) {
    this.#files = files.filter((path) => /\.(pdb|exe|dll|sys|drv|efi|ocx|mui|bin|img)$/i.test(path));
  }

  find(request: SymbolRequest): readonly string[] {
    this.#byKey ??= this.#build();
    const key =
      request.kind === 'pdb'
        ? `pdb ${request.guid.replace(/[-{}]/g, '').toUpperCase()}`
        : `image ${request.timeDateStamp >>> 0} ${request.sizeOfImage >>> 0}`;
    return this.#byKey.get(key) ?? [];
  }

  #build(): Map<string, string[]> {
    const out = new Map<string, string[]>();
    if (this.#files.length > MAXIMUM_FILES) return out;
    for (const path of this.#files) {
      let key: string | null = null;
      try {
        const file = openFileSource(path);
        try {
          const identity = identify(file);
          if (identity.kind === 'pdb') key = `pdb ${identity.guid}`;
          else if (identity.kind === 'image') key = `image ${identity.timeDateStamp} ${identity.sizeOfImage}`;
        } finally {
          file.close();
        }
      } catch {
        continue;
      }
      if (key === null) continue;
      const list = out.get(key);
      if (list) list.push(path);
      else out.set(key, [path]);
    }
    return out;
  }
}
