import { basename, isAbsolute, resolve } from 'node:path';
import {
  type Candidate,
  compressedName,
  directoryCandidates,
  parseFilePointer,
  type SymbolRequest,
  safeFileName,
  storeCandidates,
} from '@dumpscope/symbols';
import { ContentIndex } from './content-index.ts';
import { openMatching } from './file-identity.ts';
import { openFileSource } from './file-source.ts';
import { CaselessFolders, FolderIndex, isFile, isFolder } from './folder-index.ts';
import type { SymbolAnswer, SymbolAttempt } from './symbol-answer.ts';

export type Origin = NonNullable<SymbolAnswer['origin']>;

/** Folders and store trees on disk. Each place where something was found wrong goes into `attempts`. */
export class LocalSearch {
  readonly problems: string[];
  readonly #folders = new CaselessFolders();
  readonly #indexes = new Map<string, FolderIndex>();
  readonly #contents = new Map<string, ContentIndex>();
  readonly #open: { close(): void }[] = [];

  constructor(problems: string[]) {
    this.problems = problems;
  }

  /** A folder of a symbol path: its usual places, a store tree in it, and whatever lies deeper. A file stands for itself. */
  folder(request: SymbolRequest, folder: string, attempts: SymbolAttempt[]): SymbolAnswer | null {
    if (isFile(folder)) return this.open(request, folder, folder, 'folder', attempts);
    if (!isFolder(folder)) {
      attempts.push({ where: folder, outcome: 'absent', why: 'no such folder' });
      return null;
    }
    const before = attempts.length;
    const tried = new Set<string>();
    for (const candidate of [...directoryCandidates(request), ...this.#twoTier(request, folder)]) {
      const found = this.#candidate(request, folder, candidate, 'folder', attempts, tried);
      if (found) return found;
    }
    const name = (safeFileName(request.name) ?? '').toLowerCase();
    const index = this.index(folder);
    const named = [name, compressedName(name)].flatMap((known) => index.byName.get(known) ?? []);
    for (const path of named) {
      if (tried.has(path)) continue;
      tried.add(path);
      const found = this.open(request, path, path, 'folder', attempts);
      if (found) return found;
    }
    // A file whose name was changed is still what it is.
    for (const path of this.#content(index).find(request)) {
      const found = tried.has(path) ? null : this.open(request, path, path, 'folder', attempts);
      if (found) return found;
    }
    if (attempts.length === before) attempts.push({ where: folder, outcome: 'absent', why: null });
    return null;
  }

  /** A store tree of one or two tiers. */
  tree(
    request: SymbolRequest,
    folder: string,
    origin: 'store' | 'cache',
    attempts: SymbolAttempt[],
  ): SymbolAnswer | null {
    const tried = new Set<string>();
    for (const candidate of [...this.#twoTier(request, folder), ...storeCandidates(request, false)]) {
      const found = this.#candidate(request, folder, candidate, origin, attempts, tried);
      if (found) return found;
    }
    return null;
  }

  /** Opens a file if it is what was asked for. */
  open(
    request: SymbolRequest,
    path: string,
    where: string,
    origin: Origin,
    attempts: SymbolAttempt[],
  ): SymbolAnswer | null {
    const opened = openMatching(path, request, origin === 'cache' || origin === 'download');
    if (opened.kind === 'bad') {
      attempts.push({ where, outcome: opened.outcome, why: opened.why });
      return null;
    }
    this.#open.push(opened);
    attempts.push({ where, outcome: 'found', why: null });
    const { source } = opened;
    const form = request.kind;
    return { request, outcome: 'found', form, path, where, origin, source, isf: null, why: where, attempts };
  }

  /** The first PDB of another build that a search came upon under the wanted name; null where there was none. */
  openMismatched(request: SymbolRequest & { kind: 'pdb' }, attempts: readonly SymbolAttempt[]): SymbolAnswer | null {
    const name = (safeFileName(request.name) ?? '').toLowerCase();
    for (const { where, outcome } of attempts) {
      const file = basename(where).toLowerCase();
      if (outcome !== 'mismatch' || (file !== name && file !== compressedName(name))) continue;
      const opened = openMatching(where, request, false, true);
      if (opened.kind === 'bad') continue;
      this.#open.push(opened);
      const found = { request, outcome: 'found', form: 'pdb', path: where, where, origin: 'folder' } as const;
      return { ...found, source: opened.source, isf: null, why: `${where}, although it is of another build`, attempts };
    }
    return null;
  }

  /** The file at a relative path, however it is spelled there. */
  find(folder: string, relative: string): string | null {
    return this.#folders.find(folder, relative);
  }

  index(folder: string): FolderIndex {
    let index = this.#indexes.get(folder);
    if (!index) {
      index = new FolderIndex(folder);
      this.#indexes.set(folder, index);
      if (index.problem !== null) this.problems.push(index.problem);
    }
    return index;
  }

  /** Forgets what a folder looked like that was written to. */
  forget(folder: string): void {
    this.#folders.forget(folder);
  }

  close(): void {
    for (const file of this.#open.splice(0)) file.close();
  }

  #twoTier(request: SymbolRequest, folder: string): Candidate[] {
    return this.#folders.find(folder, 'index2.txt') === null ? [] : storeCandidates(request, true);
  }

  #candidate(
    request: SymbolRequest,
    root: string,
    candidate: Candidate,
    origin: Origin,
    attempts: SymbolAttempt[],
    tried: Set<string>,
  ): SymbolAnswer | null {
    const path = this.#folders.find(root, candidate.path);
    if (path === null || tried.has(path)) return null;
    tried.add(path);
    if (candidate.form !== 'pointer') return this.open(request, path, path, origin, attempts);
    const pointer = readPointer(path);
    if (pointer === null || 'message' in pointer) {
      attempts.push({ where: path, outcome: 'absent', why: pointer?.message.slice(0, 200) ?? 'it points nowhere' });
      return null;
    }
    const target = isAbsolute(pointer.path) ? pointer.path : resolve(root, pointer.path.replaceAll('\\', '/'));
    if (!isFile(target)) {
      const why = `it points at ${pointer.path.slice(0, 200)}, which is not there`;
      attempts.push({ where: path, outcome: 'absent', why });
      return null;
    }
    return this.open(request, target, path, origin, attempts);
  }

  #content(index: FolderIndex): ContentIndex {
    let content = this.#contents.get(index.root);
    if (!content) {
      content = new ContentIndex(index.files);
      this.#contents.set(index.root, content);
    }
    return content;
  }
}

export function readPointer(path: string): ReturnType<typeof parseFilePointer> {
  try {
    const file = openFileSource(path);
    const bytes = new Uint8Array(Math.min(4096, file.size));
    file.read(0, bytes, 0, bytes.length);
    file.close();
    return parseFilePointer(Buffer.from(bytes).toString('utf8'));
  } catch {
    return null;
  }
}
