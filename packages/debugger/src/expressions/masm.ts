import { CommandError } from '../commands/command.ts';
import { evaluateCppValue } from './cpp-evaluate.ts';
import { closingParenthesis, type MasmToken, nextMasmToken } from './masm-lexer.ts';
import { parseMasmNumber } from './masm-number.ts';
import {
  applyMasmBinary,
  compareStrings,
  MASM_FUNCTIONS,
  MASM_PRECEDENCE,
  MASM_UNARY_WORDS,
  stringMatches,
} from './masm-operators.ts';
import { type ExpressionScope, MAX_SWITCH_DEPTH, masmAddress, signExtend32, targetAddress } from './scope.ts';

type Pending =
  | { readonly kind: 'unary'; readonly name: string }
  | { readonly kind: 'binary'; readonly op: string; readonly precedence: number }
  | { readonly kind: 'paren' }
  | { readonly kind: 'function'; readonly name: string; readonly start: number; readonly base: number };

type Value = bigint | string;

/** What the expression left: its value, and where the text behind it begins. */
export interface MasmResult {
  readonly value: bigint;
  readonly end: number;
}

/** Text of an error from `at` on, as WinDbg quotes it. */
export function errorText(text: string, at: number): string {
  const rest = text.slice(at).trim();
  return rest === '' ? '<EOL>' : rest;
}

/**
 * Evaluates the MASM expression at the start of `text` and stops at the first token that cannot continue it (`L4`, a
 * second address, `)`). Operator precedence by two explicit stacks: the depth of nesting costs memory, never call depth.
 * Throws CommandError with WinDbg's texts; they quote from the last token that was read, as transcripts show
 * (`Memory access error at ') == 0x100)'`).
 */
export function evaluateMasm(text: string, scope: ExpressionScope, start = 0, switchDepth = 0): MasmResult {
  const values: Value[] = [];
  const pending: Pending[] = [];
  let at = start;
  let last = start;
  let end = start;
  let wantsOperand = true;

  const quoteLast = (): string => errorText(text, last);
  const popNumber = (): bigint => {
    const value = values.pop();
    if (typeof value !== 'bigint') throw new CommandError(`Syntax error at '${quoteLast()}'`);
    return value;
  };
  const applyTop = (): void => {
    const top = pending.pop();
    if (top?.kind !== 'binary') throw new CommandError(`Syntax error at '${quoteLast()}'`);
    const right = popNumber();
    values.push(applyMasmBinary(top.op, popNumber(), right, quoteLast));
  };
  /** A complete operand takes the unary operators in front of it. */
  const operand = (value: Value): void => {
    values.push(value);
    for (let top = pending.at(-1); top?.kind === 'unary'; top = pending.at(-1)) {
      pending.pop();
      values.push(applyUnary(top.name, popNumber(), scope, quoteLast));
    }
    wantsOperand = false;
  };
  /** Reduces to the innermost open `(` or function and returns it; undefined when none is open. */
  const reduceToOpen = (): Pending | undefined => {
    for (let top = pending.at(-1); top !== undefined; top = pending.at(-1)) {
      if (top.kind === 'paren' || top.kind === 'function') return top;
      applyTop();
    }
    return undefined;
  };
  const hasOpen = (): boolean => pending.some((p) => p.kind === 'paren' || p.kind === 'function');

  for (;;) {
    const token = nextMasmToken(text, at);
    if (wantsOperand) {
      last = token.start;
      at = token.end;
      end = token.end;
      readOperand(token);
      continue;
    }
    const op = binaryOperator(token);
    if (op !== undefined) {
      last = token.start;
      at = end = token.end;
      const precedence = MASM_PRECEDENCE.get(op) as number;
      for (let top = pending.at(-1); top?.kind === 'binary' && top.precedence >= precedence; top = pending.at(-1)) {
        applyTop();
      }
      pending.push({ kind: 'binary', op, precedence });
      wantsOperand = true;
      continue;
    }
    if (token.kind === 'operator' && (token.text === ')' || token.text === ',') && hasOpen()) {
      last = token.start;
      const open = reduceToOpen() as Extract<Pending, { kind: 'paren' | 'function' }>;
      if (token.text === ',') {
        if (open.kind !== 'function') throw new CommandError(`Syntax error at '${quoteLast()}'`);
        at = end = token.end;
        wantsOperand = true;
        continue;
      }
      at = end = token.end;
      pending.pop();
      if (open.kind === 'paren') operand(values.pop() as Value);
      else operand(callFunction(open.name, values.splice(open.base), scope, () => errorText(text, open.start)));
      continue;
    }
    // Anything else ends the expression.
    if (hasOpen()) throw new CommandError(`Syntax error at '${errorText(text, token.start)}'`);
    while (pending.length > 0) applyTop();
    return { value: popNumber(), end };
  }

  function readOperand(token: MasmToken): void {
    const here = (): string => errorText(text, token.start);
    switch (token.kind) {
      case 'word': {
        const word = token.text.toLowerCase();
        if (MASM_UNARY_WORDS.has(word)) {
          pending.push({ kind: 'unary', name: word });
          return;
        }
        operand(resolveWord(token.text, scope, here));
        return;
      }
      case 'symbol': {
        const address = scope.symbol(token.text);
        if (address === undefined) throw new CommandError(`Couldn't resolve error at '${here()}'`);
        operand(masmAddress(address, scope.pointerSize));
        return;
      }
      case 'register': {
        const value = resolveRegister(token.text, scope);
        if (value === undefined) throw new CommandError(`Bad register error at '${here()}'`);
        operand(value);
        return;
      }
      case 'dollar': {
        const word = token.text.toLowerCase();
        if (MASM_UNARY_WORDS.has(word)) {
          pending.push({ kind: 'unary', name: word });
          return;
        }
        const open = nextMasmToken(text, token.end);
        if (MASM_FUNCTIONS.has(word) && open.kind === 'operator' && open.text === '(') {
          pending.push({ kind: 'function', name: word, start: token.start, base: values.length });
          at = end = open.end;
          return;
        }
        const value = scope.pseudo(word)?.value ?? symbolValue(token.text, scope);
        if (value === undefined) throw new CommandError(`Couldn't resolve error at '${here()}'`);
        operand(value);
        return;
      }
      case 'switch': {
        const close = closingParenthesis(text, token.end);
        if (close < 0) throw new CommandError(`Syntax error at '${here()}'`);
        if (switchDepth >= MAX_SWITCH_DEPTH) throw new CommandError(`Overflow error at '${here()}'`);
        const inner = text.slice(token.end, close);
        at = end = close + 1;
        operand(
          token.to === 'masm'
            ? evaluateWholeMasm(inner, scope, switchDepth + 1)
            : evaluateCppValue(inner, scope, switchDepth + 1),
        );
        return;
      }
      case 'string':
        if (!pending.some((p) => p.kind === 'function')) throw new CommandError(`Syntax error at '${here()}'`);
        operand(token.text);
        return;
      case 'operator':
        if (token.text === '(') {
          pending.push({ kind: 'paren' });
          return;
        }
        if (token.text === '+' || token.text === '-') {
          pending.push({ kind: 'unary', name: token.text });
          return;
        }
        throw new CommandError(`Numeric expression missing from '${here()}'`);
      case 'end':
        throw new CommandError(`Numeric expression missing from '<EOL>'`);
      case 'bad':
        throw new CommandError(`Syntax error at '${here()}'`);
    }
  }
}

function binaryOperator(token: MasmToken): string | undefined {
  if (token.kind !== 'operator' && token.kind !== 'word') return undefined;
  const op = token.text.toLowerCase();
  return MASM_PRECEDENCE.has(op) ? op : undefined;
}

/** The whole of `text` as one expression; anything behind it is a syntax error. */
export function evaluateWholeMasm(text: string, scope: ExpressionScope, switchDepth = 0): bigint {
  const { value, end } = evaluateMasm(text, scope, 0, switchDepth);
  if (text.slice(end).trim() !== '') throw new CommandError(`Syntax error at '${errorText(text, end)}'`);
  return value;
}

function symbolValue(name: string, scope: ExpressionScope): bigint | undefined {
  const address = scope.symbol(name);
  return address === undefined ? undefined : masmAddress(address, scope.pointerSize);
}

function registerValue(name: string, scope: ExpressionScope): bigint | undefined {
  const register = scope.register(name.toLowerCase());
  if (register === undefined) return undefined;
  // 32-bit registers are sign-extended, narrower ones are not (sign-extension.md).
  return register.size === 4 ? signExtend32(register.value) : BigInt.asUintN(64, register.value);
}

function resolveRegister(name: string, scope: ExpressionScope): bigint | undefined {
  if (name.startsWith('$')) return scope.pseudo(name.toLowerCase())?.value;
  return registerValue(name, scope);
}

/** Very common registers, then numbers, then symbols, then the other registers (register-syntax.md). */
function resolveWord(word: string, scope: ExpressionScope, quote: () => string): bigint {
  if (scope.isCommonRegister(word.toLowerCase())) {
    const value = registerValue(word, scope);
    if (value !== undefined) return value;
  }
  const number = parseMasmNumber(word, scope.radix);
  if (number !== undefined) {
    if ('overflow' in number) throw new CommandError(`Overflow error at '${quote()}'`);
    return number.value;
  }
  const value = symbolValue(word, scope) ?? registerValue(word, scope);
  if (value === undefined) throw new CommandError(`Couldn't resolve error at '${quote()}'`);
  return value;
}

const READ_SIZE: Readonly<Record<string, 1 | 2 | 4 | 8>> = { by: 1, wo: 2, dwo: 4, qwo: 8 };

function applyUnary(name: string, value: bigint, scope: ExpressionScope, quote: () => string): bigint {
  switch (name) {
    case '+':
      return value;
    case '-':
      return BigInt.asUintN(64, -value);
    case 'not':
      return value === 0n ? 1n : 0n;
    case 'hi':
      return (value >> 16n) & 0xffffn;
    case 'low':
      return value & 0xffffn;
  }
  const physical = name.startsWith('$p');
  const operator = physical ? name.slice(2) : name;
  const size = operator === 'poi' ? scope.pointerSize : (READ_SIZE[operator] as 1 | 2 | 4 | 8);
  const read = physical ? scope.readPhysical(value, size) : scope.read(targetAddress(value, scope.pointerSize), size);
  if (read === undefined) throw new CommandError(`Memory access error at '${quote()}'`);
  return operator === 'poi' ? masmAddress(read, scope.pointerSize) : read;
}

function callFunction(name: string, args: readonly Value[], scope: ExpressionScope, quote: () => string): bigint {
  const fail = (): never => {
    throw new CommandError(`Syntax error at '${quote()}'`);
  };
  if (args.length !== MASM_FUNCTIONS.get(name)) return fail();
  const [a, b, c] = args;
  if (name === '$scmp' || name === '$sicmp' || name === '$spat') {
    if (typeof a !== 'string' || typeof b !== 'string') return fail();
    if (name === '$scmp') return compareStrings(a, b);
    return name === '$sicmp' ? compareStrings(a.toLowerCase(), b.toLowerCase()) : stringMatches(a, b);
  }
  if (typeof a !== 'bigint') return fail();
  if (name === '$iment') {
    const entry = scope.imageEntry(targetAddress(a, scope.pointerSize));
    if (entry === undefined) throw new CommandError(`Memory access error at '${quote()}'`);
    return masmAddress(entry, scope.pointerSize);
  }
  if (typeof b !== 'bigint') return fail();
  if (name === '$vvalid') {
    const length = b > 0x1000_0000n ? 0x1000_0000 : Number(b);
    return scope.isReadable(targetAddress(a, scope.pointerSize), length) ? 1n : 0n;
  }
  // $fnsucc without the function's return type: success is what Flag says.
  if (typeof c !== 'bigint') return fail();
  return (c === 0n ? b !== 0n : b === 0n) ? 1n : 0n;
}
