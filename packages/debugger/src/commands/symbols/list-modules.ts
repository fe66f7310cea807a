import { parseAddress } from '../../expressions/range.ts';
import { compileWildcard } from '../../expressions/wildcard.ts';
import type { Module } from '../../target/model.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress, hexDigits } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { sessionScope } from '../session/scope.ts';
import { currentProcess } from '../session/session.ts';
import { moduleDetails, stampText } from './module-details.ts';

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

/** WinDbg's letter before the status: a symbol file of another build, no timestamp. */
function letterOf(module: Module): string {
  if ((module.mismatch ?? null) !== null) return 'M';
  return module.timeDateStamp ? ' ' : 'T';
}

/** `(pdb symbols)` and its kin. The words for tables that WinDbg does not know are ours. */
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
    symbols: `${letterOf(module)} ${originOf(module).text}`.trim(),
    pdb: module.pdb,
  };
}

/** What is asked of loaded and unloaded modules alike. */
interface Listed {
  readonly name: string;
  readonly image: string;
  readonly path: string;
  readonly start: bigint;
  readonly end: bigint;
}

interface LmOptions {
  readonly verbose: boolean;
  readonly path: boolean;
  readonly image: boolean;
  readonly stamp: boolean;
  readonly matches: (module: Listed) => boolean;
  readonly nameOnly: boolean;
  readonly byName: boolean;
  /** `l` with symbols, `e` where symbols are missing or not the module's own. */
  readonly state: 'with-symbols' | 'with-problems' | null;
  readonly loadedOnly: boolean;
  readonly space: 'kernel' | 'user' | 'both';
}

function parse(session: Session, args: string): LmOptions {
  const letters = new Set<string>();
  const filters: ((module: Listed) => boolean)[] = [];
  let rest = args;
  for (;;) {
    rest = rest.trimStart();
    const letter = rest[0];
    if (letter === undefined) break;
    const sort = /^sm(?=\s|$)/.exec(rest);
    rest = rest.slice(sort === null ? 1 : 2);
    if (sort !== null) letters.add('sm');
    else if (letter === 'm' || letter === 'M') {
      const pattern = /^\s*(\S+)/.exec(rest)?.[1] ?? '*';
      rest = rest.slice((/^\s*\S*/.exec(rest)?.[0] ?? '').length);
      const match = compileWildcard(pattern);
      filters.push((m) => match(m.name) || match(m.image) || (letter === 'M' && match(m.path)));
    } else if (letter === 'a') {
      const { address, end } = parseAddress(rest, sessionScope(session));
      rest = rest.slice(end);
      filters.push((m) => address >= m.start && address < m.end);
    } else if (!'vfipknutoleDd1'.includes(letter))
      throw new CommandError('Syntax error', { at: args.length - rest.length - 1 });
    else letters.add(letter);
  }
  const has = (...wanted: string[]): boolean => wanted.some((letter) => letters.has(letter));
  return {
    verbose: has('v'),
    path: has('f', 'i', 'p'),
    image: has('n'),
    stamp: has('t'),
    matches: (module) => filters.every((filter) => filter(module)),
    nameOnly: has('1'),
    byName: has('sm'),
    state: has('l') ? 'with-symbols' : has('e') ? 'with-problems' : null,
    loadedOnly: has('o', 'l', 'e'),
    space: has('k') === has('u') ? (has('k') ? 'both' : 'kernel') : has('u') ? 'user' : 'kernel',
  };
}

function chosen(session: Session, options: LmOptions): Module[] {
  const { target } = session;
  const process = options.space === 'kernel' ? null : currentProcess(session);
  const modules = [
    ...(options.space === 'user' ? [] : target.modules),
    ...(process === null ? [] : target.userModules(process)),
  ].filter((module) => {
    const end = module.base + BigInt(module.size);
    if (!options.matches({ ...rowNames(module), start: module.base, end })) return false;
    if (options.state === null) return true;
    const isGood = module.symbolOrigin !== null && (module.mismatch ?? null) === null;
    return options.state === 'with-problems' ? !isGood : module.symbolOrigin !== null;
  });
  const order = (a: string | bigint, b: string | bigint): number => (a < b ? -1 : a > b ? 1 : 0);
  return options.byName
    ? modules.sort((a, b) => order(a.name.toLowerCase(), b.name.toLowerCase()))
    : modules.sort((a, b) => order(a.base, b.base));
}

function rowNames(module: Module): { readonly name: string; readonly image: string; readonly path: string } {
  return { name: module.name, image: module.imageName, path: module.imagePath };
}

function moduleLine(session: Session, module: Module, options: LmOptions): string {
  const { target } = session;
  const end = module.base + BigInt(module.size);
  const name = module.name.padEnd(8);
  const head = `${engineAddress(module.base, target)} ${engineAddress(end, target)}   ${name}`;
  const columns: string[] = [];
  if (options.path) columns.push(module.imagePath);
  if (options.image) columns.push(options.stamp ? module.imageName.padEnd(12) : module.imageName);
  if (options.stamp) columns.push(stampText(module));
  if (columns.length > 0) return `${head} ${columns.join(' ')}`;
  const status = originOf(module);
  return `${head} ${letterOf(module)} ${status.text.padEnd(22)} ${status.file}`;
}

/** Drivers that were unloaded; with -v as WinDbg shows them, which keeps no stamp of them. */
function unloadedLines(session: Session, options: LmOptions): string[] {
  const { target } = session;
  if (options.loadedOnly || options.space === 'user') return [];
  const listed = target.unloadedModules.filter(({ name, start, end }) =>
    options.matches({ name: name.replace(/\.[^.]*$/, ''), image: name, path: name, start, end }),
  );
  if (listed.length === 0) return [];
  const lines = ['', 'Unloaded modules:'];
  for (const { name, start, end } of listed) {
    lines.push(`${engineAddress(start, target)} ${engineAddress(end, target)}   ${name}`);
    if (!options.verbose) continue;
    const size = hexDigits(end - start, 8).toUpperCase();
    lines.push('    Timestamp: unavailable (00000000)', '    Checksum:  00000000', `    ImageSize:  ${size}`);
  }
  return lines;
}

function listModules(session: Session, args: string, name: string): CommandResult<ModuleRow> {
  const options = parse(session, `${name.slice(2)} ${args}`);
  const modules = chosen(session, options);
  const rows = modules.map(rowOf);
  if (options.nameOnly)
    return result(
      rows,
      rows.map((r) => r.name),
    );
  const wide = session.target.pointerSize === 8;
  const lines = [wide ? 'start             end                 module name' : 'start    end        module name'];
  for (const module of modules) {
    lines.push(moduleLine(session, module, options));
    if (options.verbose) lines.push(...moduleDetails(session, module));
  }
  lines.push(...unloadedLines(session, options));
  return result(rows, lines);
}

export const listModulesCommand: Command = defineCommand({
  names: ['lm'],
  pattern: /^lm[vmMftnipkuoledDsa1]+$/,
  summary: 'list modules',
  usage: 'lm[v][f|t|n][1][k][u][o|l|e][sm] [m pattern] [a address]',
  fidelity:
    'Rows as in WinDbg. Times are UTC. The status names where our symbols come from; u takes the modules of the current process.',
  run: listModules,
});
