import { namedType, typeName } from '../../expressions/cpp-types.ts';
import { resolveFieldPath } from '../../expressions/field-path.ts';
import { parseAddress } from '../../expressions/range.ts';
import { compileWildcard, hasWildcard } from '../../expressions/wildcard.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress, plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { sessionScope } from '../session/scope.ts';
import { withExpressionTypes } from '../session/variables.ts';
import { type FieldRow, nextInList, structLines } from './display-type.ts';
import { type DtArguments, parseDt } from './dt-arguments.ts';
import { moduleTypes } from './type-sources.ts';
import { sizeOrUndefined, structSummary, typeText } from './type-text.ts';
import { scalarAt, scalarText } from './value-text.ts';

const MAX_LISTED = 10_000;
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

/** `dt nt!_K*`, `dt -y nt!_KP`: names of types. */
function listTypes(session: Session, args: DtArguments, module: string, pattern: string): CommandResult {
  const table = moduleTypes(session, module);
  if (table === undefined) throw new CommandError(`Symbol ${module}!${pattern} not found.`);
  const matches = compileWildcard(args.namePrefix ? `${pattern}*` : pattern, { symbol: false });
  const names: string[] = [];
  for (const name of table.structNames()) {
    if (matches(name) && (args.size === null || table.struct(name)?.size === args.size)) names.push(name);
    if (names.length >= MAX_LISTED) break;
  }
  names.sort();
  const blanks = ' '.repeat(10);
  const rows = names.map((name) => ({ name: `${module}!${name}`, size: table.struct(name)?.size ?? null }));
  return result(
    rows,
    rows.map((r) => `${blanks}${args.verbose ? `${(r.size ?? 0).toString(16).padStart(3, '0')} ` : ''}${r.name}`),
  );
}

function run(own: Session, text: string): CommandResult {
  const session = withExpressionTypes(own, /^(?:-\S+\s+)*\.(?:\s|$)/.test(text) ? (own.lastType ?? '') : text);
  const { target } = session;
  const { table } = target.layouts;
  const structOf = (name: string): string | undefined => {
    const { bare, module } = splitName(name);
    const own = module === '' ? table : moduleTypes(session, module);
    if (own?.struct(bare) === undefined && own?.struct(`_${bare}`) === undefined) return undefined;
    return table.struct(bare) !== undefined ? bare : table.struct(`_${bare}`) !== undefined ? `_${bare}` : undefined;
  };
  const args = parseDt(session, text, (type, path) => {
    const name = structOf(type);
    return name !== undefined && resolveFieldPath(table, { kind: 'struct', name }, path) !== undefined;
  });
  const typed = args.type === '.' ? session.lastType : args.type;
  if (typed === null) throw new CommandError('Symbol . not found.');
  const { module, bare, count } = splitName(typed);
  const shownModule = module === '' ? (target.kernel?.name ?? 'nt') : module;
  if (hasWildcard(bare) || args.size !== null) return listTypes(session, args, shownModule, bare);
  own.lastType = typed;
  const address = args.address === null ? null : parseAddress(args.address, sessionScope(session)).address;
  let name = structOf(typed);
  if (name === undefined && args.namePrefix) {
    const lower = bare.toLowerCase();
    const matches = [...table.structNames()].filter((n) => n.toLowerCase().startsWith(lower)).sort();
    name = matches[0];
  }
  const options = {
    recurse: args.recurse,
    blocks: args.blocks,
    verbose: args.verbose,
    noOffsets: args.noOffsets,
    noIndent: args.noIndent,
    arrays: args.arrays,
    fields: args.fields,
  };
  if (name === undefined) {
    if (args.namePrefix || (module !== '' && moduleTypes(session, module) === undefined))
      throw new CommandError(`Symbol ${typed} not found.`);
    return address === null
      ? (variableByName(session, typed, options) ?? scalarType(session, typed, bare, address, count))
      : scalarType(session, typed, bare, address, count);
  }
  // With -v the name alone stands only over values.
  const isSummed = args.verbose && args.fields.length === 0;
  const header = isSummed && address === null ? [] : [`${shownModule}!${name}`];
  if (isSummed) header.push(structSummary(name, table));
  if (args.list !== null) return listWalk(session, name, address, args.list, options);
  if (count !== null && address !== null) return arrayOf(session, name, address, count, header, options);
  const display = structLines(session, name, address, options);
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
  usage: 'dt [-r[n]] [-b] [-v] [-o] [-i] [-a[n]] [-y] [module!]type [field…] [address] [-l link]',
  fidelity:
    'Lines as in WinDbg. Types come from the chosen kernel layouts, for `module!type` from the private PDB of that module; `module!variable` and local variables are shown by their own type. Wildcards list types only, -r without a number stops after 5 levels, -c and -p are not there.',
  run,
});
