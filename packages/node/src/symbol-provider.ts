import {
  type IsfFile,
  MICROSOFT_SYMBOL_SERVER,
  parseSymbolPath,
  type SymbolPathElement,
  type SymbolRequest,
  safeFileName,
  storeKey,
  storePath,
} from '@dumpscope/symbols';
import { defaultCacheFolder } from './cache-folder.ts';
import { type DownloadLimits, type DownloadProgress, defaultDownloadLimits } from './download.ts';
import { oneLine } from './file-identity.ts';
import { isFile, isFolder } from './folder-index.ts';
import { type IsfCatalogEntry, isfEntry, isIsfName, kernelIsfFiles, loadIsfFile } from './isf-files.ts';
import { LocalSearch } from './local-search.ts';
import { ServerSearch } from './server-search.ts';
import { notFound, type SymbolAnswer, type SymbolAttempt } from './symbol-answer.ts';

export interface SymbolProviderOptions {
  /** `-y` values and `_NT_SYMBOL_PATH`, each in symbol-path syntax; asked in this order. */
  readonly symbolPath?: readonly string[];
  /** `-i` and `.exepath`: further places for images, in the same syntax. */
  readonly imagePath?: readonly string[];
  /** Ask no server; caches and folders are still used. */
  readonly offline?: boolean;
  /** The folder that an unnamed cache means. */
  readonly cacheFolder?: string;
  /** What `srv*` alone means. */
  readonly server?: string;
  readonly limits?: Partial<DownloadLimits>;
  readonly onProgress?: (progress: DownloadProgress) => void;
  readonly signal?: AbortSignal;
}

const PARALLEL = 4;

/**
 * Answers the pure layers' requests for PDBs and images from folders, stores, caches and servers. Nothing that it finds
 * on disk or on the network makes it throw: each place looked into is in the answer, with what came of it.
 */
export class SymbolProvider {
  readonly cacheFolder: string;
  readonly offline: boolean;
  readonly elements: readonly SymbolPathElement[];
  readonly imageElements: readonly SymbolPathElement[];
  readonly #problems: string[] = [];
  readonly #local: LocalSearch;
  readonly #servers: ServerSearch;
  readonly #answers = new Map<string, Promise<SymbolAnswer>>();
  readonly #isf = new Map<string, Promise<IsfFile>>();

  constructor(options: SymbolProviderOptions = {}) {
    this.cacheFolder = options.cacheFolder ?? defaultCacheFolder();
    this.offline = options.offline ?? false;
    const defaults = { cache: this.cacheFolder, server: options.server ?? MICROSOFT_SYMBOL_SERVER };
    const parse = (texts: readonly string[]): SymbolPathElement[] =>
      texts.flatMap((text) => {
        const { elements, problems } = parseSymbolPath(text, defaults);
        this.#problems.push(...problems);
        return elements;
      });
    this.elements = parse(options.symbolPath ?? []);
    this.imageElements = parse(options.imagePath ?? []);
    // A cache is made when something is put into it; a folder that is not there is most likely a mistake.
    for (const element of this.#all()) {
      if (element.kind === 'directory' && !isFolder(element.path) && !isFile(element.path)) {
        this.#problems.push(`symbol path: there is no folder ${element.path}`);
      }
    }
    this.#local = new LocalSearch(this.#problems);
    const { onProgress, signal } = options;
    this.#servers = new ServerSearch(this.#local, {
      limits: { ...defaultDownloadLimits, ...options.limits },
      onProgress,
      signal,
    });
  }

  /** What was wrong with the symbol path and its folders, one line each. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  /** Servers that an answer may come from when not offline. */
  get servers(): readonly string[] {
    return this.#all().flatMap((element) => (element.kind === 'store' && element.isUrl ? [element.location] : []));
  }

  /** One answer a request, in the same order. A request that was answered before gets the same answer. */
  async fetch(requests: readonly SymbolRequest[]): Promise<SymbolAnswer[]> {
    const answers = new Array<SymbolAnswer>(requests.length);
    let next = 0;
    const work = async (): Promise<void> => {
      for (let index = next++; index < requests.length; index = next++) {
        const request = requests[index];
        if (request) answers[index] = await this.#answer(request);
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL, requests.length) }, work));
    return answers;
  }

  /** `.reload /i`: what `fetch` refused because it is of another build, for a PDB that it did not find. */
  async fetchMismatched(request: SymbolRequest & { kind: 'pdb' }): Promise<SymbolAnswer | null> {
    const answer = await this.#answer(request);
    return answer.outcome === 'found' ? null : this.#local.openMismatched(request, answer.attempts);
  }

  /** Every ISF file in the folders of the symbol path, and those of kernels in its stores. None is opened. */
  isfCatalog(): IsfCatalogEntry[] {
    const paths = new Set<string>();
    for (const element of this.elements) {
      if (element.kind !== 'directory') continue;
      if (!isFile(element.path)) {
        for (const path of this.#local.index(element.path).files) if (isIsfName(path)) paths.add(path);
      } else if (isIsfName(element.path)) paths.add(element.path);
    }
    for (const store of this.#localStores()) for (const path of kernelIsfFiles(store)) paths.add(path);
    return [...paths].map(isfEntry);
  }

  /** Reads an ISF file of the catalogue, once. Rejects with one line when it cannot be used. */
  loadIsf(entry: IsfCatalogEntry | string): Promise<IsfFile> {
    const path = typeof entry === 'string' ? entry : entry.path;
    let file = this.#isf.get(path);
    if (!file) {
      file = loadIsfFile(path);
      this.#isf.set(path, file);
    }
    return file;
  }

  /** Closes every file that was handed out. */
  close(): void {
    this.#local.close();
    this.#servers.close();
    this.#answers.clear();
  }

  #all(): readonly SymbolPathElement[] {
    return [...this.elements, ...this.imageElements];
  }

  #localStores(): string[] {
    const stores = this.#all().flatMap((element) =>
      element.kind !== 'store' ? [] : element.isUrl ? element.caches : [...element.caches, element.location],
    );
    return [...new Set(stores)];
  }

  #answer(request: SymbolRequest): Promise<SymbolAnswer> {
    const key = `${request.kind}/${storePath(request).toLowerCase()}`;
    let answer = this.#answers.get(key);
    if (!answer) {
      answer = this.#search(request).catch((error) =>
        notFound(request, [{ where: 'symbol path', outcome: 'failed', why: oneLine(error) }]),
      );
      this.#answers.set(key, answer);
    }
    return answer.then((found) => (found.request === request ? found : { ...found, request }));
  }

  async #search(request: SymbolRequest): Promise<SymbolAnswer> {
    if (safeFileName(request.name) === null || storeKey(request) === null) {
      const why = `${JSON.stringify(request.name.slice(0, 60))} with this key cannot be the name of a file`;
      return { ...notFound(request, []), outcome: 'invalid', why };
    }
    const attempts: SymbolAttempt[] = [];
    const elements = request.kind === 'image' ? [...this.imageElements, ...this.elements] : this.elements;
    for (const element of elements) {
      const found =
        element.kind === 'directory'
          ? this.#local.folder(request, element.path, attempts)
          : await this.#searchStore(request, element, attempts);
      if (found) return found;
    }
    return (request.kind === 'pdb' ? await this.#searchIsf(request, attempts) : null) ?? notFound(request, attempts);
  }

  async #searchStore(
    request: SymbolRequest,
    element: SymbolPathElement & { kind: 'store' },
    attempts: SymbolAttempt[],
  ): Promise<SymbolAnswer | null> {
    for (const cache of element.caches) {
      const found = this.#local.tree(request, cache, 'cache', attempts);
      if (found) return found;
    }
    if (element.isUrl) {
      if (!this.offline) return this.#servers.search(request, element, attempts);
      attempts.push({ where: element.location, outcome: 'offline', why: 'not asked (offline)' });
      return null;
    }
    const before = attempts.length;
    const found = this.#local.tree(request, element.location, 'store', attempts);
    if (!found && attempts.length === before) attempts.push({ where: element.location, outcome: 'absent', why: null });
    return found;
  }

  /** Layouts and names made from the very PDB that was not found. */
  async #searchIsf(request: SymbolRequest & { kind: 'pdb' }, attempts: SymbolAttempt[]): Promise<SymbolAnswer | null> {
    const guid = request.guid.replace(/[-{}]/g, '').toUpperCase();
    const name = safeFileName(request.name) ?? '';
    const paths = this.isfCatalog().flatMap((e) => (e.guid === guid && e.age === request.age ? [e.path] : []));
    for (const store of this.#localStores()) {
      for (const ending of ['.json.xz', '.json']) {
        const path = this.#local.find(store, `${name}/${guid}-${request.age}${ending}`);
        if (path !== null && !paths.includes(path)) paths.push(path);
      }
    }
    for (const path of paths) {
      try {
        const isf = await this.loadIsf(path);
        if (isf.pdb?.guid !== guid || isf.pdb.age !== request.age) {
          const what = isf.pdb ? `its GUID is ${isf.pdb.guid}, age ${isf.pdb.age}` : 'it does not say its GUID';
          attempts.push({ where: path, outcome: 'mismatch', why: what });
          continue;
        }
        attempts.push({ where: path, outcome: 'found', why: null });
        const found = { request, outcome: 'found', form: 'isf', path, where: path, origin: 'folder' } as const;
        return { ...found, source: null, isf, why: path, attempts };
      } catch (error) {
        attempts.push({ where: path, outcome: 'damaged', why: oneLine(error) });
      }
    }
    return null;
  }
}
