import { CommandError } from '../commands/command.ts';

export type CppToken =
  | {
      readonly kind: 'number';
      readonly value: bigint;
      readonly unsigned: boolean;
      readonly wide: boolean;
      readonly start: number;
      readonly end: number;
    }
  | {
      readonly kind: 'float';
      readonly value: number;
      readonly single: boolean;
      readonly start: number;
      readonly end: number;
    }
  | { readonly kind: 'char'; readonly value: bigint; readonly start: number; readonly end: number }
  | { readonly kind: 'name'; readonly text: string; readonly start: number; readonly end: number }
  | { readonly kind: 'register'; readonly text: string; readonly start: number; readonly end: number }
  | { readonly kind: 'macro'; readonly text: string; readonly start: number; readonly end: number }
  | {
      readonly kind: 'switch';
      readonly to: 'other' | 'c++' | 'masm';
      readonly body: string;
      readonly start: number;
      readonly end: number;
    }
  | { readonly kind: 'operator'; readonly text: string; readonly start: number; readonly end: number }
  | { readonly kind: 'end'; readonly start: number; readonly end: number };

const OPERATORS = [
  '<<=',
  '>>=',
  '->',
  '++',
  '--',
  '<<',
  '>>',
  '<=',
  '>=',
  '==',
  '!=',
  '&&',
  '||',
  '+=',
  '-=',
  '*=',
  '/=',
  '%=',
  '&=',
  '|=',
  '^=',
  '+',
  '-',
  '*',
  '/',
  '%',
  '&',
  '|',
  '^',
  '~',
  '!',
  '<',
  '>',
  '=',
  '(',
  ')',
  '[',
  ']',
  '.',
  ',',
  '?',
  ':',
] as const;

/** `1.5`, `.5f`, `2e10`; not the `1e5` of a backticked hexadecimal number, not the `1.` before a name. */
const FLOAT_LITERAL =
  /^(?:[0-9]+\.[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)[fFlL]?(?![\w`.])/;

const ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, '0': 0, a: 7, b: 8, f: 12, v: 11 };

/** Offset of the `)` that closes a parenthesis opened just before `from`; -1 without one. */
function closing(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    if (text[at] === '(') depth++;
    else if (text[at] === ')' && --depth === 0) return at;
  }
  return -1;
}

function fail(text: string, at: number): never {
  const rest = text.slice(at).trim();
  throw new CommandError(`Syntax error at '${rest === '' ? '<EOL>' : rest}'`);
}

/** All tokens of a C++ expression, `end` last. Decimal default radix; `0x`, leading `0`, backticked hex. */
export function cppTokens(text: string): readonly CppToken[] {
  const tokens: CppToken[] = [];
  let at = 0;
  while (at < text.length) {
    const c = text[at] as string;
    if (/\s/.test(c)) {
      at++;
      continue;
    }
    if (text.startsWith('//', at)) break;
    const start = at;
    const float = FLOAT_LITERAL.exec(text.slice(at));
    if (float !== null && !(c === '.' && endsOperand(tokens))) {
      at += float[0].length;
      const single = /[fF]$/.test(float[0]);
      tokens.push({ kind: 'float', value: Number(float[0].replace(/[fFlL]$/, '')), single, start, end: at });
    } else if (c === '"') {
      throw new CommandError(`A string literal has no address in a dump, at '${text.slice(at).trim()}'`);
    } else if (/[0-9]/.test(c)) {
      const match = /^(?:0[xX][0-9a-fA-F`]*|[0-9a-fA-F]*`[0-9a-fA-F`]*|[0-9]+)/.exec(text.slice(at)) as RegExpExecArray;
      const suffix = /^(?:[uU]|[lL]{1,2}|[iI]64)*/.exec(text.slice(at + match[0].length)) as RegExpExecArray;
      at += match[0].length + suffix[0].length;
      if (/[A-Za-z0-9_]/.test(text[at] ?? '')) fail(text, start);
      tokens.push({ kind: 'number', ...numberOf(text, start, match[0], suffix[0]), start, end: at });
    } else if (c === "'") {
      let value = text.charCodeAt(at + 1);
      let close = at + 2;
      if (text[at + 1] === '\\') {
        const letter = text[at + 2] ?? '';
        value = ESCAPES[letter] ?? letter.charCodeAt(0);
        close = at + 3;
      }
      if (text[close] !== "'" || Number.isNaN(value)) fail(text, start);
      at = close + 1;
      tokens.push({ kind: 'char', value: BigInt(value & 0xff), start, end: at });
    } else if (c === '@' && text[at + 1] === '@') {
      const match = /^@@(c\+\+|masm)?\(/i.exec(text.slice(at));
      const close = match === null ? -1 : closing(text, at + match[0].length);
      if (match === null || close < 0) fail(text, start);
      const to = (match[1]?.toLowerCase() ?? 'other') as 'other' | 'c++' | 'masm';
      tokens.push({ kind: 'switch', to, body: text.slice(at + match[0].length, close), start, end: close + 1 });
      at = close + 1;
    } else if (c === '@') {
      const match = /^@[A-Za-z0-9_$]+/.exec(text.slice(at));
      if (match === null || text[at + 1] === '!') fail(text, start);
      at += match[0].length;
      tokens.push({ kind: 'register', text: match[0].slice(1), start, end: at });
    } else if (c === '#') {
      const match = /^#[A-Za-z_][A-Za-z0-9_]*/.exec(text.slice(at));
      if (match === null) fail(text, start);
      at += match[0].length;
      tokens.push({ kind: 'macro', text: match[0].slice(1), start, end: at });
    } else if (/[A-Za-z_$]/.test(c) || (c === '!' && /[A-Za-z_]/.test(text[at + 1] ?? '') && !endsOperand(tokens))) {
      // `!name` in operand position is "not name" in C++; only `module!name` joins.
      if (c === '!') {
        at++;
        tokens.push({ kind: 'operator', text: '!', start, end: at });
        continue;
      }
      const match =
        /^[A-Za-z_$][A-Za-z0-9_$]*(?:![A-Za-z_$?@~][A-Za-z0-9_$?@~]*)?(?:::~?[A-Za-z_$][A-Za-z0-9_$]*)*/.exec(
          text.slice(at),
        ) as RegExpExecArray;
      at += match[0].length;
      tokens.push({ kind: 'name', text: match[0], start, end: at });
    } else {
      const operator = OPERATORS.find((o) => text.startsWith(o, at));
      if (operator === undefined) fail(text, start);
      at += operator.length;
      tokens.push({ kind: 'operator', text: operator, start, end: at });
    }
  }
  tokens.push({ kind: 'end', start: text.length, end: text.length });
  return tokens;
}

function endsOperand(tokens: readonly CppToken[]): boolean {
  const last = tokens.at(-1);
  if (last === undefined) return false;
  return last.kind === 'operator' ? last.text === ')' || last.text === ']' : true;
}

function numberOf(
  text: string,
  start: number,
  digits: string,
  suffix: string,
): { value: bigint; unsigned: boolean; wide: boolean } {
  const hexadecimal = /^0[xX]/.test(digits) || digits.includes('`');
  const plain = digits.replace(/^0[xX]/, '').replaceAll('`', '');
  const octal = !hexadecimal && plain.length > 1 && plain.startsWith('0');
  if (octal && !/^[0-7]*$/.test(plain)) fail(text, start);
  const value = plain === '' ? 0n : BigInt(hexadecimal ? `0x${plain}` : octal ? `0o${plain}` : plain);
  if (value >> 64n !== 0n) throw new CommandError(`Overflow error at '${text.slice(start).trim()}'`);
  const u = /[uU]/.test(suffix);
  const wide =
    /[iI]64|[lL]{2}/.test(suffix) || value > 0xffffffffn || (!hexadecimal && !octal && !u && value > 0x7fffffffn);
  const limit = wide ? 0x7fffffffffffffffn : 0x7fffffffn;
  return { value, unsigned: u || value > limit, wide };
}
