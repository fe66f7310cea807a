import type { ByteSource } from '@dumpscope/core';
import type { SymbolRequest, SymbolTable, TypeTable } from '@dumpscope/symbols';

/** A table that a front has at hand: an ISF file as `parseIsf` gives it. */
export interface SymbolTableAnswer {
  /** The PDB that it was made from; null where it names none (types only, for `-y` by hand). */
  readonly pdb: { readonly name: string; readonly guid: string; readonly age: number } | null;
  readonly types: TypeTable;
  readonly symbols: SymbolTable;
}

/**
 * What is there besides the dump. A target asks when it needs something, once for each request; an answer of undefined
 * means that it is not to be had (for now: `target.requests` still lists it).
 */
export interface SymbolAnswers {
  answer(request: SymbolRequest): ByteSource | Uint8Array | undefined;
  readonly tables?: readonly SymbolTableAnswer[];
  /** `.reload /i`: a PDB of another GUID or age may answer for this module; its names are marked. */
  acceptsMismatch?(module: string): boolean;
}

/** Nothing but the dump. */
export const noAnswers: SymbolAnswers = { answer: () => undefined };

/** All bytes of an answer. */
export function answerBytes(answer: ByteSource | Uint8Array): Uint8Array {
  if (answer instanceof Uint8Array) return answer;
  const out = new Uint8Array(answer.size);
  const got = answer.read(0, out, 0, out.length);
  return out.subarray(0, got);
}

/** 32 upper-case digits. */
export function plainGuid(guid: string): string {
  return guid.replace(/[-{}]/g, '').toUpperCase();
}
