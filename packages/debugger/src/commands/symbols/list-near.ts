import { va } from '@dumpscope/core';
import { parseAddress } from '../../expressions/range.ts';
import type { Module } from '../../target/model.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { nameIn } from '../session/names.ts';
import { sessionScope } from '../session/scope.ts';
import { sourceAt, sourceText } from '../session/source-line.ts';
import { describeSymbol, parametersText, variableValue } from './symbol-description.ts';

interface NearRow {
  readonly address: bigint;
  readonly symbol: string | null;
  readonly displacement: number;
  readonly next: string | null;
}

function place(module: Module, rva: number): bigint {
  return va(module.base + BigInt(rva));
}

/** The symbols around an address as `ln` lists them. */
export function nearSymbols(session: Session, address: bigint): { row: NearRow; lines: string[] } {
  const { target } = session;
  const module = nameIn(session, address).module;
  if (module === null) return { row: { address, symbol: null, displacement: 0, next: null }, lines: [] };
  const at = Number(address - module.base);
  const symbols = module.debugInfo?.symbols;
  const nearest = symbols?.nearest(at);
  const next = symbols?.next(at);
  if (nearest === undefined) {
    const name = nameIn(session, address).text;
    return {
      row: { address, symbol: name, displacement: at, next: null },
      lines: [`(${engineAddress(module.base, target)})   ${name}`],
    };
  }
  const displacement = at - nearest.rva;
  const source = sourceText(sourceAt(session, address));
  const left = `${source}(${engineAddress(place(module, nearest.rva), target)})   ${module.name}!${nearest.display}${displacement === 0 ? '' : `+0x${displacement.toString(16)}`}`;
  const lines = [
    next === undefined
      ? left
      : `${left}   |  (${engineAddress(place(module, next.rva), target)})   ${module.name}!${next.display}`,
  ];
  if (displacement === 0) {
    const described = describeSymbol(session, module, nearest);
    const info =
      described.isFunction === false
        ? ` = ${variableValue(session, module, nearest, described)}`
        : ` ${parametersText(described)}`;
    lines.push('Exact matches:', `    ${module.name}!${nearest.display}${info}`);
  }
  return {
    row: {
      address,
      symbol: `${module.name}!${nearest.display}`,
      displacement,
      next: next === undefined ? null : `${module.name}!${next.display}`,
    },
    lines,
  };
}

function listNear(session: Session, args: string): CommandResult<NearRow> {
  const { address, end } = parseAddress(args === '' ? '.' : args, sessionScope(session));
  if (args.slice(end).trim() !== '') throw new CommandError('Extra character error', { at: end });
  const { row, lines } = nearSymbols(session, address);
  return result([row], lines);
}

export const listNearCommand: Command = defineCommand({
  names: ['ln'],
  effective: true,
  summary: 'show the nearest symbols of an address',
  usage: 'ln [address]',
  fidelity: 'As in WinDbg without the two link lines.',
  run: listNear,
});
