import { evaluateExpression } from '../../expressions/evaluate.ts';
import { parseRange } from '../../expressions/range.ts';
import { targetAddress } from '../../expressions/scope.ts';
import { type Command, CommandError, defineCommand } from '../command.ts';
import { engineAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { sessionScope } from '../session/scope.ts';
import { drawLine, objectFormat } from './display-format.ts';
import { type BlockReader, readBlock, virtualReader } from './memory-block.ts';

const MAX_HITS = 4096;
const CHUNK = 0x10000;

interface Pattern {
  readonly bytes: Uint8Array;
  readonly align: number;
  readonly show: 'db' | 'dw' | 'dd' | 'dq';
}

/** `-b -w -d -q` values, `-a` and `-u` text; without a type bytes or `"text"`. */
function patternOf(
  args: string,
  type: string,
  evaluate: (text: string) => { readonly value: bigint; readonly end: number },
): Pattern {
  const text = args.trim();
  const quoted = /^"([^"]*)"$/.exec(text)?.[1];
  if (type === 'a' || type === 'u' || quoted !== undefined) {
    const string = quoted ?? text;
    const wide = type === 'u';
    const bytes = new Uint8Array(string.length * (wide ? 2 : 1));
    for (let i = 0; i < string.length; i++) {
      const code = string.charCodeAt(i);
      bytes[wide ? i * 2 : i] = code & 0xff;
      if (wide) bytes[i * 2 + 1] = code >>> 8;
    }
    return { bytes, align: 1, show: wide ? 'dw' : 'db' };
  }
  const size = { w: 2, d: 4, q: 8 }[type] ?? 1;
  const values: bigint[] = [];
  for (let rest = text; rest !== ''; ) {
    const single = /^'(.)'/.exec(rest);
    if (single !== null) {
      values.push(BigInt((single[1] as string).charCodeAt(0)));
      rest = rest.slice(3).trimStart();
      continue;
    }
    // Values stand a word each: `41 42` is two, not an error.
    const word = /^\S+/.exec(rest)?.[0] ?? rest;
    values.push(evaluate(word).value);
    rest = rest.slice(word.length).trimStart();
  }
  const bytes = new Uint8Array(values.length * size);
  values.forEach((value, i) => {
    for (let k = 0; k < size; k++) bytes[i * size + k] = Number((value >> BigInt(k * 8)) & 0xffn);
  });
  return { bytes, align: size, show: ({ w: 'dw', d: 'dd', q: 'dq' } as const)[type as 'w' | 'd' | 'q'] ?? 'db' };
}

/** Offsets of the pattern in `[0, length)`, in memory order; chunks overlap by the pattern's length. */
function search(reader: BlockReader, start: bigint, length: number, pattern: Pattern): number[] {
  const hits: number[] = [];
  const { bytes, align } = pattern;
  const first = bytes[0] as number;
  for (let base = 0; base < length && hits.length < MAX_HITS; base += CHUNK) {
    const want = Math.min(CHUNK + bytes.length - 1, length - base);
    const block = readBlock({ ...reader, granularity: Math.max(reader.granularity, 1) }, start + BigInt(base), want);
    const end = Math.min(CHUNK, want - bytes.length + 1);
    for (let at = 0; at < end; at += align) {
      if (block.bytes[at] !== first || block.present[at] !== 1) continue;
      let k = 1;
      while (k < bytes.length && block.bytes[at + k] === bytes[k] && block.present[at + k] === 1) k++;
      if (k < bytes.length) continue;
      hits.push(base + at);
      if (hits.length >= MAX_HITS) break;
    }
  }
  return hits;
}

export const searchMemoryCommand: Command = defineCommand({
  names: ['s'],
  summary: 'search memory',
  usage: 's [-[flags]b|w|d|q|a|u] range pattern',
  fidelity: 'Hits as in WinDbg, at most 4096. -sa and -su (any string) are not there; missing pages are stepped over.',
  run(session, args) {
    const { target } = session;
    const option = /^-(?:\[[^\]]*\])?([a-zA-Z]+)\s+/.exec(args);
    const type = option?.[1] ?? 'b';
    if (!'bwdqau'.includes(type) || type.length !== 1) throw new CommandError('Syntax error', { at: 0 });
    const from = option?.[0].length ?? 0;
    const scope = sessionScope(session);
    const size = { w: 2, d: 4, q: 8, u: 2 }[type] ?? 1;
    const range = parseRange(args, scope, { size, defaultCount: 0, start: from });
    if (!range.explicit) throw new CommandError('Range error', { at: from });
    const pattern = patternOf(args.slice(range.end), type, (text) => evaluateExpression(text, scope));
    if (pattern.bytes.length === 0) throw new CommandError("Numeric expression missing from '<EOL>'");
    const reader = virtualReader(session);
    const hits = search(reader, range.address, range.count * size, pattern);
    const format = objectFormat(pattern.show, target.pointerSize);
    if (format === undefined) throw new CommandError('Syntax error', { at: 0 });
    const withAscii = { ...format, ascii: true };
    const rows: { readonly address: bigint }[] = [];
    const lines = hits.map((hit) => {
      const address = targetAddress(range.address + BigInt(hit), target.pointerSize);
      const block = readBlock(reader, address, 16);
      const view = new DataView(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
      rows.push({ address });
      const perLine = 16 / format.size;
      return `${engineAddress(address, target)}  ${drawLine(block, view, 0, perLine, withAscii, perLine)}`;
    });
    if (hits.length >= MAX_HITS) lines.push(`(stopped after ${MAX_HITS} hits)`);
    return result(rows, lines);
  },
});
