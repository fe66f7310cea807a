import type { ModuleSymbol } from '@dumpscope/symbols';
import { compileWildcard } from '../../expressions/wildcard.ts';
import type { Module } from '../../target/model.ts';
import { CommandError, type CommandResult, type Session } from '../command.ts';
import { engineAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { describeSymbol } from '../symbols/symbol-description.ts';
import { moduleTypes } from './type-sources.ts';

export const MAX_LISTED = 10_000;

/** A type, or with an address an instance: a variable of the module. */
export interface ListedName {
  readonly name: string;
  readonly bare: string;
  readonly address: bigint | null;
  /** Bytes; null where they are not known. */
  readonly size: number | null;
}

export interface ListOptions {
  readonly verbose: boolean;
  readonly typesOnly: boolean;
  /** `-s`; null for every size. */
  readonly size: number | null;
}

function byName(a: ListedName, b: ListedName): number {
  return a.bare < b.bare ? -1 : a.bare > b.bare ? 1 : 0;
}

/** Variables whose type is known; with -v every symbol. */
function instances(
  session: Session,
  module: Module,
  matches: (name: string) => boolean,
  options: ListOptions,
): ListedName[] {
  const found: ListedName[] = [];
  const info = module.debugInfo;
  // Without private symbols no variable has a type.
  if (info == null || (!options.verbose && info.symbolType === undefined)) return found;
  for (const symbol of info.symbols.all() as Iterable<ModuleSymbol>) {
    if (!matches(symbol.display)) continue;
    const { type, size } = describeSymbol(session, module, symbol);
    if (!options.verbose && type?.kind !== 'data') continue;
    if (options.size !== null && size !== options.size) continue;
    const name = `${module.name}!${symbol.display}`;
    found.push({ name, bare: symbol.display, address: module.base + BigInt(symbol.rva), size });
    if (found.length > MAX_LISTED) break;
  }
  return found.sort(byName);
}

/**
 * What `dt module!pattern` finds: instances, then types and enumerations. At most one more than {@link MAX_LISTED} of
 * each, by which a caller sees that there are more.
 */
export function matchingNames(
  session: Session,
  moduleName: string,
  pattern: string,
  options: ListOptions,
): ListedName[] {
  const { kernel, modules } = session.target;
  const lower = moduleName.toLowerCase();
  const module = lower === 'nt' ? kernel : (modules.find((m) => m.name.toLowerCase() === lower) ?? null);
  const table = moduleTypes(session, moduleName);
  if (table === undefined && module === null) throw new CommandError(`Symbol ${moduleName}!${pattern} not found.`);
  const matches = compileWildcard(pattern, { symbol: false });
  const found = module === null || options.typesOnly ? [] : instances(session, module, matches, options);
  const types: ListedName[] = [];
  const sources = [
    [table?.structNames() ?? [], (name: string) => table?.struct(name)?.size ?? null],
    [table?.enumNames?.() ?? [], (name: string) => table?.enumeration(name)?.size ?? null],
  ] as const;
  const seen = new Set<string>();
  for (const [names, sizeOf] of sources) {
    for (const bare of names) {
      if (seen.has(bare) || !matches(bare)) continue;
      seen.add(bare);
      const size = options.verbose || options.size !== null ? sizeOf(bare) : null;
      if (options.size !== null && size !== options.size) continue;
      types.push({ name: `${moduleName}!${bare}`, bare, address: null, size });
      if (types.length > MAX_LISTED) break;
    }
  }
  return [...found, ...types.sort(byName)];
}

/** Lines as in the documentation of `dt`: instances have their address before them, with -v sizes and a header. */
export function namesList(
  session: Session,
  title: string,
  names: readonly ListedName[],
  options: ListOptions,
): CommandResult<ListedName> {
  const { target } = session;
  const shown = names.slice(0, MAX_LISTED);
  const place = (row: ListedName, width: number): string =>
    (row.address === null ? '' : engineAddress(row.address, target)).padEnd(width);
  const wide = target.pointerSize === 8 ? 17 : 8;
  const lines = shown.map((row) =>
    options.verbose
      ? `${place(row, wide)}   ${(row.size ?? 0).toString(16).padStart(3, '0')} ${row.name}`
      : // Today's debuggers indent types by ten columns on every machine.
        `${row.address === null ? ' '.repeat(10) : `${engineAddress(row.address, target)}  `}${row.name}`,
  );
  if (options.verbose) {
    const size = options.size === null ? '' : `, Size = 0x${options.size.toString(16)}`;
    lines.unshift(`Enumerating symbols matching ${title}${size}`, `${'Address'.padEnd(wide)}  Size Symbol`);
  }
  if (names.length > shown.length) lines.push(`(stopped after ${MAX_LISTED} names)`);
  return result(shown, lines);
}
