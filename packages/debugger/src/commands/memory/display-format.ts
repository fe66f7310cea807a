import { isPresent, type MemoryBlock } from './memory-block.ts';

/** How one d* format draws an object. */
export interface ObjectFormat {
  readonly size: number;
  readonly perLine: number;
  readonly defaultCount: number;
  readonly ascii: boolean;
  readonly draw: (view: DataView, at: number) => string;
  readonly gap: string;
}

function hexOf(view: DataView, at: number, size: number): string {
  if (size === 1) return view.getUint8(at).toString(16).padStart(2, '0');
  if (size === 2) return view.getUint16(at, true).toString(16).padStart(4, '0');
  return view.getUint32(at, true).toString(16).padStart(8, '0');
}

/** C's `%.<digits>g` with a three-digit exponent, as the debugger's runtime prints. */
export function general(value: number, digits: number): string {
  if (Number.isNaN(value)) return '1.#QNAN';
  if (!Number.isFinite(value)) return value < 0 ? '-1.#INF' : '1.#INF';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const [mantissa, exponent] = value.toExponential(digits - 1).split('e') as [string, string];
  const e = Number(exponent);
  const trim = (s: string): string => (s.includes('.') ? s.replace(/0+$/, '').replace(/\.$/, '') : s);
  if (e < -4 || e >= digits) return `${trim(mantissa)}e${e < 0 ? '-' : '+'}${String(Math.abs(e)).padStart(3, '0')}`;
  return trim(value.toFixed(Math.max(0, digits - 1 - e)));
}

const bytes: ObjectFormat = {
  size: 1,
  perLine: 16,
  defaultCount: 128,
  ascii: true,
  draw: (v, at) => hexOf(v, at, 1),
  gap: '??',
};
const words: ObjectFormat = {
  size: 2,
  perLine: 8,
  defaultCount: 64,
  ascii: false,
  draw: (v, at) => hexOf(v, at, 2),
  gap: '????',
};
const dwords: ObjectFormat = {
  size: 4,
  perLine: 4,
  defaultCount: 32,
  ascii: false,
  draw: (v, at) => hexOf(v, at, 4),
  gap: '????????',
};
const qwords: ObjectFormat = {
  size: 8,
  perLine: 2,
  defaultCount: 16,
  ascii: false,
  draw: (v, at) => `${hexOf(v, at + 4, 4)}\`${hexOf(v, at, 4)}`,
  gap: '????????`????????',
};

/** The numeric formats by command; `dp` is `dd` or `dq`. Defaults of the d* page: 128 bytes, df 16, dD 15 numbers. */
export function objectFormat(command: string, pointerSize: 4 | 8): ObjectFormat | undefined {
  switch (command) {
    case 'db':
      return bytes;
    case 'dw':
      return words;
    case 'dW':
      return { ...words, ascii: true };
    case 'dd':
      return dwords;
    case 'dc':
      return { ...dwords, ascii: true };
    case 'dq':
      return qwords;
    case 'dp':
      return pointerSize === 8 ? qwords : dwords;
    case 'df':
      return {
        ...dwords,
        defaultCount: 16,
        draw: (v, at) => general(v.getFloat32(at, true), 8).padStart(16),
        gap: '????????'.padStart(16),
      };
    case 'dD':
      return {
        ...qwords,
        perLine: 3,
        defaultCount: 15,
        draw: (v, at) => general(v.getFloat64(at, true), 12).padStart(22),
        gap: '????????'.padStart(22),
      };
    default:
      return undefined;
  }
}

/** Printable ASCII, a dot for the rest, `?` for what is missing. */
export function asciiOf(block: MemoryBlock, at: number, length: number): string {
  let text = '';
  for (let i = at; i < at + length; i++) {
    const c = block.bytes[i] as number;
    text += block.present[i] !== 1 ? '?' : c >= 0x20 && c < 0x7f ? String.fromCharCode(c) : '.';
  }
  return text;
}

/** The objects of a line, blanks where the range ends inside it. `db` joins its 8th and 9th byte with `-`. */
export function drawLine(
  block: MemoryBlock,
  view: DataView,
  at: number,
  count: number,
  format: ObjectFormat,
  perLine: number,
): string {
  let text = '';
  for (let i = 0; i < count; i++) {
    const offset = at + i * format.size;
    if (i > 0) text += format.size === 1 && i === 8 ? '-' : ' ';
    text += isPresent(block, offset, format.size) ? format.draw(view, offset) : format.gap;
  }
  if (!format.ascii) return text;
  const width = perLine * (format.gap.length + 1) - 1;
  return `${text.padEnd(width)}  ${asciiOf(block, at, count * format.size)}`;
}
