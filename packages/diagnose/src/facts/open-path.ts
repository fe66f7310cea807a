/**
 * Straight-line code from an interrupted PC to the conditional branch that goes back to where samples were taken, when
 * the rest of the loop is not in the dump: the back edge, and the cell that decides it.
 */
import { buildGraph, type FlowGraph, type Instruction } from '@dumpscope/cpu';
import type { Registers, Target } from '@dumpscope/debugger';
import { resolveBefore } from '../locks/resolve-value.ts';

export interface OpenPath {
  /** Code bytes that are there from the PC on. */
  readonly length: number;
  readonly backEdge: { readonly address: bigint; readonly target: bigint; readonly text: string };
  /** `taken while bit 50 of [rdx*16+rax] is clear`. */
  readonly condition: string;
  /** `bit 50 of [rdx*16+rax] is clear`. */
  readonly conditionHolds: string;
  readonly cell: { readonly address: bigint; readonly size: number; readonly value: bigint | null } | null;
}

const MAX_INSTRUCTIONS = 64;
const MAX_CODE = 0x1000;

/** Null where the code at the PC is missing or no backward branch to at most `low` lies on the way. */
export function openPath(target: Target, registers: Registers, low: bigint): OpenPath | null {
  const length = target.memory.prefix(registers.pc, MAX_CODE).length;
  if (length === 0 || target.arch === 'arm64') return null;
  const graph = buildGraph(target.code, target.disassembler, {
    roots: [registers.pc],
    fromEntry: false,
    maxInstructions: 256,
  });
  const back = backwardBranch(graph, registers.pc, low);
  if (back === null) return null;
  const text = target.disassembler.format(back, (address) => rvaName(target, address));
  const edge = { address: back.address, target: back.target ?? low, text: `${text.mnemonic} ${text.operands}` };
  const tested = testedCell(target, graph, registers, back);
  const holds =
    tested === null
      ? `its condition (${back.condition ?? '?'}) holds`
      : `${tested.what} is ${back.condition === 'e' ? 'clear' : 'set'}`;
  return {
    length,
    backEdge: edge,
    condition: `taken while ${holds}`,
    conditionHolds: holds,
    cell: tested?.cell ?? null,
  };
}

/** First conditional branch on the fall-through path from the PC that goes back to or below the lowest sample. */
function backwardBranch(graph: FlowGraph, pc: bigint, low: bigint): Instruction | null {
  let block = graph.blocks.find((candidate) => candidate.start === pc);
  for (let n = 0; block !== undefined && n < MAX_INSTRUCTIONS; n++) {
    const last: Instruction | undefined = block.instructions.at(-1);
    if (
      last?.flow === 'conditional' &&
      last.target !== null &&
      last.target <= pc &&
      last.target >= low - 0x10n &&
      last.target <= low + 0x1000n
    )
      return last;
    if (last?.flow === 'jump' && last.target !== null && last.target <= pc && last.target >= low) return last;
    const next: number | undefined = block.successors.find((edge) => edge.kind === 'next')?.block;
    block = next === undefined ? undefined : graph.blocks[next];
  }
  return null;
}

/** The cell and bits that a `test`+je/jne pair looks at, evaluated from the captured registers. */
function testedCell(
  target: Target,
  graph: FlowGraph,
  registers: Registers,
  branch: Instruction,
): { what: string; cell: OpenPath['cell'] } | null {
  if (branch.condition !== 'e' && branch.condition !== 'ne') return null;
  const block = graph.blocks.find((candidate) => candidate.instructions.includes(branch));
  const index = block?.instructions.indexOf(branch) ?? -1;
  const setter = block?.instructions
    .slice(0, index)
    .findLast((instruction) => instruction.flagsWritten !== '' || instruction.flagsUndefined !== '');
  if (block === undefined || setter?.mnemonic !== 'test') return null;
  const scope = { target, graph, frame: registers };
  let mask: bigint | null = null;
  let load: Instruction | null = null;
  let size = 0;
  for (const operand of setter.operands) {
    if (operand.kind === 'immediate') mask = operand.value;
    else if (operand.kind === 'memory') {
      load = setter;
      size = operand.size;
    } else if (operand.kind === 'register') {
      const definition = definitionOf(block.instructions, block.instructions.indexOf(setter), operand.register);
      if (definition?.operands[1]?.kind === 'memory' && definition.mnemonic === 'mov') {
        load = definition;
        size = definition.operands[1].size;
      } else mask = resolveBefore(scope, setter, operand.register)?.value ?? mask;
    }
  }
  const memory = load?.operands.find((operand) => operand.kind === 'memory');
  if (load === null || memory?.kind !== 'memory' || mask === null) return null;
  const at = block.instructions.indexOf(load);
  const parts: Traced[] = [];
  for (const [register, scale] of [
    [memory.base, 1],
    [memory.index, memory.scale],
  ] as const) {
    if (register === null) continue;
    const part = trace(registers, block.instructions, at, register);
    parts.push(
      scale === 1
        ? part
        : { text: `${part.text}*${scale}`, value: part.value === null ? null : part.value * BigInt(scale) },
    );
  }
  const offset = memory.displacement;
  const displacement =
    offset === 0n ? '' : `${offset < 0n ? '-' : '+'}${(offset < 0n ? -offset : offset).toString(16)}`;
  const where = `[${parts.map((part) => part.text).join('+')}${displacement}]`;
  const bit = singleBit(mask);
  const sum = parts.reduce<bigint | null>(
    (total, part) => (total === null || part.value === null ? null : total + part.value),
    offset,
  );
  const address = sum === null ? null : BigInt.asUintN(target.pointerSize * 8, sum);
  const value =
    address === null ? null : size === 8 ? (target.memory.u64(address) ?? null) : toBig(target.memory.u32(address));
  return {
    what: `${bit === null ? `mask ${mask.toString(16)}` : `bit ${bit}`} of ${where}`,
    cell: address === null ? null : { address, size, value },
  };
}

interface Traced {
  /** `rdx*16` for `shl rdx,4`. */
  readonly text: string;
  readonly value: bigint | null;
}

/** What a register is before `instructions[before]` in terms of the interrupted context: shifts and copies followed back. */
function trace(registers: Registers, instructions: readonly Instruction[], before: number, register: string): Traced {
  let index = before;
  let name = register;
  let shift = 0n;
  for (let n = 0; n < MAX_INSTRUCTIONS; n++) {
    const definition = definitionOf(instructions, index, name);
    if (definition === null) break;
    const source = definition.operands[1];
    if (definition.mnemonic === 'shl' && source?.kind === 'immediate') shift += source.value;
    else if (definition.mnemonic === 'mov' && source?.kind === 'register') name = source.register;
    else return { text: name, value: null };
    index = instructions.indexOf(definition);
  }
  const captured = registers.values.get(name);
  return {
    text: shift === 0n ? name : `${name}*${1n << shift}`,
    value: captured === undefined ? null : BigInt.asUintN(64, captured << shift),
  };
}

function definitionOf(instructions: readonly Instruction[], before: number, register: string): Instruction | null {
  for (let i = before - 1; i >= 0; i--) {
    const instruction = instructions[i];
    if (instruction?.writes.includes(register)) return instruction;
  }
  return null;
}

function singleBit(mask: bigint): number | null {
  return mask > 0n && (mask & (mask - 1n)) === 0n ? mask.toString(2).length - 1 : null;
}

function toBig(value: number | undefined): bigint | null {
  return value === undefined ? null : BigInt(value);
}

function rvaName(target: Target, address: bigint): string | undefined {
  const module = target.moduleAt(address);
  return module === undefined ? undefined : `${module.name}+${(address - module.base).toString(16)}`;
}
