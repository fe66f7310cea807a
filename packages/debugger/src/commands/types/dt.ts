import { namedType, typeName } from '../../expressions/cpp-types.ts';
import { resolveFieldPath } from '../../expressions/field-path.ts';
import { parseAddress } from '../../expressions/range.ts';
import { hasWildcard } from '../../expressions/wildcard.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress, plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { sessionScope } from '../session/scope.ts';
import { withExpressionTypes } from '../session/variables.ts';
import { type FieldRow, nextInList, structLines } from './display-type.ts';
import { type DtArguments, parseDt } from './dt-arguments.ts';
import { MAX_LISTED, matchingNames, namesList } from './list-types.ts';
import { physicalSession } from './physical-session.ts';
import { moduleTypes } from './type-sources.ts';
import { sizeOrUndefined, structSummary, typeText } from './type-text.ts';
import { scalarAt, scalarText } from './value-text.ts';

const MAX_LINKS = 1000;

function splitName(name: string): { readonly module: string; readonly bare: string; readonly count: number | null } {
  const bang = name.indexOf('!');
  const [, bare, count] = /^(.*?)(?:\[(\d+)\])?$/.exec(name.slice(bang + 1)) ?? [];
  return {
    module: bang < 0 ? '' : name.slice(0, bang),
    bare: bare ?? '',
    count: count === undefined ? null : Number(count),
  };
}

/** `dt nt!_K*`: names of types and variables; with -d each type in full. */
function listNames(session: Session, args: DtArguments, module: string, pattern: string): CommandResult {
  const names = matchingNames(session, module, args.namePrefix ? `${pattern}*` : pattern, {
    ...args,
    typesOnly: args.typesOnly || args.full,
  });
  if (!args.full) return namesList(session, `${module}!${pattern}`, names, args);
  const rows: unknown[] = [];
  const lines: string[] = [];
  for (const { name, bare } of names) {
    const display = structLines(session, bare, null, args);
    if (display.lines.length === 0) continue;
    rows.push({ name, fields: display.rows });
    lines.push(name, structSummary(bare, session.target.layouts.table), ...display.lines);
    if (lines.length < MAX_LISTED) continue;
    lines.push(`(stopped after ${MAX_LISTED} lines)`);
    break;
  }
  return result(rows, lines);
}

function structName(session: Session, typed: string): string | undefined {
  const { table } = session.target.layouts;
  const { bare, module } = splitName(typed);
  const known = module === '' ? table : moduleTypes(session, module);
  if (known?.struct(bare) === undefined && known?.struct(`_${bare}`) === undefined) return undefined;
  return table.struct(bare) !== undefined ? bare : table.struct(`_${bare}`) !== undefined ? `_${bare}` : undefined;
}

function run(own: Session, text: string): CommandResult {
  const session = withExpressionTypes(own, /^(?:-\S+\s+)*\.(?:\s|$)/.test(text) ? (own.lastType ?? '') : text);
  const { target } = session;
  const args = parseDt(session, text, (type, path) => {
    const name = structName(session, type);
    return name !== undefined && resolveFieldPath(target.layouts.table, { kind: 'struct', name }, path) !== undefined;
  });
  const typed = args.type === '.' ? session.lastType : args.type;
  if (typed === null) throw new CommandError('Symbol . not found.');
  const { module, bare } = splitName(typed);
  const shownModule = module === '' ? (target.kernel?.name ?? 'nt') : module;
  if (hasWildcard(bare) || args.enumerate) return listNames(session, args, shownModule, bare);
  if (!args.namePrefix) return show(own, session, args, typed);
  // `-y`: all matches are listed, followed by the first of them in full.
  const names = matchingNames(session, shownModule, `${bare}*`, args);
  const first = (args.verbose ? names.find((n) => n.address === null) : undefined) ?? names[0];
  if (first === undefined) throw new CommandError(`Symbol ${typed} not found.`);
  const list = names.length > 1 ? namesList(session, `${shownModule}!${bare}*`, names, args) : result([], []);
  const shown = show(own, session, args, first.name);
  return { rows: [...list.rows, ...shown.rows], text: list.text + shown.text };
}

/** One type or variable, `typed` as `dt` gets it. */
function show(own: Session, given: Session, args: DtArguments, typed: string): CommandResult {
  let session = given;
  const { table } = session.target.layouts;
  const { module, bare, count } = splitName(typed);
  const shownModule = module === '' ? (session.target.kernel?.name ?? 'nt') : module;
  own.lastType = typed;
  const address = args.address === null ? null : parseAddress(args.address, sessionScope(session)).address;
  const name = structName(session, typed);
  if (args.physical) {
    if (address === null) throw new CommandError('Symbol address not specified for -p');
    if (args.list !== null) throw new CommandError('Links are virtual addresses: -l does not go with -p');
    const type = name === undefined ? namedType(bare, table) : ({ kind: 'struct', name } as const);
    const size = (type === undefined ? undefined : sizeOrUndefined(type, table)) ?? 8;
    session = physicalSession(session, address, size * Math.min(count ?? 1, MAX_LISTED));
  }
  if (name === undefined) {
    if (module !== '' && moduleTypes(session, module) === undefined)
      throw new CommandError(`Symbol ${typed} not found.`);
    return address === null
      ? (variableByName(session, typed, args) ?? scalarType(session, typed, bare, address, count))
      : scalarType(session, typed, bare, address, count);
  }
  // With -v the name alone stands only over values.
  const isSummed = args.verbose && args.fields.length === 0;
  const header = isSummed && address === null ? [] : [`${shownModule}!${name}`];
  if (isSummed) header.push(structSummary(name, table));
  if (args.list !== null) return listWalk(session, name, address, args.list, args);
  if (count !== null && address !== null) return arrayOf(session, name, address, count, header, args);
  const display = structLines(session, name, address, args);
  if (args.fields.length > 0 && display.rows.length === 0)
    throw new CommandError('Cannot find specified field members.');
  return result(display.rows, [...header, ...display.lines]);
}

type Options = Parameters<typeof structLines>[3];

/** `dt MyDriver!g_state`, `dt item`: a variable by its own type; undefined where no private symbols know the name. */
function variableByName(session: Session, typed: string, options: Options): CommandResult | undefined {
  const { table } = session.target.layouts;
  const scope = sessionScope(session);
  const variable = scope.variable?.(typed);
  if (variable === undefined) return undefined;
  const isLocal = !typed.includes('!') && scope.symbol(typed) !== session.target.resolve(typed);
  const { type, address, value } = variable;
  const place = address === null ? '' : ` @ 0x${address.toString(16)}`;
  const header = isLocal
    ? [`Local var${place} Type ${typeName(type, table).replace(/^(?:struct|union|class) /, '')}`]
    : [];
  if (type.kind === 'struct' && address !== null) {
    const display = structLines(session, type.name, address, options);
    return result(display.rows, [...header, ...display.lines]);
  }
  const text =
    address !== null ? scalarText(session, type, address) : `0x${engineAddress(value ?? 0n, session.target)} `;
  const row: FieldRow = { path: typed, offset: 0, type: typeText(type), address, value, text: text.trim() };
  const pointer = address === null ? value : (scalarAt(session, type, address) ?? null);
  if (type.kind !== 'pointer' || type.to.kind !== 'struct' || !pointer) return result([row], [...header, text]);
  // What a pointer leads to is shown with it.
  const display = structLines(session, type.to.name, pointer, options);
  const lead = `0x${engineAddress(pointer, session.target)} `;
  return result([row, ...display.rows], [...header, lead, ...display.lines]);
}

function arrayOf(
  session: Session,
  name: string,
  address: bigint,
  count: number,
  header: readonly string[],
  options: Options,
): CommandResult {
  const size = session.target.layouts.table.struct(name)?.size ?? 0;
  const rows: FieldRow[] = [];
  const lines = [...header];
  for (let i = 0; i < count && rows.length < MAX_LISTED; i++) {
    const at = address + BigInt(i * size);
    lines.push(`[${i}] @ ${plainAddress(at, session.target)}`, '---------------------------------------------');
    const display = structLines(session, name, at, options);
    rows.push(...display.rows);
    lines.push(...display.lines, '');
  }
  return result(rows, lines);
}

/** `-l Field`: every object that the link leads to; ends at the first again, at null, at a gap, or after 1000. */
function listWalk(session: Session, name: string, start: bigint | null, path: string, options: Options): CommandResult {
  if (start === null) throw new CommandError('Symbol address not specified for -l');
  const rows: FieldRow[] = [];
  const lines: string[] = [];
  const seen = new Set<bigint>();
  let at: bigint | undefined = start;
  while (at !== undefined && at !== 0n && !seen.has(at) && seen.size < MAX_LINKS && rows.length < MAX_LISTED) {
    seen.add(at);
    lines.push(`${path} at 0x${plainAddress(at, session.target)}`, '---------------------------------------------');
    const display = structLines(session, name, at, options);
    rows.push(...display.rows);
    lines.push(...display.lines, '');
    at = nextInList(session, name, at, path);
  }
  if (at === undefined) lines.push(`(the list ends here: the link ${path} cannot be read)`);
  else if (seen.size >= MAX_LINKS) lines.push(`(stopped after ${MAX_LINKS} objects)`);
  return result(rows, lines);
}

/** `dt ULONG addr`, `dt nt!_KWAIT_REASON`: scalars, arrays of them, and the values of an enumeration. */
function scalarType(
  session: Session,
  typed: string,
  bare: string,
  address: bigint | null,
  count: number | null,
): CommandResult {
  const { table } = session.target.layouts;
  const enumeration = table.enumeration(bare);
  if (enumeration !== undefined && address === null) {
    const rows = [...enumeration.values].map(([name, value]) => ({ name, value }));
    return result(rows, [
      `Enum ${bare},  ${rows.length} total enums`,
      '',
      ...rows.map((r) => `   ${r.name} = 0n${r.value}`),
    ]);
  }
  const type = namedType(bare, table);
  if (type === undefined || address === null) throw new CommandError(`Symbol ${typed} not found.`);
  const size = sizeOrUndefined(type, table);
  if (size === undefined) throw new CommandError(`Symbol ${typed} not found.`);
  const total = Math.min(count ?? 1, MAX_LISTED);
  const rows: FieldRow[] = [];
  const lines: string[] = [];
  for (let i = 0; i < total; i++) {
    const at = address + BigInt(i * size);
    const text = scalarText(session, type, at);
    rows.push({
      path: `[${i}]`,
      offset: i * size,
      type: typeText(type),
      address: at,
      value: scalarAt(session, type, at) ?? null,
      text: text.trim(),
    });
    lines.push(count === null ? text : `[${i}] ${text}`);
  }
  return result(rows, lines);
}

export const displayTypeCommand: Command = defineCommand({
  names: ['dt'],
  summary: 'show a structure by its type',
  usage:
    'dt [-r[n]] [-b] [-c] [-d] [-v] [-o] [-i] [-a[n]] [-p] [-t] [-s size] [-y] [module!]type [[-y] field…] [address] [-l link]',
  fidelity:
    'Lines as in WinDbg. Types come from the chosen kernel layouts, for `module!type` from the private PDB of that module; `module!variable` and local variables are shown by their own type. Wildcards list types and the variables that have one, with -v every symbol. -r without a number stops after 5 levels; how -c breaks lines is our own; what pointers lead to is virtual also with -p.',
  run,
});
