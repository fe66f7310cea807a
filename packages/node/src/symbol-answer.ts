import type { ByteSource } from '@dumpscope/core';
import type { IsfFile, SymbolRequest } from '@dumpscope/symbols';

/** One place that was looked into. */
export interface SymbolAttempt {
  readonly where: string;
  /** `absent`: it is not there; `mismatch`: something else is; `failed`: it could not be found out. */
  readonly outcome: 'found' | 'absent' | 'mismatch' | 'damaged' | 'failed' | 'offline';
  readonly why: string | null;
}

export interface SymbolAnswer {
  readonly request: SymbolRequest;
  /**
   * `mismatch`: only a file that is another one, or a damaged one, was found; `failed`: a place could not be asked;
   * `offline`: a server that was not asked may have it; `invalid`: name or key cannot be that of a file.
   */
  readonly outcome: 'found' | 'not-found' | 'mismatch' | 'failed' | 'offline' | 'invalid';
  /** `isf`: in place of a PDB, layouts and public names made from that very PDB. */
  readonly form: 'pdb' | 'image' | 'isf' | null;
  /** Path of the file that was opened. */
  readonly path: string | null;
  /** Where it came from, for reports: a path or a URL. */
  readonly where: string | null;
  readonly origin: 'folder' | 'store' | 'cache' | 'download' | null;
  /** PDB or image; stays open until the provider is closed. */
  readonly source: ByteSource | null;
  readonly isf: IsfFile | null;
  /** One line: where it was found, or why not. */
  readonly why: string;
  readonly attempts: readonly SymbolAttempt[];
}

/** What became of a request that no place could satisfy. */
export function notFound(request: SymbolRequest, attempts: readonly SymbolAttempt[]): SymbolAnswer {
  const of = (...outcomes: SymbolAttempt['outcome'][]): SymbolAttempt | undefined =>
    attempts.find((attempt) => outcomes.includes(attempt.outcome));
  const bad = of('mismatch', 'damaged');
  const error = of('failed');
  const offline = of('offline');
  const say = (attempt: SymbolAttempt): string => `${attempt.where}: ${attempt.why ?? attempt.outcome}`;
  const base = { request, form: null, path: null, where: null, origin: null, source: null, isf: null, attempts };
  if (bad) return { ...base, outcome: 'mismatch', why: say(bad) };
  if (error) return { ...base, outcome: 'failed', why: say(error) };
  if (offline) return { ...base, outcome: 'offline', why: `not here; ${offline.where} was not asked (offline)` };
  const why = attempts.length === 0 ? 'no symbol path was given' : `not in ${attempts.map((a) => a.where).join(', ')}`;
  return { ...base, outcome: 'not-found', why };
}
