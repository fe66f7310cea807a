import { va } from '@dumpscope/core';
import { parseAddress } from '../../expressions/range.ts';
import { compileWildcard } from '../../expressions/wildcard.ts';
import type { Module } from '../../target/model.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { nameIn } from '../session/names.ts';
import { sessionScope } from '../session/scope.ts';

const MAX_MATCHES = 50_000;

interface SymbolRow {
  readonly address: bigint;
  readonly name: string;
  readonly isFunction: boolean | null;
}

function examine(session: Session, args: string): CommandResult<SymbolRow> {
  const { target } = session;
  let text = args.trim();
  let mode = '';
  for (let m = /^\/(\w)\s*/.exec(text); m !== null; m = /^\/(\w)\s*/.exec(text)) {
    mode += m[1];
    text = text.slice(m[0].length);
  }
  if (text === '') throw new CommandError('Syntax error', { at: 0 });
  const bang = text.indexOf('!');
  const modulePattern = compileWildcard(bang < 0 ? '*' : bang === 0 ? '*' : text.slice(0, bang));
  const symbolPattern = compileWildcard(text.slice(bang + 1), { symbol: true });
  const rows: SymbolRow[] = [];
  let stopped = false;
  for (const module of target.modules) {
    if (!modulePattern(module.name) || stopped) continue;
    for (const symbol of module.debugInfo?.symbols.all() ?? []) {
      if (!symbolPattern(symbol.display)) continue;
      if (rows.length >= MAX_MATCHES) {
        stopped = true;
        break;
      }
      rows.push({
        address: va(module.base + BigInt(symbol.rva)),
        name: `${module.name}!${symbol.display}`,
        isFunction: symbol.isFunction,
      });
    }
  }
  rows.sort((a, b) =>
    mode.includes('n') ? (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) : Number(a.address - b.address),
  );
  if (mode.includes('N') || mode.includes('A')) rows.reverse();
  const lines = rows.map((row) => {
    const address = engineAddress(row.address, target);
    if (mode.includes('0')) return address;
    if (mode.includes('1')) return row.name;
    if (mode.includes('2')) return `${address} ${row.name}`;
    return `${address} ${row.name}${row.isFunction === false ? ' = <no type information>' : ' (<no parameter info>)'}`;
  });
  if (stopped) lines.push(`(stopped after ${MAX_MATCHES} symbols)`);
  if (rows.length === 0 && bang > 0 && !target.modules.some((m) => modulePattern(m.name))) {
    throw new CommandError(`Couldn't resolve 'x ${text}'`);
  }
  return result(rows, lines);
}

export const examineCommand: Command = defineCommand({
  names: ['x'],
  summary: 'find symbols by pattern',
  usage: 'x [/0|/1|/2|/n|/a] module!pattern',
  fidelity: 'As WinDbg prints public symbols, sorted by address.',
  run: examine,
});

interface NearRow {
  readonly address: bigint;
  readonly symbol: string | null;
  readonly displacement: number;
  readonly next: string | null;
}

function place(module: Module, rva: number): bigint {
  return va(module.base + BigInt(rva));
}

function listNear(session: Session, args: string): CommandResult<NearRow> {
  const { target } = session;
  const scope = sessionScope(session);
  const { address, end } = parseAddress(args === '' ? '.' : args, scope);
  if (args.slice(end).trim() !== '') throw new CommandError('Extra character error', { at: end });
  const module = nameIn(session, address).module;
  if (module === null) return result([{ address, symbol: null, displacement: 0, next: null }], []);
  const at = Number(address - module.base);
  const symbols = module.debugInfo?.symbols;
  const nearest = symbols?.nearest(at);
  const next = symbols?.next(at);
  if (nearest === undefined) {
    const name = nameIn(session, address).text;
    return result(
      [{ address, symbol: name, displacement: at, next: null }],
      [`(${engineAddress(module.base, target)})   ${name}`],
    );
  }
  const displacement = at - nearest.rva;
  const left = `(${engineAddress(place(module, nearest.rva), target)})   ${module.name}!${nearest.display}${displacement === 0 ? '' : `+0x${displacement.toString(16)}`}`;
  const lines = [
    next === undefined
      ? left
      : `${left}   |  (${engineAddress(place(module, next.rva), target)})   ${module.name}!${next.display}`,
  ];
  if (displacement === 0) {
    const info = nearest.isFunction === false ? ' = <no type information>' : ' (<no parameter info>)';
    lines.push('Exact matches:', `    ${module.name}!${nearest.display}${info}`);
  }
  return result(
    [
      {
        address,
        symbol: `${module.name}!${nearest.display}`,
        displacement,
        next: next === undefined ? null : `${module.name}!${next.display}`,
      },
    ],
    lines,
  );
}

export const listNearCommand: Command = defineCommand({
  names: ['ln'],
  summary: 'show the nearest symbols of an address',
  usage: 'ln [address]',
  fidelity: 'As in WinDbg without the two link lines; types are not known.',
  run: listNear,
});
