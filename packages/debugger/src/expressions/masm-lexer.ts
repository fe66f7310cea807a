/** Tokens of the MASM expression language. `start` is the offset in the whole text, for error messages. */
export type MasmToken =
  | { readonly kind: 'end'; readonly start: number; readonly end: number }
  /** A word that may be a number, an operator word, a symbol or a register. */
  | { readonly kind: 'word'; readonly text: string; readonly start: number; readonly end: number }
  /** `@name` without the `@`. */
  | { readonly kind: 'register'; readonly text: string; readonly start: number; readonly end: number }
  /** `$name`: a pseudo-register, or a function when `(` follows. */
  | { readonly kind: 'dollar'; readonly text: string; readonly start: number; readonly end: number }
  /** `@@(`, `@@c++(`, `@@masm(`: `end` is behind the parenthesis. */
  | { readonly kind: 'switch'; readonly to: 'other' | 'c++' | 'masm'; readonly start: number; readonly end: number }
  | { readonly kind: 'string'; readonly text: string; readonly start: number; readonly end: number }
  | { readonly kind: 'symbol'; readonly text: string; readonly start: number; readonly end: number }
  | { readonly kind: 'operator'; readonly text: string; readonly start: number; readonly end: number }
  | { readonly kind: 'bad'; readonly start: number; readonly end: number };

const BLANK = /\s/;
const WORD = /[A-Za-z0-9_$`]/;
/** Behind `module!` decorated names and destructors are possible too. */
const AFTER_BANG = /[A-Za-z0-9_$?@~`']/;
const OPERATORS = ['>>>', '<<', '>>', '<=', '>=', '==', '!='] as const;
const SINGLE = '+-*/%&^|=<>(),';

/** Reads the token at or behind `at`. Total: every text gives tokens until `end`. */
export function nextMasmToken(text: string, at: number): MasmToken {
  let start = at;
  while (start < text.length && BLANK.test(text[start] as string)) start++;
  if (start >= text.length) return { kind: 'end', start: text.length, end: text.length };
  const c = text[start] as string;

  if (c === '@') return atToken(text, start);
  if (c === '"') {
    const close = text.indexOf('"', start + 1);
    if (close < 0) return { kind: 'bad', start, end: text.length };
    return { kind: 'string', text: text.slice(start + 1, close), start, end: close + 1 };
  }
  const operator = OPERATORS.find((o) => text.startsWith(o, start));
  if (operator !== undefined) return { kind: 'operator', text: operator, start, end: start + operator.length };
  if (SINGLE.includes(c)) return { kind: 'operator', text: c, start, end: start + 1 };
  if (c === '$') {
    const end = scanWord(text, start + 1);
    return { kind: 'dollar', text: text.slice(start, end), start, end };
  }
  if (c === '.' && !isWordAt(text, start + 1)) return { kind: 'register', text: '$ip', start, end: start + 1 };
  if (c === '!' && isWordAt(text, start + 1)) {
    const end = scanWord(text, start);
    return { kind: 'symbol', text: text.slice(start + 1, end), start, end };
  }
  if (/[A-Za-z0-9_]/.test(c) || (c === ':' && text[start + 1] === ':')) {
    const end = scanWord(text, start);
    const word = text.slice(start, end);
    return { kind: word.includes('!') || word.includes('::') ? 'symbol' : 'word', text: word, start, end };
  }
  return { kind: 'bad', start, end: start + 1 };
}

function isWordAt(text: string, at: number): boolean {
  const c = text[at];
  return c !== undefined && WORD.test(c);
}

function scanWord(text: string, from: number): number {
  let at = from;
  let afterBang = false;
  while (at < text.length) {
    const c = text[at] as string;
    if (c === '!') {
      // `a!=b` compares, `nt!name` names.
      if (text[at + 1] === '=') break;
      afterBang = true;
      at++;
    } else if (c === ':') {
      if (text[at + 1] !== ':') break;
      at += 2;
    } else if (c === '.') {
      // Module names with dots: `foo.bar!x`.
      const before = text[at - 1];
      if (at === from || before === undefined || !WORD.test(before) || !isWordAt(text, at + 1)) break;
      at++;
    } else if ((afterBang ? AFTER_BANG : WORD).test(c)) {
      at++;
    } else break;
  }
  return at;
}

function atToken(text: string, start: number): MasmToken {
  if (text.startsWith('@@', start)) {
    const rest = text.slice(start + 2, start + 8).toLowerCase();
    for (const [word, to] of [
      ['(', 'other'],
      ['c++(', 'c++'],
      ['masm(', 'masm'],
    ] as const) {
      if (rest.startsWith(word)) return { kind: 'switch', to, start, end: start + 2 + word.length };
    }
    return { kind: 'bad', start, end: start + 2 };
  }
  // @!"module!name<with odd characters>"
  if (text.startsWith('@!"', start)) {
    const close = text.indexOf('"', start + 3);
    if (close < 0) return { kind: 'bad', start, end: text.length };
    return { kind: 'symbol', text: text.slice(start + 3, close), start, end: close + 1 };
  }
  let end = start + 1;
  while (end < text.length && /[A-Za-z0-9_$]/.test(text[end] as string)) end++;
  return { kind: 'register', text: text.slice(start + 1, end), start, end };
}

/** Offset of the `)` that closes a parenthesis opened just before `from`; -1 without one. Quotes are skipped. */
export function closingParenthesis(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    const c = text[at];
    if (c === '"' || c === "'") {
      const close = text.indexOf(c, at + 1);
      if (close > 0 && (c === '"' || close - at <= 3)) at = close;
    } else if (c === '(') depth++;
    else if (c === ')' && --depth === 0) return at;
  }
  return -1;
}
