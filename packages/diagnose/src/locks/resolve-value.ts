/**
 * The value that a register has before an instruction, from the instructions that compute it and the registers known in
 * the frame. Answers only what follows: a volatile register that nothing local defines stays unknown.
 */
import type { Block, FlowGraph, Instruction, MemoryOperand } from '@dumpscope/cpu';
import type { Registers, Target } from '@dumpscope/debugger';

export interface ResolvedValue {
  readonly value: bigint;
  /** Instructions that computed it, nearest first: the derivation that a report can show. */
  readonly steps: readonly Instruction[];
  /** `edi+1ch`: last form in terms of a register, where it has one. */
  readonly base: { readonly register: string; readonly value: bigint; readonly displacement: bigint } | null;
}

const MAX_STEPS = 24;
const MAX_BLOCKS = 8;

/** Registers that a call leaves alone (Windows x86 and x64 conventions). */
const preserved: Readonly<Record<string, ReadonlySet<string>>> = {
  x86: new Set(['ebx', 'esi', 'edi', 'ebp']),
  x64: new Set(['rbx', 'rbp', 'rsi', 'rdi', 'r12', 'r13', 'r14', 'r15']),
  arm64: new Set(['x19', 'x20', 'x21', 'x22', 'x23', 'x24', 'x25', 'x26', 'x27', 'x28', 'fp']),
};

export interface ResolveScope {
  readonly target: Target;
  readonly graph: FlowGraph;
  /** Registers of the frame at `pc`; preserved ones hold anywhere in the function between prologue and epilogue. */
  readonly frame: Registers;
}

/** Value of `register` just before `instruction` (an instruction of the graph). */
export function resolveBefore(scope: ResolveScope, instruction: Instruction, register: string): ResolvedValue | null {
  let wanted = full(scope, register);
  let offset = 0n;
  let based: ResolvedValue['base'] = null;
  const steps: Instruction[] = [];
  let cursor: Cursor | null = cursorBefore(scope.graph, instruction);
  let copy: string | null = null;
  for (let blocks = 0; cursor !== null && steps.length < MAX_STEPS; ) {
    const definition = definitionIn(scope, cursor, wanted);
    if (definition === 'clobbered') return null;
    copy ??= definition?.copy ?? null;
    if (definition === null || definition.instruction === null) {
      cursor = ++blocks > MAX_BLOCKS ? null : singlePredecessor(scope.graph, cursor.block);
      continue;
    }
    const { instruction: by, index } = definition;
    // Set once (a frame pointer, an argument kept for the whole function): the frame knows what it became.
    const kept = frameValue(scope, wanted);
    if (kept !== null) return done(scope, kept + offset, [...steps, by], based);
    copy = null;
    steps.push(by);
    const [destination, source] = by.operands;
    if (destination?.kind !== 'register' || source === undefined) return null;
    if (by.mnemonic === 'lea' && source.kind === 'memory') {
      if (source.ripRelative || source.base === null) {
        return source.index === null ? done(scope, source.displacement + offset, steps, based) : null;
      }
      if (source.index !== null) return null;
      if (source.base === 'rsp') {
        const sp = stackPointerAt(scope, by);
        return sp === null ? null : done(scope, sp + source.displacement + offset, steps, based);
      }
      offset += source.displacement;
      based ??= { register: source.base, value: 0n, displacement: source.displacement };
      wanted = full(scope, source.base);
    } else if ((by.mnemonic === 'mov' || by.mnemonic === 'movabs') && source.kind === 'immediate') {
      return done(scope, source.value + offset, steps, based);
    } else if (by.mnemonic === 'mov' && source.kind === 'register') {
      wanted = full(scope, source.register);
    } else if ((by.mnemonic === 'add' || by.mnemonic === 'sub') && source.kind === 'immediate') {
      offset += by.mnemonic === 'add' ? source.value : -source.value;
    } else if (by.mnemonic === 'mov' && source.kind === 'memory') {
      const address = operandAddress(scope, source, by);
      const loaded = address === null ? undefined : scope.target.memory.pointer(address);
      return loaded === undefined ? null : done(scope, loaded + offset, steps, based);
    } else return null;
    cursor = { block: cursor.block, index };
  }
  // Nothing in reach defines it: the frame's own value counts where the function cannot have changed it.
  const own = frameValue(scope, wanted);
  // An argument that was also put aside for the whole function (`mov rdi,rcx … add rcx,50h`): the copy still has it.
  const known = own ?? (copy === null ? null : frameValue(scope, copy));
  if (known === null) return null;
  const named = own === null ? (copy ?? wanted) : wanted;
  return done(
    scope,
    known + offset,
    steps,
    steps.length === 0 ? null : { register: named, value: known, displacement: offset },
  );
}

/**
 * RSP at an instruction of a function with a fixed frame (x64): what it is wherever the frame stands, as long as both lie
 * behind the prologue and nothing but epilogues moves it.
 */
function stackPointerAt(scope: ResolveScope, instruction: Instruction): bigint | null {
  const value = scope.frame.values.get('rsp');
  if (scope.graph.arch !== 'x64' || value === undefined) return null;
  for (const block of scope.graph.blocks) {
    const entry = scope.graph.roots.includes(block.start);
    let called = false;
    for (const [index, candidate] of block.instructions.entries()) {
      if (candidate.flow === 'call' || candidate.flow === 'indirect-call') called = true;
      else if (candidate.writes.includes('rsp') && candidate.flow !== 'return' && !isEpilogue(block, index)) {
        if (!entry || called) return null;
        const behind = (at: bigint): boolean => at < block.start || at > candidate.address;
        if (!behind(instruction.address) || !behind(scope.frame.pc)) return null;
      }
    }
  }
  return value;
}

/** Nothing follows in the block but what gives the frame back. */
function isEpilogue(block: Block, index: number): boolean {
  const rest = block.instructions.slice(index);
  const last = rest.at(-1);
  return (
    last !== undefined &&
    (last.flow === 'return' || last.flow === 'jump' || last.flow === 'indirect-jump') &&
    rest.slice(0, -1).every((instruction) => instruction.mnemonic === 'pop' || instruction.writes.includes('rsp'))
  );
}

/**
 * Address of a memory operand from constants and preserved registers of the frame, and of RSP where the instruction is
 * given; null where it needs others.
 */
export function operandAddress(scope: ResolveScope, operand: MemoryOperand, at?: Instruction): bigint | null {
  if (operand.segment === 'fs' || operand.segment === 'gs') return null;
  let address = operand.displacement;
  for (const [register, scale] of [
    [operand.base, 1],
    [operand.index, operand.scale],
  ] as const) {
    if (register === null || operand.ripRelative) continue;
    const value =
      register === 'rsp' && at !== undefined ? stackPointerAt(scope, at) : frameValue(scope, full(scope, register));
    if (value === null) return null;
    address += value * BigInt(scale);
  }
  return wrap(scope, address);
}

function frameValue(scope: ResolveScope, register: string): bigint | null {
  const value = scope.frame.values.get(register);
  if (value === undefined) return null;
  if (register === 'esp' || register === 'rsp' || register === 'sp') return null; // moves inside the function
  return preserved[scope.graph.arch]?.has(register) === true && !rewritten(scope, register) ? value : null;
}

/** True when the function writes a preserved register more than its prologue and epilogues do (set up once, pops). */
function rewritten(scope: ResolveScope, register: string): boolean {
  let assignments = 0;
  for (const block of scope.graph.blocks) {
    for (const instruction of block.instructions) {
      if (instruction.flow === 'call' || instruction.flow === 'indirect-call' || instruction.mnemonic === 'pop')
        continue;
      if (instruction.mnemonic === 'leave' || isRestore(instruction)) continue;
      if (instruction.writes.includes(register)) assignments++;
    }
  }
  return assignments > 1;
}

/** `mov rbx,[rsp+30h]` of an x64 epilogue. */
function isRestore(instruction: Instruction): boolean {
  const source = instruction.operands[1];
  return (
    instruction.mnemonic === 'mov' &&
    source?.kind === 'memory' &&
    (source.base === 'rsp' || source.base === 'r11' || source.base === 'esp')
  );
}

interface Cursor {
  readonly block: Block;
  /** Instructions before this index are still to be looked at. */
  readonly index: number;
}

/** What gives a register its value, and a preserved register that it was copied to behind that. */
type Definition =
  | { readonly instruction: Instruction; readonly index: number; readonly copy: string | null }
  | { readonly instruction: null; readonly index: number; readonly copy: string };

function cursorBefore(graph: FlowGraph, instruction: Instruction): Cursor | null {
  for (const block of graph.blocks) {
    const index = block.instructions.findIndex((candidate) => candidate.address === instruction.address);
    if (index >= 0) return { block, index };
  }
  return null;
}

function singlePredecessor(graph: FlowGraph, block: Block): Cursor | null {
  const only = block.predecessors.length === 1 ? graph.blocks[block.predecessors[0] ?? -1] : undefined;
  return only === undefined || only === block ? null : { block: only, index: only.instructions.length };
}

function definitionIn(scope: ResolveScope, cursor: Cursor, register: string): Definition | 'clobbered' | null {
  let copy: string | null = null;
  for (let index = cursor.index - 1; index >= 0; index--) {
    const instruction = cursor.block.instructions[index];
    if (instruction === undefined) continue;
    const isCall = instruction.flow === 'call' || instruction.flow === 'indirect-call';
    if (isCall) {
      if (preserved[scope.graph.arch]?.has(register) !== true && register !== 'esp' && register !== 'rsp')
        return 'clobbered';
      continue;
    }
    const [to, from] = instruction.operands;
    if (
      instruction.mnemonic === 'mov' &&
      to?.kind === 'register' &&
      from?.kind === 'register' &&
      from.register === register &&
      preserved[scope.graph.arch]?.has(to.register) === true
    )
      copy ??= to.register;
    if (instruction.writes.includes(register)) return { instruction, index, copy };
  }
  return copy === null ? null : { instruction: null, index: 0, copy };
}

function full(scope: ResolveScope, register: string): string {
  if (scope.graph.arch !== 'x64') return register;
  const match = /^(?:e([a-z]{2})|(r\d+)d)$/.exec(register);
  return match === null ? register : match[1] !== undefined ? `r${match[1]}` : (match[2] ?? register);
}

function done(
  scope: ResolveScope,
  value: bigint,
  steps: readonly Instruction[],
  base: ResolvedValue['base'],
): ResolvedValue {
  const wrapped = wrap(scope, value);
  if (base === null) return { value: wrapped, steps, base };
  const displacement = BigInt.asIntN(64, base.displacement);
  return {
    value: wrapped,
    steps,
    base: { register: base.register, value: wrap(scope, value - displacement), displacement },
  };
}

function wrap(scope: ResolveScope, value: bigint): bigint {
  return BigInt.asUintN(scope.target.pointerSize * 8, value);
}
