import { CommandError } from '../commands/command.ts';
import { matchWildcard } from './wildcard.ts';

const asUnsigned = (value: bigint): bigint => BigInt.asUintN(64, value);

/** Precedence of binary operators, higher binds tighter (masm-numbers-and-operators.md). */
export const MASM_PRECEDENCE: ReadonlyMap<string, number> = new Map([
  ['*', 7],
  ['/', 7],
  ['%', 7],
  ['mod', 7],
  ['+', 6],
  ['-', 6],
  ['<<', 5],
  ['>>', 5],
  ['>>>', 5],
  ['=', 4],
  ['==', 4],
  ['!=', 4],
  ['<', 4],
  ['>', 4],
  ['<=', 4],
  ['>=', 4],
  ['and', 3],
  ['&', 3],
  ['xor', 2],
  ['^', 2],
  ['or', 1],
  ['|', 1],
]);

/** Operator words in operand position; `$p…` are the physical forms. */
export const MASM_UNARY_WORDS: ReadonlySet<string> = new Set([
  'not',
  'hi',
  'low',
  'by',
  'wo',
  'dwo',
  'qwo',
  'poi',
  '$pby',
  '$pwo',
  '$pdwo',
  '$pqwo',
  '$ppoi',
]);

export const MASM_FUNCTIONS: ReadonlyMap<string, number> = new Map([
  ['$fnsucc', 3],
  ['$iment', 1],
  ['$scmp', 2],
  ['$sicmp', 2],
  ['$spat', 2],
  ['$vvalid', 2],
]);

/** ULONG64 arithmetic, wrapping; comparisons are unsigned. `errorAt` is the text that the error quotes. */
export function applyMasmBinary(op: string, a: bigint, b: bigint, errorAt: () => string): bigint {
  switch (op) {
    case '*':
      return asUnsigned(a * b);
    case '/':
    case '%':
    case 'mod':
      // Documented as "Operand error".
      if (b === 0n) throw new CommandError(`Operand error at '${errorAt()}'`);
      return op === '/' ? a / b : a % b;
    case '+':
      return asUnsigned(a + b);
    case '-':
      return asUnsigned(a - b);
    case '<<':
      return b >= 64n ? 0n : asUnsigned(a << b);
    case '>>':
      return b >= 64n ? 0n : a >> b;
    case '>>>':
      return asUnsigned(BigInt.asIntN(64, a) >> (b >= 64n ? 64n : b));
    case '=':
    case '==':
      return a === b ? 1n : 0n;
    case '!=':
      return a !== b ? 1n : 0n;
    case '<':
      return a < b ? 1n : 0n;
    case '>':
      return a > b ? 1n : 0n;
    case '<=':
      return a <= b ? 1n : 0n;
    case '>=':
      return a >= b ? 1n : 0n;
    case 'and':
    case '&':
      return a & b;
    case 'xor':
    case '^':
      return a ^ b;
    case 'or':
    case '|':
      return a | b;
    default:
      throw new CommandError(`Syntax error at '${errorAt()}'`);
  }
}

export function compareStrings(a: string, b: string): bigint {
  const order = a < b ? -1n : a > b ? 1n : 0n;
  return asUnsigned(order);
}

/** `$spat`: TRUE or FALSE. */
export function stringMatches(text: string, pattern: string): bigint {
  return matchWildcard(pattern, text) ? 1n : 0n;
}
