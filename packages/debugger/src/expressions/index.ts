export { evaluateCpp, evaluateCppValue } from './cpp-evaluate.ts';
export { namedType, typeName } from './cpp-types.ts';
export { type CppValue, extractBits, readScalar } from './cpp-value.ts';
export { type FieldLocation, resolveFieldPath } from './field-path.ts';
export { evaluateMasm, evaluateWholeMasm, type MasmResult } from './masm.ts';
export { parseMasmNumber } from './masm-number.ts';
export { type AddressRange, parseAddress, parseRange } from './range.ts';
export {
  type ExpressionScope,
  masmAddress,
  type PseudoValue,
  type RegisterValue,
  signExtend32,
  targetAddress,
} from './scope.ts';
export { compileWildcard, hasWildcard, matchWildcard } from './wildcard.ts';
