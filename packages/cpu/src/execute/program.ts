import { type Va, va } from '@dumpscope/core';
import { decodeAt } from '../cfg/read-code.ts';
import type { CodeReader, Disassembler, Instruction } from '../instruction.ts';
import { compile } from './compile.ts';
import { nextOf } from './next.ts';
import type { Step } from './step.ts';

/** A compiled instruction with direct links to where it goes. */
export interface Node {
  readonly address: Va;
  readonly instruction: Instruction;
  readonly step: Step;
  readonly isCall: boolean;
  readonly isReturn: boolean;
  next: Node | null;
  taken: Node | null;
}

/** Distinct instructions that one program holds; a run that needs more ends with `limit`. */
const MAX_NODES = 1 << 16;

/** Instructions compiled on first use; shared between runs over the same code. */
export class Program {
  readonly is64: boolean;
  readonly #code: CodeReader;
  readonly #disassembler: Disassembler;
  readonly #nodes = new Map<bigint, Node | null>();

  constructor(code: CodeReader, disassembler: Disassembler) {
    this.#code = code;
    this.#disassembler = disassembler;
    this.is64 = disassembler.arch === 'x64';
  }

  get isFull(): boolean {
    return this.#nodes.size >= MAX_NODES;
  }

  /** The node at an address; null when its bytes cannot be read. */
  at(address: bigint): Node | null {
    const old = this.#nodes.get(address);
    if (old !== undefined) return old;
    if (this.isFull) return null;
    const instruction = decodeAt(this.#code, this.#disassembler, va(address));
    const node: Node | null = instruction && {
      address: va(address),
      instruction,
      step: compile(instruction, this.is64),
      isCall: instruction.flow === 'call' || instruction.flow === 'indirect-call',
      isReturn: instruction.flow === 'return',
      next: null,
      taken: null,
    };
    this.#nodes.set(address, node);
    return node;
  }

  following(node: Node): Node | null {
    node.next ??= this.at(nextOf(node.instruction, this.is64));
    return node.next;
  }

  target(node: Node): Node | null {
    if (node.instruction.target === null) return null;
    node.taken ??= this.at(node.instruction.target);
    return node.taken;
  }
}
