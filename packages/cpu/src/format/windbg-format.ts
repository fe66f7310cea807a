import { va } from '@dumpscope/core';
import { decorationsOf } from '../iced/iced-decorations.ts';
import type { ImmediateOperand, Instruction, MemoryOperand, Operand, Symbolizer } from '../instruction.ts';
import { addressText, masmConstant } from './numbers.ts';

export interface InstructionText {
  readonly mnemonic: string;
  readonly operands: string;
}

const SIZE_NAMES: Readonly<Record<number, string>> = {
  1: 'byte ptr ',
  2: 'word ptr ',
  4: 'dword ptr ',
  6: 'fword ptr ',
  8: 'qword ptr ',
  10: 'tbyte ptr ',
  16: 'xmmword ptr ',
  32: 'ymmword ptr ',
  64: 'zmmword ptr ',
};

/** Branches that never carry a size, and operands that are addresses only. */
const UNSIZED = new Set(['lea', 'invlpg', 'fxsave', 'fxrstor', 'xsave', 'xrstor', 'prefetchw', 'prefetch']);

const RENAMED: Readonly<Record<string, InstructionText>> = {
  int3: { mnemonic: 'int', operands: '3' },
  int1: { mnemonic: 'int', operands: '1' },
};

function isVector(op: Operand): boolean {
  return op.kind === 'register' && (op.register.startsWith('xmm') || op.register.startsWith('mm'));
}

function sizeName(instruction: Instruction, op: MemoryOperand): string {
  if (UNSIZED.has(instruction.mnemonic) || instruction.mnemonic.startsWith('prefetch')) return '';
  if (instruction.mnemonic === 'cmpxchg16b') return 'oword ptr ';
  // 8-byte scalars and halves of a vector are mmwords; the integer source of a conversion is not.
  if (op.size === 8 && !instruction.mnemonic.startsWith('cvtsi') && instruction.operands.some(isVector))
    return 'mmword ptr ';
  return SIZE_NAMES[op.size] ?? '';
}

/** A0–A3 and their 64-bit forms carry a bare address instead of a ModRM byte. */
function isMoffs(instruction: Instruction): boolean {
  if (instruction.mnemonic !== 'mov' || instruction.operands.length !== 2) return false;
  for (const byte of instruction.bytes) {
    if (byte >= 0xa0 && byte <= 0xa3) return true;
    const isPrefix =
      [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(byte) || (byte & 0xf0) === 0x40;
    if (!isPrefix) return false;
  }
  return false;
}

function registersText(op: MemoryOperand): string {
  const index = op.index === null ? '' : op.scale === 1 ? op.index : `${op.index}*${op.scale}`;
  return op.base === null ? index : index === '' ? op.base : `${op.base}+${index}`;
}

function segmentPrefix(instruction: Instruction, op: MemoryOperand, bare: boolean, pointerSize: 4 | 8): string {
  if (op.segment === 'fs' || op.segment === 'gs') return `${op.segment}:`;
  const isDestination = instruction.operands[0] === op;
  const stringDestination =
    op.segment === 'es' &&
    (['movs', 'stos', 'ins'].includes(instruction.mnemonic)
      ? isDestination
      : instruction.mnemonic === 'scas' || (instruction.mnemonic === 'cmps' && !isDestination));
  if (pointerSize === 8) return '';
  if (stringDestination) return 'es:';
  if (bare) return `${op.segment}:`;
  const usual = op.base === 'ebp' || op.base === 'esp' || op.base === 'bp' ? 'ss' : 'ds';
  return op.segment === usual ? '' : `${op.segment}:`;
}

function memoryText(
  instruction: Instruction,
  op: MemoryOperand,
  pointerSize: 4 | 8,
  symbolize: Symbolizer | undefined,
): string {
  const size = sizeName(instruction, op);
  const registers = registersText(op);
  const bits = op.addressSize * 8;
  const unsigned = BigInt.asUintN(bits, op.displacement);
  const plain = op.segment !== 'fs' && op.segment !== 'gs';

  if (op.ripRelative) {
    const name = plain ? symbolize?.(va(unsigned)) : undefined;
    const address = addressText(unsigned, 8);
    const prefix = plain ? '' : `${op.segment}:`;
    return name === undefined ? `${size}${prefix}[${address}]` : `${size}[${name} (${address})]`;
  }
  // A 32-bit displacement that has a name is the address of a variable or table, with or without an index.
  const addressLike = unsigned >= 0x10000n && (registers === '' || (pointerSize === 4 && op.displacement !== 0n));
  const name = plain && addressLike ? symbolize?.(va(unsigned)) : undefined;
  if (name !== undefined) {
    const address = addressText(unsigned, pointerSize);
    return registers === '' ? `${size}[${name} (${address})]` : `${size}${name} (${address})[${registers}]`;
  }
  const segment = segmentPrefix(instruction, op, registers === '', pointerSize);
  if (registers === '') {
    // The seed page shows both forms: `ds:[FFFE0080h]` for opcode A1 (all digits, no leading 0) and `ds:[0FFFE0080h]`
    // for a ModRM operand; `fs:[00000124h]` against `fs:[124h]` is the same pair.
    if (isMoffs(instruction))
      return `${size}${segment}[${unsigned
        .toString(16)
        .toUpperCase()
        .padStart(op.addressSize * 2, '0')}h]`;
    return `${size}${segment}[${masmConstant(unsigned)}]`;
  }
  const d = op.displacement;
  const displacement = d === 0n ? '' : d < 0n ? `-${masmConstant(-d)}` : `+${masmConstant(d)}`;
  return `${size}${segment}[${registers}${displacement}]`;
}

function immediateText(
  instruction: Instruction,
  op: ImmediateOperand,
  pointerSize: 4 | 8,
  symbolize: Symbolizer | undefined,
): string {
  if (symbolize && op.size === pointerSize && op.value >= 0x10000n) {
    const loads = instruction.mnemonic === 'mov' || instruction.mnemonic === 'push' || instruction.mnemonic === 'cmp';
    const name = loads ? symbolize(va(op.value)) : undefined;
    // `push    offset nt!Foo (8054a2b0)`; a constant that only happens to lie in a module stays a constant.
    if (name !== undefined && !name.includes('+')) return `offset ${name} (${addressText(op.value, pointerSize)})`;
  }
  return masmConstant(op.value);
}

function operandText(
  instruction: Instruction,
  op: Operand,
  pointerSize: 4 | 8,
  symbolize: Symbolizer | undefined,
): string {
  switch (op.kind) {
    case 'register':
      return op.register;
    case 'immediate':
      return immediateText(instruction, op, pointerSize, symbolize);
    case 'memory':
      return memoryText(instruction, op, pointerSize, symbolize);
    case 'branch': {
      const name = symbolize?.(op.target);
      const address = addressText(op.target, pointerSize);
      return name === undefined ? address : `${name} (${address})`;
    }
  }
}

function prefixOf(instruction: Instruction): string {
  if (instruction.lock) return 'lock ';
  if (instruction.rep === null) return '';
  const string = ['movs', 'cmps', 'stos', 'lods', 'scas', 'ins', 'outs'].includes(instruction.mnemonic);
  const branches =
    instruction.target !== null || instruction.flow.startsWith('indirect') || instruction.flow === 'return';
  if (instruction.rep === 'repne' && branches) return 'bnd ';
  if (string || instruction.mnemonic === 'ret') return `${instruction.rep} `;
  return '';
}

/**
 * WinDbg's text of an x86 or x64 instruction. Prefixes belong to the mnemonic column (`lock bts`, `rep movs`): rows
 * pad it to 8 and always leave one blank before the operands.
 */
export function formatX86(instruction: Instruction, pointerSize: 4 | 8, symbolize?: Symbolizer): InstructionText {
  if (!instruction.valid) return { mnemonic: '???', operands: '' };
  const { mnemonic } = instruction;
  const renamed = RENAMED[mnemonic];
  if (renamed) return renamed;
  if (mnemonic === 'nop' && instruction.length === 2 && instruction.bytes[0] === 0x66)
    return { mnemonic: 'xchg', operands: 'ax,ax' };
  const [first, second] = instruction.operands;
  if ((mnemonic === 'jmp' || mnemonic === 'call') && first?.kind === 'immediate' && second?.kind === 'immediate') {
    const digits = second.value
      .toString(16)
      .toUpperCase()
      .padStart(second.size * 2, '0');
    return { mnemonic, operands: `${first.value.toString(16).toUpperCase().padStart(4, '0')}:${digits}` };
  }
  const decorations = decorationsOf(instruction, pointerSize);
  const texts = instruction.operands.map((op, i) => {
    const text = operandText(instruction, op, pointerSize, symbolize);
    return decorations === null ? text : decorations.apply(text, op, i);
  });
  const operands = arrange(instruction, texts).join(',') + (decorations?.rounding ?? '');
  return { mnemonic: prefixOf(instruction) + mnemonic, operands };
}

/** String operands without the accumulator, and the operand order of WinDbg. */
function arrange(instruction: Instruction, texts: string[]): string[] {
  switch (instruction.mnemonic) {
    case 'stos':
      return texts.slice(0, 1);
    case 'lods':
      return texts.slice(1);
    case 'scas':
      return texts.slice(1);
    case 'xlat':
      return texts.slice(-1).map((text) => text.replace('+al', ''));
    case 'xchg':
      // The page prints `8711 xchg edx,dword ptr [ecx]`: the register of ModRM, or the accumulator of 91..97, comes first.
      return texts.toReversed();
    default:
      return texts;
  }
}
