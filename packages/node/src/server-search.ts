import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type SymbolRequest, storeCandidates, storePath } from '@dumpscope/symbols';
import { commitFile, discardFile, temporaryFile, writeWhole } from './cache-folder.ts';
import { type DownloadLimits, type DownloadProgress, download } from './download.ts';
import { oneLine, openMatching } from './file-identity.ts';
import { type LocalSearch, readPointer } from './local-search.ts';
import type { SymbolAnswer, SymbolAttempt } from './symbol-answer.ts';

/** A server of a symbol path, and the caches that what it gives is kept in. */
export interface SymbolServer {
  readonly location: string;
  readonly caches: readonly string[];
}

export interface ServerSearchOptions {
  readonly limits: DownloadLimits;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** `stop`: asking this server further for the file is in vain; the reason is among the attempts. */
type Outcome = SymbolAnswer | 'absent' | 'stop';

/** Symbol servers. A file comes into a cache under its name only when it is whole and what was asked for. */
export class ServerSearch {
  readonly #local: LocalSearch;
  readonly #options: ServerSearchOptions;
  /** Servers that could not be reached or stalled, with the reason. */
  readonly #unreachable = new Map<string, string>();
  readonly #twoTier = new Map<string, Promise<boolean>>();
  readonly #writable = new Map<string, boolean>();
  #scratch: string | undefined;

  constructor(local: LocalSearch, options: ServerSearchOptions) {
    this.#local = local;
    this.#options = options;
  }

  async search(request: SymbolRequest, server: SymbolServer, attempts: SymbolAttempt[]): Promise<SymbolAnswer | null> {
    const { location } = server;
    const reason = this.#unreachable.get(location);
    if (reason !== undefined) {
      attempts.push({ where: location, outcome: 'failed', why: `not asked again: ${reason}` });
      return null;
    }
    const before = attempts.length;
    for (const twoTier of [false, true]) {
      if (twoTier && !(await this.#isTwoTier(location))) break;
      for (const candidate of storeCandidates(request, twoTier)) {
        const url = `${location}/${candidate.path.split('/').map(encodeURIComponent).join('/')}`;
        const outcome: Outcome =
          candidate.form === 'pointer'
            ? await this.#pointer(request, server, url, attempts)
            : await this.#file(request, server, url, attempts);
        if (outcome === 'stop') return null;
        if (outcome !== 'absent') return outcome;
      }
    }
    if (attempts.length === before) attempts.push({ where: location, outcome: 'absent', why: null });
    return null;
  }

  /**
   * Asks a server no more in this run. A redirection or pointer to another host that fails says nothing of the server
   * itself, but every file of such a store ends there.
   */
  #giveUp(location: string, url: string, why: string): void {
    if (this.#unreachable.has(location)) return;
    this.#unreachable.set(location, why);
    this.#local.problems.push(`${location} is not asked again in this run: ${why} (${url.slice(0, 300)})`);
  }

  close(): void {
    if (this.#scratch !== undefined) rmSync(this.#scratch, { recursive: true, force: true });
    this.#scratch = undefined;
  }

  async #file(request: SymbolRequest, server: SymbolServer, url: string, attempts: SymbolAttempt[]): Promise<Outcome> {
    const folder = this.#cacheFor(server);
    const { limits, onProgress, signal } = this.#options;
    let temporary: string | undefined;
    try {
      temporary = temporaryFile(folder);
      const result = await download(url, temporary, limits, onProgress, signal);
      if (result.kind === 'absent') return 'absent';
      if (result.kind === 'failed') {
        attempts.push({ where: url, outcome: 'failed', why: result.why });
        if (result.unreachable) this.#giveUp(server.location, url, result.why);
        return 'stop';
      }
      const opened = openMatching(temporary, request, true);
      if (opened.kind === 'bad') {
        attempts.push({ where: url, outcome: opened.outcome, why: opened.why });
        return 'stop';
      }
      opened.close();
      const path = join(folder, storePath(request));
      if (opened.expanded) writeWhole(folder, path, opened.expanded);
      else commitFile(temporary, path);
      this.#local.forget(folder);
      return this.#local.open(request, path, url, 'download', attempts) ?? 'stop';
    } catch (error) {
      attempts.push({ where: url, outcome: 'failed', why: `cannot be kept in ${folder}: ${oneLine(error)}` });
      return 'stop';
    } finally {
      if (temporary !== undefined) discardFile(temporary);
    }
  }

  /** A server's pointer is followed to a URL only: it must not make us open files or shares. */
  async #pointer(
    request: SymbolRequest,
    server: SymbolServer,
    url: string,
    attempts: SymbolAttempt[],
  ): Promise<Outcome> {
    const temporary = temporaryFile(this.#scratchFolder());
    try {
      const limits = { ...this.#options.limits, maximumBytes: 4096, retries: 0 };
      const result = await download(url, temporary, limits, undefined, this.#options.signal);
      if (result.kind === 'failed' && result.unreachable) {
        attempts.push({ where: url, outcome: 'failed', why: result.why });
        this.#giveUp(server.location, url, result.why);
        return 'stop';
      }
      if (result.kind !== 'done') return 'absent';
      const pointer = readPointer(temporary);
      if (pointer === null) return 'absent';
      if ('path' in pointer && /^https?:\/\//i.test(pointer.path)) {
        return this.#file(request, server, pointer.path, attempts);
      }
      const why = 'message' in pointer ? pointer.message : `it points at ${pointer.path}, which is not followed`;
      attempts.push({ where: url, outcome: 'absent', why: why.slice(0, 200) });
      return 'stop';
    } finally {
      discardFile(temporary);
    }
  }

  /** Whether the store has two tiers, which a file index2.txt says. Asked once. */
  #isTwoTier(location: string): Promise<boolean> {
    let known = this.#twoTier.get(location);
    if (!known) {
      const temporary = temporaryFile(this.#scratchFolder());
      const limits = { ...this.#options.limits, maximumBytes: 0x10_0000, retries: 0 };
      known = download(`${location}/index2.txt`, temporary, limits, undefined, this.#options.signal).then((result) => {
        discardFile(temporary);
        return result.kind === 'done';
      });
      this.#twoTier.set(location, known);
    }
    return known;
  }

  /** The nearest cache that can be written to, else a folder that goes when the provider is closed. */
  #cacheFor(server: SymbolServer): string {
    for (const cache of server.caches) {
      let writable = this.#writable.get(cache);
      if (writable === undefined) {
        try {
          const probe = temporaryFile(cache);
          writeWhole(cache, probe, new Uint8Array(0));
          discardFile(probe);
          writable = true;
        } catch (error) {
          this.#local.problems.push(`${cache} cannot be written to: ${oneLine(error)}`);
          writable = false;
        }
        this.#writable.set(cache, writable);
      }
      if (writable) return cache;
    }
    return this.#scratchFolder();
  }

  #scratchFolder(): string {
    return (this.#scratch ??= mkdtempSync(join(tmpdir(), 'dumpscope-')));
  }
}
