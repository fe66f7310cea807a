import { type Va, va } from '@dumpscope/core';
import { buildGraph, type CodeRange, type CodeReader, type FlowGraph } from '@dumpscope/cpu';
import { parseAddress } from '../../expressions/range.ts';
import { targetAddress } from '../../expressions/scope.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { symbolText } from '../session/names.ts';
import { instructionAt, sessionScope } from '../session/scope.ts';
import { currentRegisters, sessionMemory } from '../session/session.ts';
import { codeHeader } from '../session/source-line.ts';
import { type InstructionRow, instructionLine, instructionRow, sourceRemark } from './instruction-line.ts';

interface BlockRow {
  readonly start: bigint;
  readonly end: bigint;
  readonly symbol: string | null;
  readonly instructions: readonly InstructionRow[];
}

/** Longest function that is listed. */
const MAX_INSTRUCTIONS = 50_000;

interface Bounds {
  readonly start: Va;
  /** Known end, exclusive; null where only the start is known. */
  readonly end: Va | null;
  /** The piece of the function that holds the address, where it is cut into pieces. */
  readonly piece: CodeRange | null;
}

function boundsOf(session: Session, address: Va): Bounds {
  const module = session.target.moduleAt(address);
  const found = module?.functionAt(Number(address - module.base)) ?? null;
  if (module === undefined || found === null) return { start: address, end: null, piece: null };
  const at = (rva: number): Va => va(module.base + BigInt(rva));
  const { piece } = found;
  return {
    start: at(found.start),
    end: found.end === null ? null : at(found.end),
    piece: piece == null ? null : { start: at(piece.begin), end: at(piece.end) },
  };
}

/**
 * Where the listing may go: inside the bounds; without an end, up to the next name of the module, since a jump beyond it
 * goes to another function.
 */
function rangeOf(session: Session, bounds: Bounds): CodeRange | null {
  if (bounds.end !== null) return { start: bounds.start, end: bounds.end };
  const module = session.target.moduleAt(bounds.start);
  if (module === undefined) return null;
  const next = module.debugInfo?.symbols.next(Number(bounds.start - module.base));
  const end = next === undefined ? module.base + BigInt(module.size) : module.base + BigInt(next.rva);
  return { start: bounds.start, end: va(end) };
}

/** Cold chunks that one function may have beside its main part. */
const MAX_CHUNKS = 32;

/**
 * The function's graph. A jump out of the range to code whose .pdata chain, or whose S_SEPCODE record, leads back to this
 * function goes to one of its cold chunks, which belongs to it whole.
 */
function functionGraph(session: Session, bounds: Bounds, range: CodeRange | null): FlowGraph {
  const { target } = session;
  const memory = sessionMemory(session);
  const read: CodeReader = (at, length) => target.code(at, length) ?? memory.prefix(at, length);
  const ranges = range === null ? null : [range];
  for (;;) {
    const graph = buildGraph(read, target.disassembler, {
      roots: [bounds.start],
      fromEntry: true,
      ...(ranges === null ? {} : { ranges }),
      maxInstructions: MAX_INSTRUCTIONS,
    });
    if (ranges === null || bounds.end === null) return graph;
    const before = ranges.length;
    for (const gap of graph.gaps) {
      if (gap.kind !== 'outside' || gap.to === null) continue;
      const { start, piece } = boundsOf(session, gap.to);
      if (start !== bounds.start || piece === null || ranges.some((r) => r.start === piece.start)) continue;
      if (ranges.length <= MAX_CHUNKS) ranges.push(piece);
    }
    if (ranges.length === before) return graph;
  }
}

function listFunction(session: Session, args: string): CommandResult {
  const { target } = session;
  let text = args;
  const options = new Set<string>();
  for (let m = /^\/([a-zA-Z]+)\s*/.exec(text); m !== null; m = /^\/([a-zA-Z]+)\s*/.exec(text)) {
    options.add(m[1] as string);
    text = text.slice(m[0].length);
  }
  let address: Va;
  if (text === '') {
    const pc = currentRegisters(session)?.pc;
    if (pc === undefined) throw new CommandError("Numeric expression missing from '<EOL>'");
    address = pc;
  } else {
    const parsed = parseAddress(text, sessionScope(session));
    if (text.slice(parsed.end).trim() !== '') {
      throw new CommandError('Extra character error', { at: args.length - text.length + parsed.end });
    }
    address = parsed.address;
  }
  const bounds = boundsOf(session, address);
  const range = rangeOf(session, bounds);
  const graph = functionGraph(session, bounds, range);
  if (graph.blocks.length === 0) throw new CommandError('No code found, aborting');
  const blocks: BlockRow[] = graph.blocks.map((block) => ({
    start: block.start,
    end: block.end,
    symbol: symbolText(session, block.start),
    instructions: block.instructions.map((i) => instructionRow(session, i)),
  }));
  if (options.has('c')) return listCalls(session, bounds.start, blocks);
  const lines: string[] = [];
  if (options.has('i')) lines.push(`${blocks.reduce((n, b) => n + b.instructions.length, 0)} instructions scanned`, '');
  const withLines = blocks.some((block) => block.instructions.some((row) => row.line !== null));
  let last: InstructionRow | undefined;
  for (const block of blocks) {
    if (lines.length > 0 && lines.at(-1) !== '') lines.push('');
    if (block.symbol !== null) lines.push(codeHeader(session, block.symbol, block.start));
    for (const row of block.instructions) {
      lines.push(...sourceRemark(row, last), instructionLine(session, row, '', withLines));
      last = row;
    }
  }
  const missing = graph.gaps.filter((gap) => gap.kind === 'unreadable' || gap.kind === 'limit');
  for (const gap of missing) {
    const where = gap.to === null ? '' : ` at ${engineAddress(gap.to, target)}`;
    const why = gap.kind === 'limit' ? 'the listing ends here' : 'its bytes are not in the dump';
    lines.push('', `*** the code${where} is missing: ${why}`);
  }
  return result(blocks, lines);
}

/** Where a call through a fixed slot, as those of imports, leads to; null where the slot is not readable or not fixed. */
function importedFunction(session: Session, address: bigint): Va | null {
  const operand = instructionAt(session, address)?.operands[0];
  if (operand?.kind !== 'memory' || operand.index !== null || !(operand.base === null || operand.ripRelative))
    return null;
  if (operand.segment === 'fs' || operand.segment === 'gs') return null;
  const memory = sessionMemory(session);
  const slot = targetAddress(operand.displacement, session.target.pointerSize);
  const value = memory.pointer(slot);
  return value === undefined || session.target.moduleAt(va(value)) === undefined ? null : va(value);
}

/** `uf /c`: the calls alone. */
function listCalls(session: Session, start: bigint, blocks: readonly BlockRow[]): CommandResult {
  const { target } = session;
  const place = (address: bigint): string =>
    `${symbolText(session, address) ?? ''} (${engineAddress(address, target)})`.trimStart();
  const lines = [place(start)];
  const rows: { readonly from: bigint; readonly to: bigint | null; readonly text: string }[] = [];
  for (const block of blocks) {
    for (const row of block.instructions) {
      if (!row.mnemonic.startsWith('call') && row.mnemonic !== 'bl' && row.mnemonic !== 'blr') continue;
      const to = row.target ?? importedFunction(session, row.address);
      const text =
        to === null ? `unresolvable call: ${`${row.mnemonic.padEnd(7)} ${row.operands}`}` : `call to ${place(to)}`;
      rows.push({ from: row.address, to, text });
      lines.push(`  ${place(row.address)}:`, `    ${text}`);
    }
  }
  return result(rows, lines);
}

export const unassembleFunction: Command = defineCommand({
  names: ['uf'],
  summary: 'disassemble a whole function, a basic block at a time',
  usage: 'uf [/c] [/i] [address]',
  fidelity:
    'Blocks in address order with header and blank line as in WinDbg. Chunks reached only through tables that cannot be read are missing; code that is not in the dump is named at the end.',
  run: listFunction,
});
