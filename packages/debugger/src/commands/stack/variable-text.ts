import { typeName } from '../../expressions/cpp-types.ts';
import type { Session } from '../command.ts';
import { hexDigits } from '../format/address.ts';
import { scalarText } from '../types/value-text.ts';
import type { VariableValue } from './local-variables.ts';

/** The value as `dv` shows it; what has none says why in angle brackets. */
export function variableText(session: Session, variable: VariableValue): string {
  const { type, address, register } = variable;
  if (address !== null && type !== null) {
    const { table } = session.target.layouts;
    if (type.kind === 'struct') return typeName(type, table);
    if (type.kind !== 'array') return scalarText(session, type, address).trim();
    // `char [16] "text"`, `int [3]`
    const text = scalarText(session, type, address).trim();
    const quote = text.endsWith('"') ? text.indexOf('"') : -1;
    return `${typeName(type, table)}${quote < 0 ? '' : ` ${text.slice(quote)}`}`;
  }
  if (register !== null) {
    if (type?.kind === 'base' && type.signed && type.form === 'int') {
      return `0n${BigInt.asIntN(type.size * 8, register)}`;
    }
    const size = type?.kind === 'base' || type?.kind === 'pointer' ? type.size : session.target.pointerSize;
    return `0x${hexDigits(BigInt.asUintN(Math.max(1, size) * 8, register), 1)}`;
  }
  return variable.where;
}

export function variableType(session: Session, variable: VariableValue): string {
  return variable.type === null ? '<type unknown>' : typeName(variable.type, session.target.layouts.table);
}

/** `(int n = 0n5, struct _X * p = 0x…)`: what kp puts behind a function's name. */
export function parameterList(session: Session, variables: readonly VariableValue[], separator: string): string {
  const parameters = variables.filter((v) => v.isParameter);
  if (parameters.length === 0) return '(void)';
  return `(${separator}${parameters.map((v) => `${variableType(session, v)} ${v.name} = ${variableText(session, v)}`).join(`,${separator === '' ? ' ' : separator}`)})`;
}
