import type { Limit } from './model.ts';

/** Collects what could not be read; equal entries once. */
export class LimitList {
  readonly items: Limit[] = [];
  readonly #seen = new Set<string>();

  add(what: string, why: string, wouldNeed: string | null, path?: string): void {
    const key = `${what}|${why}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.items.push(path === undefined ? { what, why, wouldNeed } : { what, why, wouldNeed, path });
  }
}
