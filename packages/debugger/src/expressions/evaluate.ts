import { CommandError } from '../commands/command.ts';
import { CppEvaluator } from './cpp.ts';
import { typedScope } from './cpp-evaluate.ts';
import { load } from './cpp-value.ts';
import { evaluateMasm, evaluateWholeMasm } from './masm.ts';
import { type ExpressionScope, masmAddress } from './scope.ts';

/** A number at `start` of a command's arguments, by the evaluator that `.expr` chose; `end` is the offset behind it. */
export function evaluateExpression(
  text: string,
  scope: ExpressionScope,
  start = 0,
): { readonly value: bigint; readonly end: number } {
  if (scope.evaluator !== 'c++') return evaluateMasm(text, scope, start);
  // Strings, which some commands take behind a range, are no tokens of an expression.
  const quote = text.indexOf('"', start);
  const part = text.slice(start, quote < 0 ? undefined : quote);
  const typed = typedScope(part, scope);
  const { value, end } = new CppEvaluator(part, typed, evaluateWholeMasm, 0).runPrefix();
  // A function stands for its address, as in C.
  if (value.type.kind === 'function' && value.address !== null)
    return { value: masmAddress(value.address, scope.pointerSize), end: start + end };
  const loaded = load(value, typed, () => part.trim(), false);
  if (loaded.scalar === null) throw new CommandError(`Type conflict error at '${part.trim()}'`);
  const number =
    loaded.type.kind === 'pointer' ? masmAddress(loaded.scalar, scope.pointerSize) : BigInt.asUintN(64, loaded.scalar);
  return { value: number, end: start + end };
}
