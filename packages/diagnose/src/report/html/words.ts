/** Addresses, bytes and prose as the page sets them. */
import type { Report } from '../report.ts';
import { type Content, html, type Markup } from './markup.ts';

export type Arch = Report['dump']['arch'];

/** `0x…` of the report as WinDbg prints it: 8 digits, or 8+backtick+8. */
export function addressText(arch: Arch, json: string): string {
  const digits = json.replace(/^0x/, '');
  if (arch === 'x86') return digits.padStart(8, '0');
  const wide = digits.padStart(16, '0');
  return `${wide.slice(0, 8)}\`${wide.slice(8)}`;
}

/** A word of memory: an address as one, a small number as a number. */
export function wordText(arch: Arch, json: string): string {
  return json.length <= 6 ? json.replace(/^0x/, '') : addressText(arch, json);
}

export function addressCode(arch: Arch, json: string | null): Markup {
  return json === null ? html`<span class="none">not read</span>` : html`<code>${addressText(arch, json)}</code>`;
}

export function code(text: string): Markup {
  return html`<code>${text}</code>`;
}

/** `20e27ba0 374a6e80 …`: groups of four bytes, the rest counted. */
export function byteText(hex: string, shown: number): string {
  const groups = hex.slice(0, shown * 2).match(/.{1,8}/g) ?? [];
  const rest = hex.length / 2 - shown;
  return `${groups.join(' ')}${rest > 0 ? ` … ${rest} more` : ''}`;
}

// `mov eax,[rcx]`, module!function+0x4, module+0x4, 0x4, 831dabf4, ffffbf8b`5cbfb080, [rdx*16+rax]
const technical =
  /((?<![0-9a-f])`(?:[^`]|(?<=[0-9a-f]{8})`(?=[0-9a-f]{8})){1,120}`|[A-Za-z_][\w.$]*![^\s,;()]*[^\s,;()\].:]|\b[A-Za-z_][\w.]*\+(?:0x)?[0-9a-f]+\b|\+?\b0x[0-9a-f]+\b|\b[0-9a-f]{8}(?:`?[0-9a-f]{8})?\b|\[[a-z0-9*+`-]+\])/;

/** A sentence with what belongs to the machine in it set as code. */
export function prose(text: string): Content {
  return text
    .split(technical)
    .map((part, i) => (i % 2 === 1 ? html`<code>${part.replace(/^`(.*)`$/, '$1')}</code>` : part));
}

/** Cut in the middle of what is too long for a drawing; the whole text stands in the tables. */
export function shorten(text: string, length: number): string {
  if (text.length <= length) return text;
  const tail = Math.floor((length - 1) / 2);
  return `${text.slice(0, length - 1 - tail)}…${text.slice(text.length - tail)}`;
}

/** `0, 1, 5–9`. */
export function ranges(numbers: readonly number[]): string {
  const sorted = [...numbers].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let end = i;
    while ((sorted[end + 1] ?? Number.NaN) === (sorted[end] ?? 0) + 1) end++;
    const [from, to] = [sorted[i] ?? 0, sorted[end] ?? 0];
    parts.push(end - i < 2 ? sorted.slice(i, end + 1).join(', ') : `${from}–${to}`);
    i = end + 1;
  }
  return parts.join(', ');
}

/** `0x831dabd8+0x1c` as WinDbg writes it: `831dabd8+0x1c`. */
export function containerText(arch: Arch, container: string): string {
  return container.replace(/^0x[0-9a-f]+/, (address) => addressText(arch, address));
}
