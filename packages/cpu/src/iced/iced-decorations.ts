import type { Instruction, Operand } from '../instruction.ts';
import * as glue from './iced-glue.gen.ts';
import { iced } from './iced-runtime.ts';
import { EncodingKind, MEMORY_ELEMENT_SIZES, MEMORY_SIZES, REGISTER_NAMES } from './iced-tables.gen.ts';

export interface Decorations {
  /** `{k1}{z}` on the destination, `{1to4}` on a broadcast source. */
  apply(text: string, operand: Operand, index: number): string;
  /** `,{rn-sae}` or `,{sae}`, else empty. */
  readonly rounding: string;
}

const ROUNDING = ['', ',{rn-sae}', ',{rd-sae}', ',{ru-sae}', ',{rz-sae}'];

/** The parts of an EVEX instruction that are no operands; null for every other encoding. Decodes the bytes again. */
export function decorationsOf(instruction: Instruction, pointerSize: 4 | 8): Decorations | null {
  const first = instruction.bytes[0];
  if (first !== 0x62) return null;
  const p = iced().decode(pointerSize === 4 ? 32 : 64, instruction.bytes, 0, instruction.address);
  if (!p || glue.instructionEncoding(p) !== EncodingKind.EVEX) return null;
  const mask = glue.instructionOpMask(p);
  const suffix = mask ? `{${REGISTER_NAMES[mask]}}${glue.instructionZeroingMasking(p) ? '{z}' : ''}` : '';
  const memorySize = glue.instructionMemorySize(p);
  const broadcast = glue.instructionIsBroadcast(p);
  const element = MEMORY_ELEMENT_SIZES[memorySize] ?? 0;
  const vector = instruction.operands.reduce((n, op) => (op.kind === 'register' ? Math.max(n, op.size) : n), 0);
  const count = broadcast && element ? Math.floor(vector / (MEMORY_SIZES[memorySize] || element)) : 0;
  const rounding =
    ROUNDING[glue.instructionRoundingControl(p)] || (glue.instructionSuppressAllExceptions(p) ? ',{sae}' : '');
  return {
    rounding,
    apply(text, operand, index) {
      const withMask = index === 0 ? text + suffix : text;
      return operand.kind === 'memory' && count ? `${withMask}{1to${count}}` : withMask;
    },
  };
}
