import { statSync } from 'node:fs';
import type { Target } from '@dumpscope/debugger';
import { defaultCacheFolder, type ImportedFile, importSymbols, type SymbolAnswer } from '@dumpscope/node';
import { type SymbolRequest, storePath } from '@dumpscope/symbols';
import { EXIT, type Io, UsageError } from '../io.ts';
import { toJson } from '../json.ts';
import { openSession } from '../open-session.ts';
import { progressLine } from '../progress.ts';

export interface SymbolsRequest {
  readonly path: string;
  readonly json: boolean;
  /** Ask servers for the files of every module. */
  readonly all: boolean;
  readonly importFolder: string | null;
  readonly symbolPaths: readonly string[];
  readonly imagePaths: readonly string[];
  readonly offline: boolean;
}

interface WantedRow {
  readonly kind: 'pdb' | 'image';
  readonly module: string;
  readonly name: string;
  readonly guid: string | null;
  readonly age: number | null;
  readonly timeDateStamp: string | null;
  readonly sizeOfImage: string | null;
  readonly storePath: string;
  /** Where in the dump this was learned. */
  readonly learned: string | null;
  readonly outcome: string;
  readonly where: string | null;
  readonly why: string | null;
}

function keyOf(request: SymbolRequest): string {
  return `${request.kind}/${storePath(request).toLowerCase()}`;
}

function rowOf(request: SymbolRequest, answer: SymbolAnswer | undefined): WantedRow {
  const pdb = request.kind === 'pdb';
  return {
    kind: request.kind,
    module: request.module,
    name: request.name,
    guid: pdb ? request.guid : null,
    age: pdb ? request.age : null,
    timeDateStamp: pdb ? null : `0x${(request.timeDateStamp >>> 0).toString(16)}`,
    sizeOfImage: pdb ? null : `0x${request.sizeOfImage.toString(16)}`,
    storePath: storePath(request),
    learned: request.learned ?? null,
    outcome: answer?.outcome ?? 'not-searched',
    where: answer?.where ?? null,
    why: answer?.why ?? null,
  };
}

/** Everything that was looked for, then what the target would still take. */
function wantedRows(target: Target, results: readonly SymbolAnswer[]): WantedRow[] {
  const answers = new Map(results.map((answer) => [keyOf(answer.request), answer]));
  const rows = new Map<string, WantedRow>();
  for (const answer of results) rows.set(keyOf(answer.request), rowOf(answer.request, answer));
  for (const request of target.requests) {
    const key = keyOf(request);
    if (!rows.has(key)) rows.set(key, rowOf(request, answers.get(key)));
  }
  return [...rows.values()].sort((a, b) =>
    a.module === b.module ? (a.kind < b.kind ? -1 : 1) : a.module < b.module ? -1 : 1,
  );
}

/**
 * `dumpscope symbols`: folders and stores are searched for everything that the dump could use, servers for what its stacks
 * need.
 */
export async function runSymbols(request: SymbolsRequest, io: Io): Promise<number> {
  const imported = request.importFolder === null ? null : importFolder(request.importFolder, io);
  const { symbolPaths, imagePaths, offline } = request;
  // What was just filed is in the default cache: look there too.
  const paths = imported === null ? symbolPaths : [...symbolPaths, defaultCacheFolder(io.env)];
  const opened = await openSession(request.path, {
    symbolPaths: paths,
    imagePaths,
    offline,
    env: io.env,
    everything: request.all,
    onProgress: progressLine(io),
  });
  try {
    for (const warning of opened.warnings) io.err(`dumpscope: ${warning}\n`);
    const { target } = opened;
    const wanted = wantedRows(target, opened.results);
    const modules = target.modules.map((m) => ({ module: m.name, symbols: m.symbolOrigin }));
    const layouts = { trust: target.layouts.trust, origin: target.layouts.table.origin, how: target.layouts.how };
    if (request.json) io.out(`${toJson({ layouts, wanted, modules, imported }, 2)}\n`);
    else io.out(symbolsText(target, wanted, imported));
    return EXIT.done;
  } finally {
    opened.close();
  }
}

function importFolder(folder: string, io: Io): ImportedFile[] {
  try {
    if (!statSync(folder).isDirectory()) throw new UsageError(`--import: ${folder} is no folder`);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`--import: there is no folder ${folder}`);
  }
  return importSymbols(folder, defaultCacheFolder(io.env));
}

function symbolsText(target: Target, wanted: readonly WantedRow[], imported: readonly ImportedFile[] | null): string {
  const lines: string[] = [];
  if (imported !== null) {
    const count = (outcome: ImportedFile['outcome']): number => imported.filter((i) => i.outcome === outcome).length;
    lines.push(
      `Imported ${count('imported')} files, ${count('present')} were there, ${count('skipped')} are no symbols, ${count('failed')} failed`,
    );
    for (const file of imported) if (file.outcome === 'failed') lines.push(`    ${file.file}: ${file.why ?? 'failed'}`);
    lines.push('');
  }
  lines.push(`Layouts: ${target.layouts.table.origin} (${target.layouts.trust})`, `    ${target.layouts.how}`, '');
  const named = target.modules.filter((m) => m.symbolOrigin !== null);
  lines.push(`${named.length} of ${target.modules.length} modules have names:`);
  for (const module of named) lines.push(`    ${module.name.padEnd(16)} ${module.symbolOrigin}`);
  const found = wanted.filter((w) => w.outcome === 'found');
  const missing = wanted.filter((w) => w.outcome !== 'found');
  if (found.length > 0) {
    lines.push('', `${found.length} ${found.length === 1 ? 'file was' : 'files were'} found:`);
    for (const row of found) {
      lines.push(`    ${row.storePath}`, `        ${row.where ?? ''}`);
      if (row.learned !== null) lines.push(`        learned from ${row.learned}`);
    }
  }
  if (missing.length > 0) {
    lines.push('', `${missing.length} ${missing.length === 1 ? 'file' : 'files'} would help:`);
    for (const row of missing) {
      const why = row.why === null ? '' : `  (${row.why})`;
      lines.push(`    ${row.module.padEnd(16)} ${row.storePath}${why}`);
      // Images come by the hundred from one list; a PDB's identity is worth a line.
      if (row.kind === 'pdb' && row.learned !== null) lines.push(`${' '.repeat(21)}learned from ${row.learned}`);
    }
  }
  const sources = imageSources(missing);
  if (sources !== '') lines.push(`    images by timestamp and size, learned from ${sources}`);
  return lines.map((line) => `${line}\n`).join('');
}

/** `driver list of the dump (187), image headers (2)`: where the missing images were learned of, without addresses. */
function imageSources(missing: readonly WantedRow[]): string {
  const counts = new Map<string, number>();
  for (const row of missing) {
    if (row.kind !== 'image' || row.learned === null) continue;
    const source = row.learned.replace(/(?:, entry of| at) 0x[0-9a-f]+$/, '');
    counts.set(source, (counts.get(source) ?? 0) + 1);
  }
  return [...counts].map(([source, count]) => `${source} (${count})`).join(', ');
}
