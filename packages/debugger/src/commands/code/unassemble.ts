import { describeGap, type Va, va } from '@dumpscope/core';
import { type CodeReader, decodeBackward } from '@dumpscope/cpu';
import { parseAddress, parseRange } from '../../expressions/range.ts';
import { targetAddress } from '../../expressions/scope.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { hexDigits } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { instructionAt, sessionScope } from '../session/scope.ts';
import { currentRegisters, sessionMemory } from '../session/session.ts';
import { codeHeader } from '../session/source-line.ts';
import { type InstructionRow, instructionLine, instructionRow, missingRow, sourceRemark } from './instruction-line.ts';

const DEFAULT_COUNT = 8;
const MAX_COUNT = 0x10000;

/** Function part of a symbol text, to see where one function ends and the next begins. */
function owner(symbol: string | null): string | null {
  return symbol === null ? null : symbol.replace(/\+0x[0-9a-f]+$/, '');
}

/** Lines with a header wherever the nearest symbol changes. */
export function withHeaders(session: Session, rows: readonly InstructionRow[]): string[] {
  const lines: string[] = [];
  let last: string | null | undefined;
  for (const [index, row] of rows.entries()) {
    lines.push(...sourceRemark(row, rows[index - 1]));
    const here = owner(row.symbol);
    if (here !== last && row.symbol !== null) lines.push(codeHeader(session, row.symbol, row.address));
    last = here;
    lines.push(instructionLine(session, row));
  }
  return lines;
}

/** One row at `address` and where the next begins; null `next` after memory that is not there. */
function rowAt(session: Session, address: Va): { readonly row: InstructionRow; readonly next: Va | null } {
  const { target } = session;
  const instruction = instructionAt(session, address);
  if (instruction !== null) {
    return {
      row: instructionRow(session, instruction),
      next: targetAddress(address + BigInt(instruction.length), target.pointerSize),
    };
  }
  const memory = sessionMemory(session);
  const byte = target.code(address, 1)?.[0] ?? memory.u8(address);
  if (byte === undefined) {
    const gap = memory.gapAt(address);
    return { row: missingRow(session, address, null, gap === null ? null : describeGap(gap)), next: null };
  }
  if (target.arch === 'arm64') {
    const word = memory.u32(address);
    const next = targetAddress(address + 4n, target.pointerSize);
    return { row: missingRow(session, address, word === undefined ? null : hexDigits(word, 8), null), next };
  }
  return {
    row: missingRow(session, address, hexDigits(byte, 2), null),
    next: targetAddress(address + 1n, target.pointerSize),
  };
}

function unassemble(session: Session, args: string): CommandResult<InstructionRow> {
  const scope = sessionScope(session);
  let address: Va;
  let count = DEFAULT_COUNT;
  let end: bigint | null = null;
  if (args === '') {
    const at = session.continuations.get('u') ?? currentRegisters(session)?.pc;
    if (at === undefined) throw new CommandError("Numeric expression missing from '<EOL>'");
    address = va(at);
  } else {
    const first = parseAddress(args, scope);
    const range = parseRange(args, scope, { size: 1, defaultCount: DEFAULT_COUNT });
    if (args.slice(range.end).trim() !== '') throw new CommandError('Extra character error', { at: range.end });
    address = range.address;
    count = range.count;
    const tail = args.slice(first.end).trim();
    if (tail !== '' && !/^[lL]/.test(tail)) {
      // `u A B`: up to the instruction that holds B.
      end = address + BigInt(range.count);
      count = MAX_COUNT;
    } else if (/^[lL]-/.test(tail)) {
      const rows = backwards(session, first.address, count);
      return result(rows, withHeaders(session, rows));
    }
  }
  const rows: InstructionRow[] = [];
  let at: Va | null = address;
  while (at !== null && rows.length < Math.min(count, MAX_COUNT) && (end === null || at < end)) {
    const { row, next } = rowAt(session, at);
    rows.push(row);
    at = next;
  }
  if (at !== null) session.continuations.set('u', at);
  const partial = result(rows, withHeaders(session, rows));
  if (at === null) throw new CommandError(`Memory access error in 'u ${args}'`.trimEnd(), { partial });
  return partial;
}

/** Up to `count` instructions that end at `address`; fewer where the code before it cannot be read. */
function backwards(session: Session, address: Va, count: number): InstructionRow[] {
  const { disassembler, code } = session.target;
  const memory = sessionMemory(session);
  const read: CodeReader = (at, length) => code(at, length) ?? memory.prefix(at, length);
  return decodeBackward(read, disassembler, address, count).map((i) => instructionRow(session, i));
}

function unassembleBack(session: Session, args: string): CommandResult<InstructionRow> {
  const scope = sessionScope(session);
  let address: Va;
  let count = DEFAULT_COUNT;
  if (args === '') {
    const at = session.continuations.get('ub') ?? currentRegisters(session)?.pc;
    if (at === undefined) throw new CommandError("Numeric expression missing from '<EOL>'");
    address = va(at);
  } else {
    const range = parseRange(args, scope, { size: 1, defaultCount: DEFAULT_COUNT });
    if (args.slice(range.end).trim() !== '') throw new CommandError('Extra character error', { at: range.end });
    address = range.address;
    count = Math.min(range.count, MAX_COUNT);
  }
  const rows = backwards(session, address, count);
  if (rows.length === 0) throw new CommandError(`Unable to find the previous instruction of ${address.toString(16)}`);
  session.continuations.set('ub', (rows[0] as InstructionRow).address);
  return result(rows, withHeaders(session, rows));
}

export const unassembleCommand: Command = defineCommand({
  names: ['u', 'ub', 'uu'],
  summary: 'disassemble',
  usage: 'u[b] [address | range]',
  effective: true,
  fidelity: 'Layout and operands as in WinDbg. The caret line after missing memory is a plain error line here.',
  continues: true,
  run: (session, args, name) => (name === 'ub' ? unassembleBack(session, args) : unassemble(session, args)),
});
