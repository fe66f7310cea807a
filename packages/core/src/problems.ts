/** Something about the input that is not as it should be; the analysis goes on. */
export interface Problem {
  /** Stable kebab-case id, such as `truncated-file` or `run-beyond-end`. */
  readonly id: string;
  /** One line: what, where, and what follows from it. */
  readonly message: string;
  /** File offset of the offending field, where there is one. */
  readonly offset?: number;
}

/** The input is no kernel dump that can be analysed: exit status 3. `message` says in one line what it is and why. */
export class NotADumpError extends Error {
  override readonly name = 'NotADumpError';
}

const MAX_PROBLEMS = 256;

/** Problems in the order of discovery; the same line is kept once, and their number is bounded. */
export class ProblemList {
  readonly items: Problem[] = [];
  readonly #seen = new Set<string>();

  add(id: string, message: string, offset?: number): void {
    const key = `${id}\n${message}`;
    if (this.#seen.has(key) || this.items.length >= MAX_PROBLEMS) return;
    this.#seen.add(key);
    this.items.push(offset === undefined ? { id, message } : { id, message, offset });
  }

  has(id: string): boolean {
    return this.items.some((item) => item.id === id);
  }
}
