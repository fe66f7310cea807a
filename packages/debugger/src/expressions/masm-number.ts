import { signExtend32 } from './scope.ts';

export type ParsedNumber = { readonly value: bigint } | { readonly overflow: true };

const PREFIX_RADIX: Readonly<Record<string, number>> = { x: 16, n: 10, t: 8, y: 2 };

function isDigitOf(code: number, radix: number): boolean {
  const digit =
    code >= 0x30 && code <= 0x39 ? code - 0x30 : code >= 0x61 && code <= 0x66 ? code - 0x61 + 10 : Number.NaN;
  return digit < radix;
}

function allDigits(text: string, radix: number): boolean {
  for (let i = 0; i < text.length; i++) if (!isDigitOf(text.charCodeAt(i), radix)) return false;
  return true;
}

function toBigInt(digits: string, radix: number): bigint {
  switch (radix) {
    case 16:
      return BigInt(`0x${digits}`);
    case 10:
      return BigInt(digits);
    case 8:
      return BigInt(`0o${digits}`);
    default:
      return BigInt(`0b${digits}`);
  }
}

/**
 * A MASM number: prefix `0x 0n 0t 0y`, suffix `h`, or the default radix; a bare prefix is 0; a backtick anywhere but in
 * front. In kernel mode a constant 80000000..ffffffff without backtick is sign-extended to 64 bits, however many leading
 * zeros it has (sign-extension.md). Undefined when the word is no number.
 */
export function parseMasmNumber(word: string, radix: number): ParsedNumber | undefined {
  if (word.length === 0 || word.startsWith('`')) return undefined;
  let text = word.toLowerCase();
  const backtick = text.includes('`');
  if (backtick) text = text.replaceAll('`', '');
  let base = radix;
  const prefix = text[0] === '0' ? PREFIX_RADIX[text[1] ?? ''] : undefined;
  if (prefix !== undefined) {
    base = prefix;
    text = text.slice(2);
    if (text === '') return { value: 0n };
  } else if (text.length > 1 && text.endsWith('h') && allDigits(text.slice(0, -1), 16)) {
    base = 16;
    text = text.slice(0, -1);
  }
  if (!allDigits(text, base)) return undefined;
  const significant = text.replace(/^0+(?=.)/, '');
  if (significant.length > 64) return { overflow: true };
  const value = toBigInt(significant, base);
  if (value >> 64n !== 0n) return { overflow: true };
  return { value: !backtick && value >= 0x80000000n && value <= 0xffffffffn ? signExtend32(value) : value };
}
