/** The instructions of a loop with the captured values in place. */
import { describeGap, va } from '@dumpscope/core';
import type { Instruction, MemoryOperand } from '@dumpscope/cpu';
import type { Registers, Target } from '@dumpscope/debugger';
import { hexBytes } from '../../engine/evidence.ts';
import { address, json } from '../../engine/words.ts';
import type { LoopView } from '../../facts/loop-view.ts';
import type { SpinSite } from '../../facts/spin-sites.ts';
import type { LoopLine } from '../../report/picture.ts';

const MAX_LINES = 64;

export function loopLines(target: Target, site: SpinSite): readonly LoopLine[] {
  const { loop, waiter } = site;
  const frame = waiter.frames[loop.frameIndex];
  const registers = loop.frameIndex === 0 ? waiter.registers : (frame?.registers ?? waiter.registers);
  // The interrupted code stands at its PC, a caller in the call that ends at its return address.
  const isPc = (instruction: Instruction): boolean =>
    loop.frameIndex === 0
      ? instruction.address === waiter.registers.pc
      : instruction.address + BigInt(instruction.length) === frame?.pc;
  return instructionLines(target, around(loop.instructions, isPc), registers, isPc, loop);
}

/** Up to MAX_LINES instructions with the PC in sight; the rest of a long loop is left out, not shown as all of it. */
function around(
  instructions: readonly Instruction[],
  isPc: (instruction: Instruction) => boolean,
): readonly Instruction[] {
  if (instructions.length <= MAX_LINES) return instructions;
  const at = Math.max(0, instructions.findIndex(isPc) - MAX_LINES / 2);
  return instructions.slice(at, at + MAX_LINES);
}

export function instructionLines(
  target: Target,
  instructions: readonly Instruction[],
  registers: Registers,
  isPc: (instruction: Instruction) => boolean,
  loop: Pick<LoopView, 'exits' | 'execution'>,
): readonly LoopLine[] {
  const written = new Set(instructions.flatMap((instruction) => instruction.writes));
  return instructions.map((instruction) => {
    const text = target.disassembler.format(instruction, (at) => nameIn(target, at));
    const exit = loop.exits.find((candidate) => candidate.branch === instruction.address);
    const pc = isPc(instruction);
    const notes = instruction.memory
      .filter(({ access }) => access !== 'none')
      .map(({ operand, access }) => {
        // A register that the loop changes has its captured value only where the processor stands.
        const known =
          pc || ![operand.base, operand.index].some((register) => register !== null && written.has(register));
        return known ? cellNote(target, operand, access, registers, loop) : null;
      });
    if (exit !== undefined) notes.push(`${exit.condition}: ${takenText(exit.taken, loop.execution.end === 'cycle')}`);
    const kept = notes.filter((note) => note !== null);
    return {
      address: json(instruction.address) ?? '',
      bytes: hexBytes(instruction.bytes),
      text: `${text.mnemonic} ${text.operands}`.trim(),
      isPc: pc,
      isExit: exit !== undefined,
      target: json(instruction.target),
      note: kept.length === 0 ? null : kept.join('; '),
    };
  });
}

function takenText(taken: boolean | null, cycle: boolean): string {
  if (taken !== null) return `${taken ? 'taken' : 'not taken'} with the captured values`;
  return cycle
    ? 'never taken when executed from the captured state'
    : 'taken or not cannot be told with the captured values';
}

function nameIn(target: Target, at: bigint): string | undefined {
  const name = target.nameOf(at);
  return name.module === null ? undefined : name.text;
}

/** `[a07be204] holds 831dabf5, bit 0 set`; null where the address needs a register or a segment that is not known. */
function cellNote(
  target: Target,
  operand: MemoryOperand,
  access: 'read' | 'write' | 'read-write' | 'none',
  registers: Registers,
  loop: Pick<LoopView, 'exits'>,
): string | null {
  const at = effective(target, operand, registers);
  // Stack slots of pushes, pops, calls and returns say nothing of the wait.
  if (at === null || operand.size < 1 || operand.size > 8 || (operand.size & (operand.size - 1)) !== 0) return null;
  const name = `[${address(target, at)}]`;
  if (access === 'write') return `writes ${name}`;
  const gap = target.memory.gap(at, operand.size);
  if (gap !== null) return `${name}: ${describeGap(gap)}`;
  const value = read(target, at, operand.size);
  if (value === null) return null;
  const mask = loop.exits.flatMap((exit) => exit.cells).find((cell) => cell.address === at)?.mask ?? null;
  const bit = mask !== null && mask > 0n && (mask & (mask - 1n)) === 0n ? mask.toString(2).length - 1 : null;
  const digits = value < 0x1_0000n ? value.toString(16) : value.toString(16).padStart(operand.size * 2, '0');
  return `${name} holds ${digits}${bit === null ? '' : `, bit ${bit} ${((value >> BigInt(bit)) & 1n) === 1n ? 'set' : 'clear'}`}`;
}

function effective(target: Target, operand: MemoryOperand, registers: Registers): bigint | null {
  if (operand.segment === 'fs' || operand.segment === 'gs') return null;
  if (operand.base === 'esp' || operand.base === 'rsp' || operand.base === 'sp') return null;
  let sum = operand.displacement;
  for (const [register, scale] of [
    [operand.base, 1n],
    [operand.index, BigInt(operand.scale)],
  ] as const) {
    if (register === null) continue;
    const value = registers.values.get(register);
    if (value === undefined) return null;
    sum += value * scale;
  }
  return BigInt.asUintN(target.pointerSize * 8, sum);
}

function read(target: Target, at: bigint, size: number): bigint | null {
  const bytes = target.memory.bytes(va(at), size);
  if (bytes === undefined) return null;
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] ?? 0);
  return value;
}

/**
 * Decodes from the PC to the back edge at `last`, as far as the bytes are there: what is captured of a loop whose
 * beginning is not in the dump. `exit` says what the back edge depends on.
 */
export function linesToBackEdge(
  target: Target,
  registers: Registers,
  last: bigint,
  exit: { readonly condition: string; readonly reads: string | null; readonly value: string | null } | null,
): readonly LoopLine[] {
  const instructions: Instruction[] = [];
  let at: bigint = registers.pc;
  while (at <= last && instructions.length < MAX_LINES) {
    const bytes = target.memory.prefix(at, target.disassembler.maxLength);
    const instruction = bytes.length === 0 ? null : target.disassembler.decode(bytes, 0, va(at));
    if (instruction === null || !instruction.valid) break;
    instructions.push(instruction);
    at += BigInt(instruction.length);
  }
  const lines = instructionLines(target, instructions, registers, (i) => i.address === registers.pc, {
    exits: [],
    execution: { end: 'unknown', iterations: null, assumesCalls: false, text: '' },
  });
  return lines.map((line) => {
    if (line.address !== json(last)) return line;
    const cell =
      exit?.reads == null
        ? ''
        : `; [${address(target, BigInt(exit.reads))}] ${exit.value === null ? 'is not in the dump' : `holds ${exit.value}`}`;
    return { ...line, isExit: true, note: exit === null ? 'back edge' : `back edge, ${exit.condition}${cell}` };
  });
}
