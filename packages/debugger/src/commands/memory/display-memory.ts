import { va } from '@dumpscope/core';
import { parseAddress, parseRange } from '../../expressions/range.ts';
import { targetAddress } from '../../expressions/scope.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress, engineAddressOrGap } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { symbolText } from '../session/names.ts';
import { sessionScope } from '../session/scope.ts';
import { currentRegisters } from '../session/session.ts';
import { drawLine, objectFormat } from './display-format.ts';
import {
  type BlockReader,
  gapText,
  isPresent,
  type MemoryBlock,
  physicalReader,
  readBlock,
  virtualReader,
} from './memory-block.ts';

/** Most that one command draws; the rest is a range away. */
const MAX_BYTES = 0x100000;
const MAX_STRING = 0x10000;

interface DisplayRow {
  readonly address: bigint;
  /** One entry per object, null where it could not be read. */
  readonly values: readonly (bigint | string | null)[];
  readonly symbol?: string | null;
  /** Why something in this row is missing. */
  readonly gap: string | null;
}

interface Request {
  readonly reader: BlockReader;
  readonly columns: number | null;
  readonly text: string;
  readonly physical: boolean;
}

function parseOptions(session: Session, args: string): Request {
  let text = args;
  let columns: number | null = null;
  let physical = false;
  for (;;) {
    const option = /^\/(c\s*([0-9a-fA-F]+)|p(?:\[(?:c|uc|wc)\])?)(?:\s+|$)/.exec(text);
    if (option === null) break;
    if (option[2] !== undefined) columns = Math.min(0x80, Math.max(1, Number.parseInt(option[2], session.radix)));
    else physical = true;
    text = text.slice(option[0].length);
  }
  return { reader: physical ? physicalReader(session) : virtualReader(session), columns, text, physical };
}

function nextAddress(session: Session): bigint {
  const next = session.continuations.get('d') ?? currentRegisters(session)?.pc;
  if (next === undefined) throw new CommandError("Numeric expression missing from '<EOL>'");
  return next;
}

function rangeOf(
  session: Session,
  request: Request,
  size: number,
  defaultCount: number,
): { address: bigint; count: number } {
  if (request.text === '') return { address: nextAddress(session), count: defaultCount };
  const scope = sessionScope(session);
  const range = parseRange(request.text, scope, { size, defaultCount });
  if (request.text.slice(range.end).trim() !== '') throw new CommandError('Extra character error', { at: range.end });
  if (!request.physical) return range;
  // A physical address is a plain 64-bit number.
  return { address: parseAddress(request.text, { ...scope, pointerSize: 8 }).value, count: range.count };
}

function remember(session: Session, name: string, next: bigint, last: bigint | null): void {
  session.lastDisplay = name;
  session.continuations.set('d', targetAddress(next, session.target.pointerSize));
  if (last !== null) session.pseudo.set('$p', last);
}

function clipped(count: number, size: number): { readonly count: number; readonly note: string[] } {
  const max = Math.floor(MAX_BYTES / size);
  if (count <= max) return { count, note: [] };
  return { count: max, note: [`(${max} of ${count} objects shown; give a range for the rest)`] };
}

function valueAt(block: MemoryBlock, view: DataView, at: number, size: number): bigint | null {
  if (!isPresent(block, at, size)) return null;
  if (size === 8) return view.getBigUint64(at, true);
  return BigInt(size === 4 ? view.getUint32(at, true) : size === 2 ? view.getUint16(at, true) : view.getUint8(at));
}

function displayObjects(session: Session, name: string, args: string): CommandResult {
  const { target } = session;
  const request = parseOptions(session, args);
  const format = objectFormat(name, target.pointerSize);
  if (format === undefined) throw new CommandError('Syntax error', { at: 0 });
  const range = rangeOf(session, request, format.size, format.defaultCount);
  const { count, note } = clipped(range.count, format.size);
  const perLine = request.columns ?? format.perLine;
  const block = readBlock(request.reader, range.address, count * format.size);
  const view = new DataView(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
  const width = request.physical ? target : { pointerSize: target.pointerSize };
  const rows: DisplayRow[] = [];
  const lines: string[] = [];
  for (let i = 0; i < count; i += perLine) {
    const here = Math.min(perLine, count - i);
    const address = targetAddress(range.address + BigInt(i * format.size), request.physical ? 8 : target.pointerSize);
    const values: (bigint | null)[] = [];
    for (let k = 0; k < here; k++) values.push(valueAt(block, view, (i + k) * format.size, format.size));
    rows.push({ address, values, gap: rowGap(request.reader, block, i * format.size, here * format.size) });
    lines.push(`${engineAddress(address, width)}  ${drawLine(block, view, i * format.size, here, format, perLine)}`);
  }
  remember(session, name, range.address + BigInt(count * format.size), rows.at(-1)?.values.at(-1) as bigint | null);
  return result(rows, [...lines, ...note]);
}

function rowGap(reader: BlockReader, block: MemoryBlock, at: number, length: number): string | null {
  if (block.gap === null) return null;
  for (let i = at; i < at + length; i++) {
    if (block.present[i] !== 1) return gapText(reader.gapAt(va(block.address + BigInt(i))));
  }
  return null;
}

/** `dyb`, `dyd`: bits above the values, high bit left. */
function displayBits(session: Session, name: 'dyb' | 'dyd', args: string): CommandResult {
  const { target } = session;
  const request = parseOptions(session, args);
  const size = name === 'dyb' ? 1 : 4;
  const range = rangeOf(session, request, size, name === 'dyb' ? 32 : 8);
  const { count, note } = clipped(range.count, size);
  const perLine = name === 'dyb' ? 4 : 1;
  const block = readBlock(request.reader, range.address, count * size);
  const view = new DataView(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
  const margin = ' '.repeat(engineAddress(0n, target).length + 2);
  const lines =
    name === 'dyd'
      ? [` ${margin}${'3          2          1          0'}`, `${margin}10987654 32109876 54321098 76543210`]
      : [`${margin}76543210 76543210 76543210 76543210`];
  lines.push(`${margin}-------- -------- -------- --------`);
  const rows: DisplayRow[] = [];
  for (let i = 0; i < count; i += perLine) {
    const here = Math.min(perLine, count - i);
    const address = targetAddress(range.address + BigInt(i * size), target.pointerSize);
    const bits: string[] = [];
    for (let k = 0; k < here * size; k++) {
      const at = i * size + (size === 4 ? 3 - k : k);
      bits.push(isPresent(block, at, 1) ? (block.bytes[at] as number).toString(2).padStart(8, '0') : '????????');
    }
    const values: (bigint | null)[] = [];
    for (let k = 0; k < here; k++) values.push(valueAt(block, view, (i + k) * size, size));
    const shown = values.map((v) => (v === null ? '?'.repeat(size * 2) : v.toString(16).padStart(size * 2, '0')));
    rows.push({ address, values, gap: rowGap(request.reader, block, i * size, here * size) });
    lines.push(`${engineAddress(address, target)}  ${bits.join(' ').padEnd(35)}  ${shown.join(' ')}`);
  }
  remember(session, name, range.address + BigInt(count * size), rows.at(-1)?.values.at(-1) as bigint | null);
  return result(rows, [...lines, ...note]);
}

/** `dds dqs dps`: pointers with symbols; `dda ddu ddp` and their kin: what the pointers lead to. */
function displayPointers(session: Session, name: string, args: string): CommandResult {
  const { target } = session;
  const request = parseOptions(session, args);
  const size = name[1] === 'd' ? 4 : name[1] === 'q' ? 8 : target.pointerSize;
  const range = rangeOf(session, request, size, 128 / size);
  const { count, note } = clipped(range.count, size);
  const block = readBlock(request.reader, range.address, count * size);
  const view = new DataView(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
  const width = { pointerSize: size as 4 | 8 };
  const rows: DisplayRow[] = [];
  const lines: string[] = [];
  for (let i = 0; i < count; i++) {
    const address = targetAddress(range.address + BigInt(i * size), target.pointerSize);
    const value = valueAt(block, view, i * size, size);
    const head = `${engineAddress(address, target)}  ${engineAddressOrGap(value, width)}`;
    const gap = rowGap(request.reader, block, i * size, size);
    const reached = value === null ? null : pointee(session, name[2] as string, value);
    rows.push({ address, values: [value, ...(reached?.values ?? [])], symbol: reached?.symbol ?? null, gap });
    lines.push(reached === null || reached.text === '' ? head : `${head} ${reached.text}`);
  }
  remember(session, name, range.address + BigInt(count * size), rows.at(-1)?.values[0] as bigint | null);
  return result(rows, [...lines, ...note]);
}

interface Pointee {
  readonly text: string;
  readonly symbol: string | null;
  readonly values: readonly (bigint | string | null)[];
}

function pointee(session: Session, kind: string, value: bigint): Pointee {
  const { target } = session;
  const named = (address: bigint): string | null => symbolText(session, address);
  if (kind === 's') {
    const symbol = named(value);
    return { text: symbol ?? '', symbol, values: [] };
  }
  if (kind === 'p') {
    const inner = virtualMemoryPointer(session, value);
    const symbol = inner === null ? null : named(inner);
    const text = engineAddressOrGap(inner, target);
    return { text: symbol === null ? text : `${text} ${symbol}`, symbol, values: [inner] };
  }
  const text = readString(virtualReader(session), value, kind === 'u' ? 2 : 1, 64).text;
  return { text: text === null ? '' : `"${text}"`, symbol: null, values: [text] };
}

function virtualMemoryPointer(session: Session, address: bigint): bigint | null {
  const { pointerSize } = session.target;
  const block = readBlock(virtualReader(session), address, pointerSize);
  const view = new DataView(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
  return valueAt(block, view, 0, pointerSize);
}

/** Characters up to a NUL, `count` or a gap; null when not even the first could be read. */
function readString(
  reader: BlockReader,
  address: bigint,
  size: 1 | 2,
  count: number,
): { readonly text: string | null; readonly length: number; readonly ended: boolean } {
  let text = '';
  const chunk = 0x200;
  for (let done = 0; done < count; done += chunk) {
    const want = Math.min(chunk, count - done);
    const block = readBlock(reader, address + BigInt(done * size), want * size);
    for (let i = 0; i < want; i++) {
      if (!isPresent(block, i * size, size)) {
        return { text: done + i === 0 ? null : text, length: done + i, ended: true };
      }
      const low = block.bytes[i * size] as number;
      const code = size === 1 ? low : low | ((block.bytes[i * size + 1] as number) << 8);
      if (code === 0) return { text, length: done + i, ended: true };
      text += code >= 0x20 && code !== 0x7f && !(size === 1 && code > 0x7f) ? String.fromCharCode(code) : '.';
    }
  }
  return { text, length: count, ended: false };
}

const CHUNK = 32;

function displayString(session: Session, name: 'da' | 'du', args: string): CommandResult {
  const { target } = session;
  const request = parseOptions(session, args);
  const size = name === 'da' ? 1 : 2;
  const range = rangeOf(session, request, size, MAX_STRING);
  const found = readString(request.reader, range.address, size, Math.min(range.count, MAX_STRING));
  const chunk = request.columns ?? CHUNK;
  const rows: DisplayRow[] = [];
  const lines: string[] = [];
  if (found.text === null) {
    const gap = gapText(request.reader.gapAt(va(range.address)));
    rows.push({ address: range.address, values: [null], gap });
    lines.push(`${engineAddress(range.address, target)}  "${'?'.repeat(CHUNK)}"`);
  } else {
    for (let i = 0; i === 0 || i < found.text.length; i += chunk) {
      const address = targetAddress(range.address + BigInt(i * size), target.pointerSize);
      const text = found.text.slice(i, i + chunk);
      rows.push({ address, values: [text], gap: null });
      lines.push(`${engineAddress(address, target)}  "${text}"`);
    }
  }
  remember(session, name, range.address + BigInt((found.length + 1) * size), null);
  return result(rows, lines);
}

function run(session: Session, args: string, name: string): CommandResult {
  const command = name === 'd' ? session.lastDisplay : name;
  if (command === 'da' || command === 'du') return displayString(session, command, args);
  if (command === 'dyb' || command === 'dyd') return displayBits(session, command, args);
  if (command.length === 3) return displayPointers(session, command, args);
  return displayObjects(session, command, args);
}

export const displayMemory: Command = defineCommand({
  effective: true,
  names: [
    'd',
    'da',
    'db',
    'dc',
    'dd',
    'dD',
    'df',
    'dp',
    'dq',
    'du',
    'dw',
    'dW',
    'dyb',
    'dyd',
    'dds',
    'dps',
    'dqs',
    'dda',
    'ddp',
    'ddu',
    'dpa',
    'dpp',
    'dpu',
    'dqa',
    'dqp',
    'dqu',
  ],
  summary: 'show memory',
  usage: 'd{a|b|c|d|D|f|p|q|u|w|W|yb|yd}[s|p|a|u] [/c N] [/p] [range]',
  fidelity:
    'Columns as in WinDbg. Missing memory shows as question marks; with --json each row says why. One command shows at most 1 MB.',
  continues: true,
  run,
});
