import { evaluateCpp, evaluateCppValue } from '../../expressions/cpp-evaluate.ts';
import { isFloat, numberOf } from '../../expressions/cpp-float.ts';
import { typeName } from '../../expressions/cpp-types.ts';
import { load } from '../../expressions/cpp-value.ts';
import { evaluateMasm } from '../../expressions/masm.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { masmValueText } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { general } from '../memory/display-format.ts';
import { sessionScope } from '../session/scope.ts';
import { withExpressionTypes } from '../session/variables.ts';
import { structLines } from '../types/display-type.ts';
import { helpResult } from './help.ts';

/** The value of an argument by the session's evaluator; text behind a MASM expression is refused. */
export function evaluateArgument(session: Session, args: string): bigint {
  const scope = sessionScope(session);
  if (session.evaluator === 'c++') return evaluateCppValue(args, scope);
  const { value, end } = evaluateMasm(args, scope);
  if (args.slice(end).trim() !== '') {
    const at = end + (args.slice(end).length - args.slice(end).trimStart().length);
    throw new CommandError('Extra character error', { at, partial: evaluated(session, value) });
  }
  return value;
}

function evaluated(session: Session, value: bigint): CommandResult {
  session.pseudo.set('$exp', value);
  const text = masmValueText(value, session.target);
  return result(
    [{ value, signed: BigInt.asIntN(64, value).toString() }],
    [`Evaluate expression: ${BigInt.asIntN(64, value)} = ${text}`],
  );
}

/** `?` alone lists the commands. */
export function evaluateCommand(list: () => readonly Command[]): Command {
  return defineCommand({
    names: ['?'],
    summary: 'evaluate an expression; alone: list the commands',
    usage: '? [expression]',
    effective: true,
    fidelity: 'As in WinDbg.',
    run: (session, args) =>
      args === '' ? helpResult(list(), '') : evaluated(session, evaluateArgument(session, args)),
  });
}

export const evaluateCppCommand: Command = defineCommand({
  names: ['??'],
  summary: 'evaluate a C++ expression and show it by its type',
  usage: '?? expression',
  fidelity:
    "WinDbg's form. Variables have their types where a private PDB tells them; of other symbols use the address with a cast. Nothing is assigned; floating point follows C and is shown with six digits; string literals are refused.",
  run(own, args) {
    const session = withExpressionTypes(own, args);
    const scope = sessionScope(session);
    const value = evaluateCpp(args, scope);
    const { types } = scope;
    if (value.type.kind === 'struct') {
      const address = value.address ?? 0n;
      const display = structLines(session, value.type.name, address);
      return result(display.rows, [typeName(value.type, types), ...display.lines]);
    }
    const loaded = load(value, scope, () => args, false);
    if (isFloat(loaded.type)) {
      const name = typeName(loaded.type, types);
      const shown = general(numberOf(loaded.type, loaded.scalar ?? 0n), 6);
      return result([{ type: name, value: shown }], [`${name} ${shown}`]);
    }
    const text = cppText(loaded.type, loaded.scalar ?? 0n, session);
    const name = typeName(value.type.kind === 'array' ? value.type : loaded.type, types);
    const rows = [{ type: name, value: loaded.scalar }];
    const target = loaded.type.kind === 'pointer' && loaded.type.to.kind === 'struct' ? loaded.type.to.name : null;
    if (target === null || loaded.scalar === null || loaded.scalar === 0n) return result(rows, [`${name} ${text}`]);
    return result(rows, [`${name} ${text}`, ...structLines(session, target, loaded.scalar).lines]);
  },
});

function cppText(
  type: { readonly kind: string; readonly form?: string; readonly signed?: boolean },
  value: bigint,
  session: Session,
): string {
  if (type.kind === 'pointer')
    return `0x${masmValueText(BigInt.asUintN(session.target.pointerSize * 8, value), session.target)}`;
  if (type.form === 'bool') return value === 0n ? 'false' : 'true';
  if (type.form === 'char') {
    const c = Number(BigInt.asUintN(16, value));
    const shown = c >= 0x20 && c < 0x7f ? ` '${String.fromCharCode(c)}'` : " ''";
    return `${type.signed ? `0n${value}` : value === 0n ? '0' : `0x${value.toString(16)}`}${shown}`;
  }
  if (type.signed || type.kind === 'enum') return `0n${value}`;
  return value < 10n ? value.toString() : `0x${value.toString(16)}`;
}
