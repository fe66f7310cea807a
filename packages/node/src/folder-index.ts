import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const MAXIMUM_FILES = 100_000;
const MAXIMUM_FOLDERS = 20_000;
const MAXIMUM_DEPTH = 12;

/** All files below a folder, found once. Bounded: what was left out is said in `problem`. */
export class FolderIndex {
  readonly root: string;
  readonly problem: string | null;
  /** Paths by lower-case file name. */
  readonly byName: ReadonlyMap<string, readonly string[]>;
  readonly files: readonly string[];

  constructor(root: string) {
    this.root = root;
    const byName = new Map<string, string[]>();
    const files: string[] = [];
    let problem: string | null = null;
    let folders = 0;
    let level = [root];
    for (let depth = 0; level.length > 0; depth++) {
      if (depth > MAXIMUM_DEPTH) {
        problem ??= `${root}: folders deeper than ${MAXIMUM_DEPTH} are not searched`;
        break;
      }
      const next: string[] = [];
      for (const folder of level) {
        if (++folders > MAXIMUM_FOLDERS || files.length > MAXIMUM_FILES) {
          problem ??= `${root}: only the first ${files.length} files are searched`;
          next.length = 0;
          break;
        }
        for (const entry of entriesOf(folder)) {
          const path = join(folder, entry.name);
          // A link to a folder could lead in a circle; a link to a file is a file.
          if (entry.isDirectory()) next.push(path);
          else if (entry.isFile() || (entry.isSymbolicLink() && isFile(path))) {
            files.push(path);
            const key = entry.name.toLowerCase();
            const list = byName.get(key);
            if (list) list.push(path);
            else byName.set(key, [path]);
          }
        }
      }
      level = next;
    }
    this.byName = byName;
    this.files = files;
    this.problem = problem;
  }
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    return [];
  }
}

export function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Names in folders without regard to case: stores are written on Windows and read anywhere. */
export class CaselessFolders {
  readonly #names = new Map<string, Map<string, string>>();

  /** The file at `relative` (with forward slashes) below `root`, however its path is spelled there; null when absent. */
  find(root: string, relative: string): string | null {
    const exact = join(root, relative);
    if (isFile(exact)) return exact;
    let path = root;
    for (const part of relative.split('/')) {
      const actual = this.#entries(path).get(part.toLowerCase());
      if (actual === undefined) return null;
      path = join(path, actual);
    }
    return isFile(path) ? path : null;
  }

  /** Forgets a folder that was written to. */
  forget(folder: string): void {
    for (const known of this.#names.keys()) if (known.startsWith(folder)) this.#names.delete(known);
  }

  #entries(folder: string): Map<string, string> {
    let names = this.#names.get(folder);
    if (!names) {
      names = new Map(entriesOf(folder).map((entry) => [entry.name.toLowerCase(), entry.name]));
      this.#names.set(folder, names);
    }
    return names;
  }
}
