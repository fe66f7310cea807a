/**
 * Markup that cannot be broken out of: what a template interpolates is escaped unless it is markup itself. A dump is
 * hostile input, and module names, image names and bytes of it end up in the page.
 */

export interface Markup {
  readonly markup: string;
}

export type Content = Markup | string | number | null | readonly Content[];

/** Longest text of one interpolation; names of a broken dump can be as long as the dump. */
const MAX_TEXT = 4000;

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/**
 * Text as element content or as a quoted attribute's value. Control characters, lone surrogates and those that turn the
 * direction of what follows are shown by their code points.
 */
export function escapeText(text: string): string {
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return cut
    .replace(
      /(?![\t\n])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu,
      (c) => `‹${(c.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}›`,
    )
    .replace(/[&<>"'`]/g, (c) => entities[c] ?? c);
}

function markupOf(content: Content): string {
  if (content === null) return '';
  if (typeof content === 'string') return escapeText(content);
  if (typeof content === 'number') return String(content);
  if ('markup' in content) return content.markup;
  let out = '';
  for (const part of content) out += markupOf(part);
  return out;
}

/** HTML or SVG. Interpolate into element content and into double-quoted attribute values only. */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Markup {
  let out = strings[0] ?? '';
  values.forEach((value, i) => {
    out += markupOf(value) + (strings[i + 1] ?? '');
  });
  return { markup: out };
}

/** Markup where a condition holds, else nothing. */
export function when(condition: boolean, then: () => Content): Content {
  return condition ? then() : null;
}

/** A heading of a level. `kind` is a class of the style sheet. */
export function heading(level: 1 | 2 | 3, content: Content, kind: string, id: string | null = null): Markup {
  const attributes = html`${id === null ? null : html` id="${id}"`}${kind === '' ? null : html` class="${kind}"`}`;
  return html`<h${level}${attributes}>${content}</h${level}>`;
}
