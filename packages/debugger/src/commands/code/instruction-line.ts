import type { Va } from '@dumpscope/core';
import type { Instruction } from '@dumpscope/cpu';
import type { Registers } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { engineAddress, hexDigits } from '../format/address.ts';
import { effectiveAddress, shownOperand } from '../session/effective-address.ts';
import { symbolText } from '../session/names.ts';
import { instructionAt } from '../session/scope.ts';
import { sessionMemory } from '../session/session.ts';
import { codeHeader, sourceAt } from '../session/source-line.ts';
import { conditionHolds } from './condition.ts';

export interface InstructionRow {
  readonly address: bigint;
  /** Hex of the instruction; null where its bytes are missing. */
  readonly bytes: string | null;
  readonly mnemonic: string;
  readonly operands: string;
  readonly symbol: string | null;
  readonly target: bigint | null;
  readonly gap: string | null;
  /** `image NAME` where the bytes are not in the dump but in the matching image file; null for the dump's own. */
  readonly source: string | null;
  /** Source line by the private PDB; null without one. */
  readonly line: number | null;
}

function hexBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += hexDigits(byte, 2);
  return text;
}

function symbolizer(session: Session): (address: Va) => string | undefined {
  return (address) => symbolText(session, address) ?? undefined;
}

export function instructionRow(session: Session, instruction: Instruction): InstructionRow {
  const { target } = session;
  const { mnemonic, operands } = target.disassembler.format(instruction, symbolizer(session));
  return {
    address: instruction.address,
    // ARM64 instructions are shown as the word they are, not byte by byte.
    bytes: hexBytes(target.arch === 'arm64' ? instruction.bytes.slice().reverse() : instruction.bytes),
    mnemonic,
    operands,
    symbol: symbolText(session, instruction.address),
    target: instruction.target,
    gap: null,
    source: sourceOf(session, instruction.address),
    line: sourceAt(session, instruction.address)?.line ?? null,
  };
}

function sourceOf(session: Session, address: Va): string | null {
  const source = sessionMemory(session).sourceOf(address);
  return source === 'dump' ? null : source;
}

/** Said before the first instruction whose bytes come from elsewhere than those of the one before. */
export function sourceRemark(row: InstructionRow, last: InstructionRow | undefined): string[] {
  if (row.gap !== null || row.source === (last?.source ?? null)) return [];
  return [row.source === null ? '*** from the dump again' : `*** not in the dump, read from ${row.source}`];
}

/** A row for bytes that cannot be read or are no instruction. */
export function missingRow(
  session: Session,
  address: bigint,
  bytes: string | null,
  gap: string | null,
): InstructionRow {
  return {
    address,
    bytes,
    mnemonic: '???',
    operands: '',
    symbol: symbolText(session, address),
    target: null,
    gap,
    source: null,
    line: null,
  };
}

/**
 * `fffff804`789a115c ff15fe0e0000    call    qword ptr [Driver+0x2060 (fffff804`789a2060)]`: the bytes fill 16 columns, the
 * mnemonic 8; `.asm no_code_bytes` drops the bytes.
 */
export function instructionLine(session: Session, row: InstructionRow, suffix = '', withLine = false): string {
  const shownLine = withLine || session.asmOptions.has('source_line');
  const address = `${shownLine ? lineColumn(row) : ''}${engineAddress(row.address, session.target)}`;
  if (session.target.arch === 'arm64') return armLine(session, row, address);
  const shown = row.bytes ?? '??';
  const bytes = session.asmOptions.has('no_code_bytes') ? '' : `${shown.length >= 16 ? `${shown} ` : shown.padEnd(16)}`;
  // WinDbg keeps the mnemonic's padding only in front of operands.
  const text = row.operands === '' && suffix === '' ? row.mnemonic : `${row.mnemonic.padEnd(7)} ${row.operands}`;
  return `${address} ${bytes}${text.trimEnd()}${suffix === '' ? '' : ` ${suffix}`}`;
}

/** `   16 `: the line number before each instruction of `uf`, and of `u` after `.asm source_line`. */
function lineColumn(row: InstructionRow): string {
  return `${(row.line === null ? '' : String(row.line)).padStart(5)} `;
}

/** `fffff800`b2a14d90 d43e0000 brk         #0xF000`. */
function armLine(session: Session, row: InstructionRow, address: string): string {
  const bytes = session.asmOptions.has('no_code_bytes') ? '' : `${row.bytes ?? '????????'} `;
  return `${address} ${bytes}${row.operands === '' ? row.mnemonic : `${row.mnemonic.padEnd(11)} ${row.operands}`}`;
}

/** What stands behind the current instruction: `ds:0023:00000004=????????`, `[br=1]`; empty when there is nothing. */
export function operandValue(session: Session, instruction: Instruction, registers: Registers): string {
  const { target } = session;
  if (instruction.condition !== null && instruction.flow === 'conditional') {
    const holds = registers.flags === null ? null : conditionHolds(instruction.condition, registers.flags);
    return holds === null ? '' : `[br=${holds ? 1 : 0}]`;
  }
  const operand = shownOperand(instruction);
  const address = operand === null ? null : effectiveAddress(operand, registers);
  if (operand === null || address === null) return '';
  const selector = target.pointerSize === 4 ? `${hexDigits(registers.values.get(operand.segment) ?? 0n, 4)}:` : '';
  const size = Math.min(operand.size, 8);
  const value = readNumber(session, address, size);
  const isCall = instruction.flow === 'indirect-call' || instruction.flow === 'indirect-jump';
  const symbol = isCall && value !== null ? symbolText(session, value) : null;
  const shown = symbol !== null ? `{${symbol}}` : value === null ? '?'.repeat(size * 2) : hexDigits(value, size * 2);
  return `${operand.segment}:${selector}${engineAddress(address, target)}=${shown}`;
}

function readNumber(session: Session, address: Va, size: number): bigint | null {
  const bytes = sessionMemory(session).bytes(address, size);
  return bytes === undefined ? null : bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** Header and instruction at the current PC, as `r` and `.trap` end. */
export function currentInstructionLines(session: Session, registers: Registers): string[] {
  const symbol = symbolText(session, registers.pc);
  const header = symbol === null ? [] : [codeHeader(session, symbol, registers.pc)];
  const instruction = instructionAt(session, registers.pc);
  if (instruction === null) {
    return [...header, instructionLine(session, missingRow(session, registers.pc, null, null))];
  }
  return [
    ...header,
    instructionLine(session, instructionRow(session, instruction), operandValue(session, instruction, registers)),
  ];
}
