import fc from 'fast-check';
import { expect, it } from 'vitest';
import { escapeText, html } from './markup.ts';
import { addressText, byteText, prose, ranges, shorten } from './words.ts';

it('escapes what is interpolated, once, and leaves markup alone', () => {
  const name = '<script>alert("x")</script>';
  const cell = html`<td title="${name}">${name}</td>`;
  expect(cell.markup).toBe(
    '<td title="&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;">&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;</td>',
  );
  expect(html`<tr>${[cell, null, 7]}</tr>`.markup).toBe(`<tr>${cell.markup}7</tr>`);
});

it('shows controls, turns of direction and lone surrogates by their code points', () => {
  expect(escapeText('a\u0000b\u202egpj.exe\u200b\ud800c\tend\n')).toBe('a‹0000›b‹202e›gpj.exe‹200b›‹d800›c\tend\n');
  expect(escapeText('Öffnung 日本 😀')).toBe('Öffnung 日本 😀');
});

it('lets nothing out of text or of a quoted attribute', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const escaped = escapeText(text);
      expect(escaped).not.toMatch(/[<>"'`]|&(?!amp;|lt;|gt;|quot;|#39;|#96;)/);
      expect(prose(text)).toBeDefined();
      // Setting words as code changes no text.
      const plain = html`${prose(text)}`.markup.replace(/<\/?code>/g, '');
      if (!text.includes('`')) expect(plain).toBe(escaped);
    }),
  );
});

it('sets the words of the machine as code', () => {
  const code = (text: string): string[] =>
    [...html`${prose(text)}`.markup.matchAll(/<code>(.*?)<\/code>/g)].map((m) => m[1] ?? '');
  expect(code('took it at a1342214 in MyDriver!ProcessQueue+0x51, +0x1c of ffffbf8b`5cbfb080.')).toEqual([
    'a1342214',
    'MyDriver!ProcessQueue+0x51',
    '+0x1c',
    'ffffbf8b&#96;5cbfb080',
  ]);
  expect(code('nt+2316c9 holds `je nt+2316c9 (fffff800`56c316c9)` while bit 50 of [rdx*16+rax] is clear')).toEqual([
    'nt+2316c9',
    'je nt+2316c9 (fffff800&#96;56c316c9)',
    '[rdx*16+rax]',
  ]);
  expect(code('40,794 ticks of kernel time, IRQL 2')).toEqual([]);
});

it('formats addresses, bytes, names and number ranges', () => {
  expect(addressText('x86', '0x4')).toBe('00000004');
  expect(addressText('x64', '0xfffff80056c316c9')).toBe('fffff800`56c316c9');
  expect(byteText('f7400401000000', 16)).toBe('f7400401 000000');
  expect(byteText('00'.repeat(140), 4)).toBe('00000000 … 136 more');
  expect(shorten('abcdefghij', 5)).toBe('ab…ij');
  expect(ranges([0, 1, 3, 4, 5, 9, 10, 11, 23])).toBe('0, 1, 3–5, 9–11, 23');
});
