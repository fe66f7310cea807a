import { CppEvaluator } from './cpp.ts';
import { integerOf, typedScope } from './cpp-evaluate.ts';
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
  return { value: integerOf(value, typed, part), end: start + end };
}
