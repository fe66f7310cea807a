/** What memory an instruction touches, recomputed from captured registers. */
import type { Instruction, MemoryOperand } from '@dumpscope/cpu';
import type { Registers, Target } from '@dumpscope/debugger';

export interface OperandPart {
  readonly register: string;
  readonly scale: number;
  /** Null where the captured record does not hold the register. */
  readonly value: bigint | null;
}

export interface Access {
  readonly kind: 'read' | 'write' | 'read-write';
  readonly size: number;
  /** `rbx+10h`, in WinDbg's spelling. */
  readonly text: string;
  /** Null where a register or segment base is not known. */
  readonly address: bigint | null;
  readonly parts: readonly OperandPart[];
  /** Base and index, or the register or segment base that is missing. */
  readonly missing: string | null;
  readonly implicit: boolean;
}

const narrow: ReadonlyMap<string, string> = new Map(
  ['a', 'b', 'c', 'd'].flatMap((letter) => [
    [`${letter}l`, `r${letter}x`],
    [`${letter}h`, `r${letter}x`],
    [`${letter}x`, `r${letter}x`],
  ]),
);

/** A register by any of its names, cut to the width of the name; undefined where it was not captured. */
export function registerValue(registers: Registers, name: string): bigint | undefined {
  const { values } = registers;
  const own = values.get(name);
  if (own !== undefined) return own;
  const extended = /^(r\d+)([dwb])$/.exec(name);
  if (extended !== null) {
    const value = values.get(extended[1] ?? '');
    const bits = extended[2] === 'd' ? 32 : extended[2] === 'w' ? 16 : 8;
    return value === undefined ? undefined : BigInt.asUintN(bits, value);
  }
  if (/^e(ax|bx|cx|dx|si|di|bp|sp)$/.test(name)) {
    const value = values.get(`r${name.slice(1)}`);
    return value === undefined ? undefined : BigInt.asUintN(32, value);
  }
  const full = narrow.get(name);
  if (full !== undefined) {
    const value = values.get(full) ?? values.get(`e${full.slice(1)}`);
    if (value === undefined) return undefined;
    return name.endsWith('h') ? (value >> 8n) & 0xffn : BigInt.asUintN(name.endsWith('l') ? 8 : 16, value);
  }
  const word = /^w(\d+)$/.exec(name);
  if (word !== null) {
    const value = values.get(`x${word[1]}`);
    return value === undefined ? undefined : BigInt.asUintN(32, value);
  }
  return name === 'xzr' || name === 'wzr' ? 0n : undefined;
}

function digits(value: bigint): string {
  const text = value.toString(16);
  return value < 10n ? text : `${/^[a-f]/.test(text) ? '0' : ''}${text}h`;
}

function operandText(operand: MemoryOperand, pointerSize: number): string {
  const parts: string[] = [];
  if (operand.base !== null) parts.push(operand.base);
  if (operand.index !== null) parts.push(operand.scale === 1 ? operand.index : `${operand.index}*${operand.scale}`);
  const prefix = operand.segment === 'fs' || operand.segment === 'gs' ? `${operand.segment}:` : '';
  const d = operand.displacement;
  if (parts.length === 0) return `${prefix}${BigInt.asUintN(pointerSize * 8, d).toString(16)}`;
  return `${prefix}${parts.join('+')}${d === 0n ? '' : d < 0n ? `-${digits(-d)}` : `+${digits(d)}`}`;
}

/** Base of fs on x86 and of gs on x64 in kernel mode: the KPCR of the processor. */
function segmentBase(target: Target, segment: string, prcb: bigint | null): bigint | null {
  const own = target.arch === 'x86' ? 'fs' : 'gs';
  if (segment !== 'fs' && segment !== 'gs') return 0n;
  if (segment !== own || prcb === null) return null;
  const name = target.arch === 'x86' ? 'PrcbData' : 'Prcb';
  const offset =
    target.layouts.table.struct('_KPCR')?.fields.get(name)?.offset ?? (target.arch === 'x86' ? 0x120 : 0x180);
  return prcb - BigInt(offset);
}

/** Accesses of an instruction in the order in which it makes them; `lea` and prefetches make none. */
export function accessesOf(
  target: Target,
  registers: Registers,
  instruction: Instruction,
  prcb: bigint | null,
): readonly Access[] {
  const out: Access[] = [];
  for (const { operand, access } of instruction.memory) {
    if (access === 'none' || operand.size === 0) continue;
    const parts: OperandPart[] = [];
    for (const [register, scale] of [
      [operand.base, 1],
      [operand.index, operand.scale],
    ] as const)
      if (register !== null) parts.push({ register, scale, value: registerValue(registers, register) ?? null });
    const segment = segmentBase(target, operand.segment, prcb);
    const unknown = parts.find((part) => part.value === null)?.register ?? (segment === null ? operand.segment : null);
    const sum = parts.reduce((total, part) => total + (part.value ?? 0n) * BigInt(part.scale), operand.displacement);
    const offset = BigInt.asUintN(operand.addressSize * 8, sum);
    out.push({
      kind: access,
      size: operand.size,
      text: operandText(operand, target.pointerSize),
      address: unknown === null ? BigInt.asUintN(target.pointerSize * 8, offset + (segment ?? 0n)) : null,
      parts,
      missing: unknown,
      implicit: !instruction.operands.some(
        (own) => own.kind === 'memory' && own.base === operand.base && own.displacement === operand.displacement,
      ),
    });
  }
  return out;
}

/** Alignment that an instruction demands of its operand, on pain of a general protection fault; 1 for most (Intel SDM). */
export function alignmentOf(instruction: Instruction, size: number): number {
  const { mnemonic } = instruction;
  if (/^(movaps|movapd|movdqa|movntps|movntpd|movntdqa?|vmov(aps|apd|dqa(32|64)?|ntps|ntpd|ntdqa?))$/.test(mnemonic))
    return size;
  if (/^(fxsave|fxrstor)/.test(mnemonic) || mnemonic === 'cmpxchg16b') return 16;
  return /^(xsave|xrstor)/.test(mnemonic) ? 64 : 1;
}
