import { CommandError } from '../commands/command.ts';
import { CppEvaluator } from './cpp.ts';
import { isFloat } from './cpp-float.ts';
import { type CppValue, load } from './cpp-value.ts';
import { evaluateWholeMasm } from './masm.ts';
import { type ExpressionScope, masmAddress } from './scope.ts';

/** The scope with the types that an expression names first. */
export function typedScope(text: string, scope: ExpressionScope): ExpressionScope {
  return scope.typesFor === undefined ? scope : { ...scope, types: scope.typesFor(text) };
}

/** Evaluates a C++ expression to a typed value, an lvalue where it is one (`??`). */
export function evaluateCpp(text: string, scope: ExpressionScope, switchDepth = 0): CppValue {
  return new CppEvaluator(text, typedScope(text, scope), evaluateWholeMasm, switchDepth).run();
}

/** The C++ expression as the ULONG64 that commands and the MASM evaluator take: signed values sign-extended. */
export function evaluateCppValue(text: string, scope: ExpressionScope, switchDepth = 0): bigint {
  const typed = typedScope(text, scope);
  return integerOf(new CppEvaluator(text, typed, evaluateWholeMasm, switchDepth).run(), typed, text);
}

/** What commands take a value for: an address or the bits of an integer; floating point is refused, not reinterpreted. */
export function integerOf(unread: CppValue, scope: ExpressionScope, text: string): bigint {
  const value = load(unread, scope, () => text.trim(), false);
  if (value.scalar === null) throw new CommandError(`Type conflict error at '${text.trim()}'`);
  if (isFloat(value.type))
    throw new CommandError(`Floating-point value where an integer is needed, at '${text.trim()}': cast it`);
  return value.type.kind === 'pointer'
    ? masmAddress(value.scalar, scope.pointerSize)
    : BigInt.asUintN(64, value.scalar);
}
