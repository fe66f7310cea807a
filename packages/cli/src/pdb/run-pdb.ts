import { type ByteSource, bytesSource } from '@dumpscope/core';
import {
  expandCab,
  identifySymbolFile,
  openPdb,
  type PdbFile,
  type PdbRowKind,
  type PdbRows,
  pdbRows,
  pdbSummary,
} from '@dumpscope/symbols';
import { EXIT, InputError, type Io, oneLine, UsageError } from '../io.ts';
import { toJson } from '../json.ts';
import { openInput } from '../open-dump-file.ts';
import { pdbText } from './pdb-text.ts';

export interface PdbRequest {
  readonly path: string;
  readonly json: boolean;
  readonly publics: boolean;
  readonly types: boolean;
  readonly typeName: string | null;
  readonly fpo: boolean;
  readonly lines: boolean;
  readonly streams: boolean;
}

/** Largest cabinet that is expanded in memory. */
const MAX_CABINET = 0x2000_0000;

function expanded(source: ByteSource, path: string): ByteSource {
  if (source.size > MAX_CABINET) throw new InputError(`${path}: a cabinet of ${source.size} bytes is not expanded`);
  const bytes = new Uint8Array(source.size);
  source.read(0, bytes, 0, bytes.length);
  return bytesSource(expandCab(bytes).bytes, path);
}

function open(source: ByteSource, path: string): PdbFile {
  try {
    const identity = identifySymbolFile(source);
    if (identity.kind === 'cab') return openPdb(expanded(source, path));
    if (identity.kind === 'other') throw new InputError(prefixed(path, identity.what));
    if (identity.kind !== 'pdb') throw new InputError(`${path}: a file of kind ${identity.kind}, not a PDB`);
    return openPdb(source);
  } catch (error) {
    if (error instanceof InputError) throw error;
    const text = oneLine(error instanceof Error ? error.message : String(error));
    throw new InputError(prefixed(path, text));
  }
}

/** Errors of the reader begin with the file's name already. */
function prefixed(path: string, text: string): string {
  return text.startsWith(path) ? text : `${path}: ${text}`;
}

export function runPdb(request: PdbRequest, io: Io): number {
  const kinds = (['publics', 'types', 'fpo', 'lines', 'streams'] as const).filter((kind) => request[kind]);
  const source = openInput(request.path);
  try {
    const pdb = open(source, request.path);
    const rows: Partial<Record<PdbRowKind, PdbRows[PdbRowKind]>> = {};
    for (const kind of kinds) {
      rows[kind] =
        kind === 'types' && request.typeName !== null ? pdbRows(pdb, kind, request.typeName) : pdbRows(pdb, kind);
    }
    if (request.typeName !== null && rows.types?.length === 0 && pdb.problems.length === 0) {
      throw new UsageError(`${request.path}: there is no type ${request.typeName}`);
    }
    const summary = pdbSummary(pdb);
    const problems = pdb.problems.map((p) => p.message);
    if (request.json) {
      io.out(`${toJson({ file: request.path, ...summary, ...rows, problems }, kinds.length === 0 ? 2 : undefined)}\n`);
    } else {
      io.out(pdbText(request.path, summary, rows as Partial<PdbRows>));
      for (const problem of problems) io.err(`dumpscope: ${problem}\n`);
    }
    return EXIT.done;
  } finally {
    source.close();
  }
}
