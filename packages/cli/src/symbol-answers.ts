import type { ByteSource } from '@dumpscope/core';
import type { SymbolAnswers, SymbolTableAnswer } from '@dumpscope/debugger';
import type { SymbolAnswer, SymbolProvider } from '@dumpscope/node';
import { type SymbolRequest, storePath } from '@dumpscope/symbols';

function keyOf(request: SymbolRequest): string {
  return `${request.kind}/${storePath(request).toLowerCase()}`;
}

/**
 * The synchronous side of the provider: what it has found so far, and what was asked for and is still open. A target
 * keeps the answers it got, so new ones need a new target.
 */
export class AnswerBook implements SymbolAnswers {
  readonly tables: SymbolTableAnswer[] = [];
  readonly results: SymbolAnswer[] = [];
  readonly #provider: SymbolProvider;
  readonly #found = new Map<string, ByteSource>();
  readonly #tried = new Set<string>();
  readonly #open = new Map<string, SymbolRequest>();

  readonly #mismatched = new Set<string>();

  constructor(provider: SymbolProvider) {
    this.#provider = provider;
  }

  answer(request: SymbolRequest): ByteSource | undefined {
    const key = keyOf(request);
    const found = this.#found.get(key);
    if (found === undefined && !this.#tried.has(key)) this.#open.set(key, request);
    return found;
  }

  acceptsMismatch(module: string): boolean {
    return this.#mismatched.has('*') || this.#mismatched.has(module);
  }

  /** `.reload /i`: PDBs of another build may answer for these modules from now on. True when that is news. */
  acceptMismatched(modules: Iterable<string>): boolean {
    const before = this.#mismatched.size;
    for (const module of modules) this.#mismatched.add(module);
    if (this.#mismatched.size === before) return false;
    for (const { request, outcome } of this.results) {
      if (request.kind !== 'pdb' || outcome === 'found' || !this.acceptsMismatch(request.module)) continue;
      this.#tried.delete(keyOf(request));
      this.#open.set(keyOf(request), request);
    }
    return true;
  }

  /** Also look for these, though nobody asked for them yet. */
  want(requests: readonly SymbolRequest[]): void {
    for (const request of requests) this.answer(request);
  }

  /** Answers everything that is open; true when something was found. */
  async settle(): Promise<boolean> {
    const requests = [...this.#open.values()];
    this.#open.clear();
    if (requests.length === 0) return false;
    for (const request of requests) this.#tried.add(keyOf(request));
    let any = false;
    for (const first of await this.#provider.fetch(requests)) {
      const { request } = first;
      const other =
        first.outcome !== 'found' && request.kind === 'pdb' && this.acceptsMismatch(request.module)
          ? await this.#provider.fetchMismatched(request)
          : null;
      const answer = other ?? first;
      this.results.push(answer);
      if (answer.outcome !== 'found') continue;
      if (answer.source !== null) this.#found.set(keyOf(answer.request), answer.source);
      else if (answer.isf !== null) this.tables.push(answer.isf);
      any = true;
    }
    return any;
  }
}
