import { va } from '@dumpscope/core';
import { type ModuleSymbol, type SymbolType, type TypeTable, typeSize } from '@dumpscope/symbols';
import { typeName } from '../../expressions/cpp-types.ts';
import type { Module } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { variableText } from '../stack/variable-text.ts';
import { withTypesOf } from '../types/type-sources.ts';

/** A symbol with all that private symbols tell about it. */
export interface DescribedSymbol {
  readonly isFunction: boolean | null;
  readonly type: SymbolType | undefined;
  /** Types of the symbol's own module. */
  readonly types: TypeTable;
  /** Of a function in memory, of a variable by its type; null where it is not known. */
  readonly size: number | null;
}

export function describeSymbol(session: Session, module: Module, symbol: ModuleSymbol): DescribedSymbol {
  const type = module.debugInfo?.symbolType?.(symbol);
  const types = module.pdbTypes ?? session.target.layouts.table;
  // Public names of old linkers do not say what they name: code is what lies in a code section.
  const isFunction =
    type === undefined ? (symbol.isFunction ?? module.isCode?.(symbol.rva) ?? null) : type.kind === 'function';
  const size = type?.kind === 'data' ? (typeSize(types, type.type) ?? null) : symbol.size;
  return { isFunction, type, types, size };
}

/** `(struct _DEVICE_OBJECT *, int)`, `(<no parameter info>)`: what `x` and `ln` put behind a function. */
export function parametersText(described: DescribedSymbol): string {
  const { type, types } = described;
  if (type?.kind !== 'function') return '(<no parameter info>)';
  const list = type.parameters.map((parameter) => typeName(parameter, types));
  if (type.isVariadic) list.push('...');
  return `(${list.length === 0 ? 'void' : list.join(', ')})`;
}

/** `0n512`, `struct _FOO`, `<no type information>`: what `x` puts behind the `=` of a variable. */
export function variableValue(
  session: Session,
  module: Module,
  symbol: ModuleSymbol,
  described: DescribedSymbol,
): string {
  const { type } = described;
  if (type?.kind !== 'data') return '<no type information>';
  const typed = withTypesOf(session, `${module.name}!x`);
  return variableText(typed, {
    name: symbol.display,
    type: type.type,
    isParameter: false,
    address: va(module.base + BigInt(symbol.rva)),
    register: null,
    where: 'memory',
  });
}

/** Type of a symbol as `x /t` puts it before the name. */
export function typeColumn(described: DescribedSymbol): string {
  const { type, types } = described;
  if (type?.kind === 'data') return typeName(type.type, types);
  return described.isFunction === false ? '<NoType>' : '<function>';
}
