import type { Va } from '@dumpscope/core';
import { CommandError } from '../commands/command.ts';
import { evaluateExpression } from './evaluate.ts';
import { parseMasmNumber } from './masm-number.ts';
import { type ExpressionScope, targetAddress } from './scope.ts';

/** Documented sanity limit of a range without `L?`: 256 MB. */
const RANGE_LIMIT = 0x1000_0000n;

export interface AddressRange {
  readonly address: Va;
  /** Objects in the range. */
  readonly count: number;
  /** Offset in the text behind the range. */
  readonly end: number;
  /** True where the text gave a length or an end. */
  readonly explicit: boolean;
}

function skipBlanks(text: string, at: number): number {
  while (at < text.length && /\s/.test(text[at] as string)) at++;
  return at;
}

/** An address: a MASM expression, or `seg:offset`; `%` and `#` are flat prefixes, `&` is V86. */
export function parseAddress(
  text: string,
  scope: ExpressionScope,
  start = 0,
): { readonly address: Va; readonly value: bigint; readonly end: number } {
  let at = skipBlanks(text, start);
  // In C++ these are operators.
  const prefix = scope.evaluator !== 'c++' && '%&#'.includes(text[at] ?? ' ') ? (text[at++] as string) : '';
  let { value, end } = evaluateExpression(text, scope, at);
  if (text[end] === ':' && text[end + 1] !== ':') {
    const segment = value;
    ({ value, end } = evaluateExpression(text, scope, end + 1));
    // Protected-mode kernel segments are flat, so the offset alone counts.
    if (prefix === '&') value = BigInt.asUintN(64, (segment << 4n) + value);
  }
  return { address: targetAddress(value, scope.pointerSize), value, end };
}

/** The `L`, `L?`, `L-` in front of a count, unless the word is a name that merely begins with L. */
function lengthMark(text: string, scope: ExpressionScope): { readonly mode: string; readonly width: number } | null {
  const mark = /^[lL]([?-])?/.exec(text);
  if (mark === null) return null;
  const mode = mark[1] ?? '';
  const word = /^[A-Za-z0-9_`!]+/.exec(text.slice(mark[0].length))?.[0];
  const isCount =
    mode !== '' ||
    word === undefined ||
    parseMasmNumber(word, scope.radix) !== undefined ||
    scope.isCommonRegister(word.toLowerCase());
  return isCount ? { mode, width: mark[0].length } : null;
}

/**
 * `A`, `A B` (B is the last byte), `A L n`, `A L-n` (ends at A), `A L?n` (no 256 MB limit); n counts objects of `size`
 * bytes. Throws `Range error` with the offset of the length.
 */
export function parseRange(
  text: string,
  scope: ExpressionScope,
  options: { readonly size: number; readonly defaultCount: number; readonly start?: number },
): AddressRange {
  const { size, defaultCount } = options;
  const { address, value, end } = parseAddress(text, scope, options.start ?? 0);
  const at = skipBlanks(text, end);
  const fail = (): never => {
    throw new CommandError('Range error', { at });
  };
  if (at >= text.length || text[at] === '"') return { address, count: defaultCount, end: at, explicit: false };
  const byLength = lengthMark(text.slice(at), scope);
  if (byLength !== null) {
    const length = evaluateExpression(text, scope, at + byLength.width);
    const bytes = length.value * BigInt(size);
    if (byLength.mode !== '?' && bytes > RANGE_LIMIT) return fail();
    const count = Number(length.value > 0xffff_ffffn ? 0xffff_ffffn : length.value);
    const first = byLength.mode === '-' ? targetAddress(value - bytes, scope.pointerSize) : address;
    return { address: first, count, end: length.end, explicit: true };
  }
  const last = parseAddress(text, scope, at);
  if (last.address < address) return fail();
  const bytes = last.address - address;
  if (bytes >= RANGE_LIMIT) return fail();
  // The end is the address of the last byte; an object that begins there is shown too.
  return { address, count: Math.floor(Number(bytes) / size) + 1, end: last.end, explicit: true };
}
