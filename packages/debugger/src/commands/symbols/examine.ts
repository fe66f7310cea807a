import { va } from '@dumpscope/core';
import type { ModuleSymbol } from '@dumpscope/symbols';
import { typeName } from '../../expressions/cpp-types.ts';
import { evaluateExpression } from '../../expressions/evaluate.ts';
import { compileWildcard } from '../../expressions/wildcard.ts';
import type { Module } from '../../target/model.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { sessionScope } from '../session/scope.ts';
import { currentVariables } from '../session/variables.ts';
import { variableText, variableType } from '../stack/variable-text.ts';
import {
  type DescribedSymbol,
  describeSymbol,
  parametersText,
  typeColumn,
  variableValue,
} from './symbol-description.ts';

const MAX_MATCHES = 50_000;

interface SymbolRow {
  readonly address: bigint;
  readonly name: string;
  readonly isFunction: boolean | null;
  /** C++ type of a variable, parameter list of a function; null where only a public name is known. */
  readonly type: string | null;
  /** Bytes; null where they are not known. */
  readonly size: number | null;
}

interface Match {
  readonly module: Module;
  readonly symbol: ModuleSymbol;
  readonly address: bigint;
  readonly name: string;
  readonly described: DescribedSymbol;
}

interface ExamineOptions {
  readonly letters: string;
  /** `/s size`: only symbols of that size, and those whose size is not known. */
  readonly size: number | null;
  readonly pattern: string;
}

function parseExamine(session: Session, args: string): ExamineOptions {
  let text = args.trim();
  let letters = '';
  let size: number | null = null;
  for (let m = /^\/(\w)\s*/.exec(text); m !== null; m = /^\/(\w)\s*/.exec(text)) {
    const letter = m[1] as string;
    if (!'012DtTvVsSqQpPfFdaAnNzZ'.includes(letter))
      throw new CommandError('Syntax error', { at: args.length - text.length });
    text = text.slice(m[0].length);
    letters += letter;
    if (letter.toLowerCase() !== 's') continue;
    const { value, end } = evaluateExpression(text, sessionScope(session));
    size = Number(BigInt.asUintN(32, value));
    text = text.slice(end).trim();
  }
  if (text === '') throw new CommandError('Syntax error', { at: 0 });
  return { letters, size, pattern: text };
}

function compare<T>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sorted(matches: Match[], letters: string): Match[] {
  const key = /[nN]/.test(letters)
    ? (a: Match, b: Match) => compare(a.name, b.name)
    : /[zZ]/.test(letters)
      ? (a: Match, b: Match) => compare(a.described.size ?? 0, b.described.size ?? 0)
      : (a: Match, b: Match) => compare(a.address, b.address);
  matches.sort(key);
  return /[NAZ]/.test(letters) ? matches.reverse() : matches;
}

/** `prv func  `, `pub global`: what `/v` begins a line with. */
function origin(match: Match): string {
  const { type, isFunction } = match.described;
  const isPrivate = type !== undefined || match.symbol.size !== null;
  return `${isPrivate ? 'prv' : 'pub'} ${isFunction === false ? 'global' : 'func  '}`;
}

function examineLine(session: Session, match: Match, letters: string): string {
  const { module, symbol, described } = match;
  const address = engineAddress(match.address, session.target);
  const name = /[qQ]/.test(letters) ? `@!"${match.name}"` : match.name;
  if (letters.includes('0')) return address;
  if (letters.includes('1')) return name;
  if (letters.includes('2')) return `${address} ${name}`;
  const head = /[vV]/.test(letters)
    ? `${origin(match)} ${address} ${(described.size ?? 0).toString(16).padStart(4)} `
    : `${address} `;
  const type = /[tT]/.test(letters) ? `${typeColumn(described)} ` : '';
  const tail =
    described.isFunction === false
      ? ` = ${variableValue(session, module, symbol, described)}`
      : `${/[pP]/.test(letters) ? '' : ' '}${parametersText(described)}`;
  return `${head}${type}${name}${tail}`;
}

/** `x *`: the local variables of the current frame. */
function examineLocals(session: Session, letters: string): CommandResult {
  const shown = currentVariables(session);
  const rows = (shown?.variables ?? []).map((v) => ({
    address: v.address,
    name: v.name,
    isParameter: v.isParameter,
    type: shown === null ? null : variableType(shown.session, v),
    value: shown === null ? null : variableText(shown.session, v),
  }));
  const width = session.target.pointerSize === 8 ? 17 : 8;
  const lines = rows.map((row) => {
    const place = row.address === null ? '@register'.padEnd(width) : engineAddress(row.address, session.target);
    const head = /[vV]/.test(letters) ? `prv ${row.isParameter ? 'param ' : 'local '} ` : '';
    return `${head}${place} ${/[tTvV]/.test(letters) ? `${row.type} ` : ''}${row.name} = ${row.value}`;
  });
  return result(rows, lines);
}

function examine(session: Session, args: string): CommandResult {
  const { target } = session;
  const { letters, size, pattern } = parseExamine(session, args);
  if (pattern === '*') return examineLocals(session, letters);
  const bang = pattern.indexOf('!');
  const modulePattern = compileWildcard(bang <= 0 ? '*' : pattern.slice(0, bang));
  const symbolPattern = compileWildcard(pattern.slice(bang + 1), { symbol: true });
  const matches: Match[] = [];
  let stopped = false;
  for (const module of target.modules) {
    if (!modulePattern(module.name) || stopped) continue;
    for (const symbol of module.debugInfo?.symbols.all() ?? []) {
      if (!symbolPattern(symbol.display)) continue;
      const described = describeSymbol(session, module, symbol);
      if (/[fF]/.test(letters) && described.isFunction === false) continue;
      if (letters.includes('d') && described.isFunction !== false) continue;
      if (size !== null && described.size !== null && described.size !== size) continue;
      if (matches.length >= MAX_MATCHES) {
        stopped = true;
        break;
      }
      const address = va(module.base + BigInt(symbol.rva));
      matches.push({ module, symbol, address, name: `${module.name}!${symbol.display}`, described });
    }
  }
  if (matches.length === 0 && bang > 0 && !target.modules.some((m) => modulePattern(m.name))) {
    throw new CommandError(`Couldn't resolve 'x ${pattern}'`);
  }
  sorted(matches, letters);
  const rows: SymbolRow[] = matches.map(({ address, name, described }) => ({
    address,
    name,
    isFunction: described.isFunction,
    type:
      described.type === undefined
        ? null
        : described.type.kind === 'data'
          ? typeName(described.type.type, described.types)
          : parametersText(described),
    size: described.size,
  }));
  const lines = matches.map((match) => examineLine(session, match, letters));
  if (stopped) lines.push(`(stopped after ${MAX_MATCHES} symbols)`);
  return result(rows, lines);
}

export const examineCommand: Command = defineCommand({
  names: ['x'],
  summary: 'find symbols by pattern; `x *`: the local variables',
  usage: 'x [/0|/1|/2] [/t] [/v] [/s size] [/q] [/p] [/f|/d] [/a|/A|/n|/N|/z|/Z] module!pattern',
  fidelity:
    'As in WinDbg, sorted by address where no order is asked for. Parameters, types and values where a private PDB has them.',
  run: examine,
});
