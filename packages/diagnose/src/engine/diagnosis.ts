import type { Target } from '@dumpscope/debugger';
import type { Finding } from '../report/report.ts';
import { Evidence } from './evidence.ts';

/** A fact that several patterns share: computed once per dump, on first use. */
export type FactKey<T> = { readonly name: string; readonly compute: (diagnosis: Diagnosis) => T };

export function defineFact<T>(name: string, compute: (diagnosis: Diagnosis) => T): FactKey<T> {
  return { name, compute };
}

/** One run over one dump: the target, shared facts, and a numbering for evidence. */
export class Diagnosis {
  readonly target: Target;
  readonly #facts = new Map<FactKey<unknown>, unknown>();
  readonly #prefixes = new Map<string, number>();

  constructor(target: Target) {
    this.target = target;
  }

  fact<T>(key: FactKey<T>): T {
    if (!this.#facts.has(key)) this.#facts.set(key, key.compute(this));
    return this.#facts.get(key) as T;
  }

  /** A fresh evidence list; ids are unique in the report (`spin1.3`). */
  evidence(topic: string): Evidence {
    const n = (this.#prefixes.get(topic) ?? 0) + 1;
    this.#prefixes.set(topic, n);
    return new Evidence(this.target, `${topic}${n}`);
  }
}

/** A rule: one folder under patterns/, with a README and a state that must fire beside one that must not. */
export interface Pattern {
  /** Catalogue name in kebab-case. */
  readonly id: string;
  readonly title: string;
  run(diagnosis: Diagnosis): readonly Finding[];
}

export function definePattern(pattern: Pattern): Pattern {
  return pattern;
}

/** A rule about findings: which of them stand on doubtful ground. Runs when all patterns have. */
export interface Review {
  readonly id: string;
  readonly title: string;
  /** `findings`: those that explain something; what only describes the dump is left out. */
  run(diagnosis: Diagnosis, findings: readonly Finding[]): readonly Finding[];
}

export function defineReview(review: Review): Review {
  return review;
}
