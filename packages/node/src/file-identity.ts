import { readFileSync, statSync } from 'node:fs';
import { type ByteSource, bytesSource } from '@dumpscope/core';
import {
  expandCab,
  identifySymbolFile,
  mismatch,
  type SymbolFileIdentity,
  type SymbolRequest,
} from '@dumpscope/symbols';
import { openFileSource } from './file-source.ts';

/** Largest file that is read whole, and largest that one expands to. */
export const MAXIMUM_WHOLE_FILE = 0x2000_0000;

export type OpenedFile =
  | { readonly kind: 'open'; readonly source: ByteSource; readonly expanded: Uint8Array | null; close(): void }
  | { readonly kind: 'bad'; readonly outcome: 'mismatch' | 'damaged' | 'failed'; readonly why: string };

const bad = (outcome: 'mismatch' | 'damaged' | 'failed', why: string): OpenedFile => ({ kind: 'bad', outcome, why });

export const oneLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').slice(0, 300);

/** Identity of a file; never throws, whatever the bytes are. */
export function identify(source: ByteSource): SymbolFileIdentity {
  try {
    return identifySymbolFile(source);
  } catch (error) {
    return { kind: 'other', what: `damaged: ${oneLine(error)}` };
  }
}

/** Expands `.pd_` and the like. Throws one line. */
export function expandFile(path: string): Uint8Array {
  const { size } = statSync(path);
  if (size > MAXIMUM_WHOLE_FILE) throw new Error(`${size} bytes are more than are read at once`);
  return expandCab(new Uint8Array(readFileSync(path)), MAXIMUM_WHOLE_FILE).bytes;
}

/**
 * Opens a file and makes sure that it is what was asked for; a cabinet is expanded. With `whole` a file that is cut is
 * refused too: what a server gave must not come into a cache like that. With `anyPdb` a PDB of any GUID and age will do.
 */
export function openMatching(path: string, request: SymbolRequest, whole: boolean, anyPdb = false): OpenedFile {
  let source: ByteSource;
  let close = (): void => undefined;
  let expanded: Uint8Array | null = null;
  try {
    const file = openFileSource(path);
    source = file;
    close = () => file.close();
  } catch (error) {
    return bad('failed', oneLine(error));
  }
  let identity = identify(source);
  if (identity.kind === 'cab') {
    close();
    close = () => undefined;
    try {
      expanded = expandFile(path);
    } catch (error) {
      return bad('damaged', oneLine(error));
    }
    source = bytesSource(expanded, path);
    identity = identify(source);
  }
  const why = anyPdb && identity.kind === 'pdb' ? null : mismatch(identity, request);
  if (why !== null) {
    close();
    return bad(identity.kind === 'other' ? 'damaged' : 'mismatch', why);
  }
  const missing = identity.kind === 'pdb' || identity.kind === 'image' ? identity.missingBytes : 0;
  if (whole && missing > 0) {
    close();
    return bad('damaged', `it is cut: ${missing} bytes are missing at its end`);
  }
  return { kind: 'open', source, expanded, close };
}
