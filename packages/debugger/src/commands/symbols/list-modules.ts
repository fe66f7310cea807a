import { tryParsePe, type VersionInfo } from '@dumpscope/symbols';
import { parseAddress } from '../../expressions/range.ts';
import { compileWildcard } from '../../expressions/wildcard.ts';
import type { Module } from '../../target/model.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress, hexDigits } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { stampTime } from '../format/time.ts';
import { sessionScope } from '../session/scope.ts';

interface ModuleRow {
  readonly name: string;
  readonly start: bigint;
  readonly end: bigint;
  readonly image: string;
  readonly path: string;
  readonly timeDateStamp: number | null;
  readonly checkSum: number | null;
  readonly symbols: string;
  readonly pdb: Module['pdb'];
}

/** `(pdb symbols)` and its kin. The words for tables that WinDbg does not know are ours. */
function statusOf(module: Module): { readonly text: string; readonly file: string } {
  const status = originOf(module);
  // WinDbg's M: the symbol file is not the module's own.
  return (module.mismatch ?? null) === null ? status : { ...status, text: `M ${status.text}` };
}

function originOf(module: Module): { readonly text: string; readonly file: string } {
  const pdb = module.pdb?.name ?? '';
  switch (module.symbolOrigin) {
    case 'pdb-private':
      return { text: '(private pdb symbols)', file: pdb };
    case 'pdb-public':
      return { text: '(pdb symbols)', file: pdb };
    case 'isf':
      return { text: '(isf symbols)', file: pdb };
    case 'builtin':
      return { text: '(builtin symbols)', file: '' };
    case 'export':
      return { text: '(export symbols)', file: module.imageName };
    default:
      return { text: '(no symbols)', file: '' };
  }
}

function rowOf(module: Module): ModuleRow {
  return {
    name: module.name,
    start: module.base,
    end: module.base + BigInt(module.size),
    image: module.imageName,
    path: module.imagePath,
    timeDateStamp: module.timeDateStamp,
    checkSum: module.checkSum,
    symbols: statusOf(module).text,
    pdb: module.pdb,
  };
}

/** The version resource, out of the image in memory or its file; null where its pages are not there. */
function versionOf(session: Session, module: Module): VersionInfo | null {
  const { memory } = session.target;
  const pe = tryParsePe((rva, length) =>
    rva < 0 || rva + length > module.size ? null : (memory.bytes(module.base + BigInt(rva), length) ?? null),
  );
  return pe?.version ?? null;
}

function versionLines(version: VersionInfo): string[] {
  const label = (name: string): string => `    ${name}`.padEnd(22);
  const lines: string[] = [];
  if (version.fileVersion !== null) lines.push(`${label('File version:')}${version.fileVersion}`);
  if (version.productVersion !== null) lines.push(`${label('Product version:')}${version.productVersion}`);
  lines.push(`${label('File flags:')}${version.fileFlags.toString(16)}`);
  if (version.strings.size > 0) lines.push('    Information from resource tables:');
  for (const [name, value] of version.strings) lines.push(`        ${`${name}:`.padEnd(18)}${value}`);
  return lines;
}

function details(session: Session, module: Module): string[] {
  const version = versionOf(session, module);
  const label = (name: string): string => `    ${name}`.padEnd(22);
  const origin = module.symbolOrigin;
  const lines: string[] = [];
  if (origin !== null) lines.push(`    Loaded symbol image file: ${module.imageName}`);
  lines.push(`    Image path: ${module.imagePath}`, `    Image name: ${module.imageName}`);
  const stamp = module.timeDateStamp;
  lines.push(
    stamp === null
      ? `${label('Timestamp:')}unavailable`
      : `${label('Timestamp:')}${stampTime(stamp)} (${hexDigits(stamp >>> 0, 8).toUpperCase()})`,
    `${label('CheckSum:')}${module.checkSum === null ? 'unavailable' : hexDigits(module.checkSum >>> 0, 8).toUpperCase()}`,
    `${label('ImageSize:')}${hexDigits(module.size, 8).toUpperCase()}`,
  );
  if (module.pdb !== null) {
    lines.push(`    PDB:              ${module.pdb.name} {${module.pdb.guid}} age ${module.pdb.age}`);
  }
  if (version !== null) lines.push(...versionLines(version));
  return lines;
}

interface LmOptions {
  readonly verbose: boolean;
  readonly column: 'symbols' | 'path' | 'none' | 'stamp';
  readonly matches: (module: Module) => boolean;
  readonly filtered: boolean;
  readonly nameOnly: boolean;
}

function parse(session: Session, args: string): LmOptions {
  let verbose = false;
  let column: LmOptions['column'] = 'symbols';
  let matches: (module: Module) => boolean = () => true;
  let filtered = false;
  let nameOnly = false;
  let rest = args;
  for (;;) {
    rest = rest.trimStart();
    const letter = rest[0];
    if (letter === undefined) break;
    rest = rest.slice(1);
    if (letter === 'v') verbose = true;
    else if (letter === 'f' || letter === 'i' || letter === 'p') column = 'path';
    else if (letter === 't') column = 'stamp';
    else if (letter === 'n') column = 'none';
    else if (letter === '1') nameOnly = true;
    else if (letter === 'm' || letter === 'M') {
      const pattern = /^\s*(\S+)/.exec(rest)?.[1] ?? '*';
      rest = rest.slice((/^\s*\S*/.exec(rest)?.[0] ?? '').length);
      const match = compileWildcard(pattern.replace(/\.(?:sys|dll|exe)$/i, (s) => s));
      matches = (module) =>
        match(module.name) || match(module.imageName) || (letter === 'M' && match(module.imagePath));
      filtered = true;
    } else if (letter === 'a') {
      const { address, end } = parseAddress(rest, sessionScope(session));
      rest = rest.slice(end);
      matches = (module) => address >= module.base && address < module.base + BigInt(module.size);
      filtered = true;
    } else if (!'kuoledDsS'.includes(letter))
      throw new CommandError('Syntax error', { at: args.length - rest.length - 1 });
  }
  return { verbose, column, matches, filtered, nameOnly };
}

function listModules(session: Session, args: string, name: string): CommandResult<ModuleRow> {
  const { target } = session;
  const options = parse(session, `${name.slice(2)} ${args}`);
  const modules = target.modules
    .filter(options.matches)
    .sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : 0));
  const rows = modules.map(rowOf);
  if (options.nameOnly)
    return result(
      rows,
      rows.map((r) => r.name),
    );
  const wide = target.pointerSize === 8;
  const lines = [wide ? 'start             end                 module name' : 'start    end        module name'];
  for (const module of modules) {
    const end = module.base + BigInt(module.size);
    const head = `${engineAddress(module.base, target)} ${engineAddress(end, target)}   ${module.name.padEnd(8)}`;
    const status = statusOf(module);
    if (options.column === 'path') lines.push(`${head} ${module.imagePath}`);
    else if (options.column === 'none') lines.push(`${head} ${module.imageName}`);
    else if (options.column === 'stamp') {
      const stamp = module.timeDateStamp;
      const text = stamp === null ? 'unavailable' : `${stampTime(stamp)} (${hexDigits(stamp >>> 0, 8).toUpperCase()})`;
      lines.push(`${head} ${module.imageName.padEnd(12)} ${text}`);
    } else lines.push(`${head}   ${status.text.padEnd(22)} ${status.file}`);
    if (options.verbose) lines.push(...details(session, module));
  }
  if (!options.filtered && target.unloadedModules.length > 0) {
    lines.push('', 'Unloaded modules:');
    for (const unloaded of target.unloadedModules) {
      lines.push(`${engineAddress(unloaded.start, target)} ${engineAddress(unloaded.end, target)}   ${unloaded.name}`);
    }
  }
  return result(rows, lines);
}

export const listModulesCommand: Command = defineCommand({
  names: ['lm'],
  pattern: /^lm[vmMftnipkuoledDsSa1]+$/,
  summary: 'list modules',
  usage: 'lm[v][f|t|n][1] [m pattern] [a address]',
  fidelity:
    'Rows as in WinDbg. Times are UTC; the translation lines of the version resource are missing. The status names where our symbols come from.',
  run: listModules,
});
