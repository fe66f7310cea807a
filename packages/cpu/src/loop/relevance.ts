import type { Va } from '@dumpscope/core';
import type { FlowGraph } from '../cfg/flow-graph.ts';
import { innerLoopBlocks, type Loop } from '../cfg/loops.ts';
import type { Relevance } from '../execute/run.ts';
import { flagBits, registerPart } from '../execute/state.ts';
import type { Instruction, MemoryOperand, Register } from '../instruction.ts';

/** Larger loops are compared as a whole: every register and flag counts. */
const MAX_INSTRUCTIONS = 600;
const MAX_BLOCKS = 200;

export interface RelevanceInput {
  readonly graph: FlowGraph;
  readonly loop: Loop;
  /** The address of a memory operand when it is the same in every iteration, else null. */
  readonly fixedAddress: (operand: MemoryOperand) => bigint | null;
  /** Calls assumed to have no effect on what decides; other calls make everything count. */
  readonly skipCall?: (target: Va | null) => boolean;
}

interface Node {
  readonly instruction: Instruction;
  readonly block: number;
  readonly predecessors: number[];
}

/**
 * What decides how the loop goes on: a backward slice from the branches that can end it, through registers, flags and
 * the stores that may reach the memory it reads. A spin counter that no exit depends on is not part of it, so that a wait
 * loop repeats its state although it counts. Null: everything counts.
 */
export function relevanceOf(input: RelevanceInput): Relevance | null {
  const { graph, loop, fixedAddress, skipCall } = input;
  if (loop.instructions.length > MAX_INSTRUCTIONS || loop.blocks.length > MAX_BLOCKS) return null;
  const nodes: Node[] = [];
  const firstOf = new Map<number, number>();
  for (const b of loop.blocks) {
    firstOf.set(b, nodes.length);
    for (const instruction of graph.blocks[b]?.instructions ?? []) {
      if (isCall(instruction)) {
        if (!skipCall?.(instruction.target)) return null;
      } else if (instruction.flow !== 'next' && instruction.flow !== 'jump' && instruction.flow !== 'conditional')
        return null;
      nodes.push({ instruction, block: b, predecessors: [] });
    }
  }
  const members = new Set(loop.blocks);
  nodes.forEach((node, i) => {
    if (firstOf.get(node.block) !== i) node.predecessors.push(i - 1);
    else
      for (const p of graph.blocks[node.block]?.predecessors ?? []) {
        const first = members.has(p) ? firstOf.get(p) : undefined;
        if (first !== undefined) node.predecessors.push(first + (graph.blocks[p]?.instructions.length ?? 1) - 1);
      }
  });
  const headerNode = nodes.findIndex((n) => n.instruction.address === loop.header);
  if (headerNode < 0) return null;

  const relevant = new Set<number>();
  const liveRegisters = new Set<Register>();
  let liveFlags = 0;
  const queried = new Set<string>();
  const pending: number[] = [];
  const add = (i: number): void => {
    if (!relevant.has(i)) {
      relevant.add(i);
      pending.push(i);
    }
  };

  /** Makes the definitions that reach a use of `name` before node `at` relevant, and notes when the header's value does. */
  const use = (at: number, name: string, isFlag: boolean): void => {
    const key = `${at} ${name}`;
    if (queried.has(key)) return;
    queried.add(key);
    const seen = new Set<number>();
    const work = [at];
    for (let n = work.pop(); n !== undefined; n = work.pop()) {
      if (n === headerNode) {
        if (isFlag) liveFlags |= flagBits(name);
        else liveRegisters.add(name);
      }
      for (const p of nodes[n]?.predecessors ?? []) {
        if (seen.has(p)) continue;
        seen.add(p);
        const instruction = nodes[p]?.instruction;
        if (!instruction) continue;
        const defines = isCall(instruction)
          ? isFlag || VOLATILE.has(name)
          : isFlag
            ? instruction.flagsWritten.includes(name) || instruction.flagsUndefined.includes(name)
            : instruction.writes.includes(name);
        if (!defines) {
          work.push(p);
          continue;
        }
        add(p);
        // A write of a part keeps the rest, and a conditional one may keep all.
        if (!isFlag && isPartial(instruction, name)) use(p, name, false);
      }
    }
  };

  const branches = relevantBranches(graph, loop, members);
  const accesses = nodes.map((n) => n.instruction.memory.map((m) => ({ ...m, fixed: fixedAddress(m.operand) })));
  const mayMeet = (a: { fixed: bigint | null; operand: MemoryOperand }, b: typeof a): boolean => {
    if (a.fixed === null || b.fixed === null) return true;
    return a.fixed < b.fixed + BigInt(b.operand.size || 16) && b.fixed < a.fixed + BigInt(a.operand.size || 16);
  };

  // Addresses and divisors decide whether an instruction faults.
  nodes.forEach((n, i) => {
    if (isCall(n.instruction)) return;
    for (const { operand } of n.instruction.memory)
      for (const name of [operand.base, operand.index])
        if (name !== null && registerPart(name)) use(i, fullName(name, graph.arch), false);
    if (n.instruction.mnemonic === 'div' || n.instruction.mnemonic === 'idiv' || n.instruction.rep !== null) add(i);
  });
  let growing = true;
  while (growing) {
    growing = false;
    for (let i = pending.pop(); i !== undefined; i = pending.pop()) {
      const instruction = nodes[i]?.instruction;
      if (!instruction || isCall(instruction)) continue;
      for (const name of instruction.reads) if (registerPart(name)) use(i, name, false);
      for (const letter of instruction.flagsRead) use(i, letter, true);
      for (const access of accesses[i] ?? []) {
        if (access.access !== 'read' && access.access !== 'read-write') continue;
        accesses.forEach((others, j) => {
          for (const other of others)
            if ((other.access === 'write' || other.access === 'read-write') && mayMeet(access, other)) add(j);
        });
      }
    }
    for (const i of branches(relevant, nodes)) {
      if (relevant.has(i)) continue;
      add(i);
      growing = true;
    }
  }
  const instructions = new Set<bigint>();
  for (const i of relevant) instructions.add(nodes[i]?.instruction.address ?? 0n);
  return { registers: [...liveRegisters], flags: liveFlags, instructions };
}

/** Registers that a call may change under both architectures' conventions. */
const VOLATILE = new Set(['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11', 'eax', 'ecx', 'edx']);

/** An assumed call: it changes the volatile registers and the flags and nothing else. */
function isCall(instruction: Instruction): boolean {
  return instruction.flow === 'call' || instruction.flow === 'indirect-call';
}

function fullName(name: Register, arch: FlowGraph['arch']): Register {
  const part = registerPart(name);
  if (!part || part.size === 8 || (part.size === 4 && arch === 'x86')) return name;
  const low = part.index < 8 ? ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'][part.index] : `${part.index}`;
  return `${arch === 'x86' ? 'e' : 'r'}${low}`;
}

function isPartial(instruction: Instruction, name: Register): boolean {
  if (instruction.reads.includes(name)) return false;
  const part = registerPart(name);
  return instruction.operands.some((op) => {
    if (op.kind !== 'register' || op.size > 2) return false;
    return registerPart(op.register)?.index === part?.index;
  });
}

/**
 * Branches that matter: those with an exit, and those where one side, before both meet again, has an exit, a relevant
 * instruction or an inner loop. Post-dominators of the loop's body, whose ends are the header and the exits.
 */
function relevantBranches(
  graph: FlowGraph,
  loop: Loop,
  members: ReadonlySet<number>,
): (relevant: ReadonlySet<number>, nodes: readonly Node[]) => number[] {
  const order = [...loop.blocks];
  const position = new Map(order.map((b, i) => [b, i]));
  const HEADER = order.length;
  const EXIT = order.length + 1;
  const { loopOf: inner } = innerLoopBlocks(graph, loop);
  const successors = order.map((b) => {
    const block = graph.blocks[b];
    const list = (block?.successors ?? []).map((e) => {
      if (graph.blocks[e.block]?.start === loop.header) return HEADER;
      return members.has(e.block) ? (position.get(e.block) ?? EXIT) : EXIT;
    });
    return block?.leaves.length ? [...list, EXIT] : list;
  });
  // postdominators[i]: bit set over order, HEADER and EXIT; the two ends are separate, so a branch between them has none.
  const all = (1n << BigInt(order.length + 2)) - 1n;
  const post: bigint[] = [...order.map(() => all), 1n << BigInt(HEADER), 1n << BigInt(EXIT)];
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = order.length - 1; i >= 0; i--) {
      let meet = all;
      for (const s of successors[i] ?? []) meet &= post[s] ?? 0n;
      const next = (successors[i]?.length ? meet : 0n) | (1n << BigInt(i));
      if (next !== post[i]) {
        post[i] = next;
        changed = true;
      }
    }
  }
  const regions = new Map<number, ReadonlySet<number> | null>();
  order.forEach((b, i) => {
    const last = graph.blocks[b]?.instructions.at(-1);
    if (last?.flow !== 'conditional') return;
    const meeting = (post[i] ?? 0n) & ~(1n << BigInt(i));
    if (meeting === 0n) {
      regions.set(i, null);
      return;
    }
    const region = new Set<number>();
    const work = [...(successors[i] ?? [])];
    for (let s = work.pop(); s !== undefined; s = work.pop()) {
      if (region.has(s) || (meeting >> BigInt(s)) & 1n) continue;
      region.add(s);
      if (s < order.length) work.push(...(successors[s] ?? []));
    }
    regions.set(i, region);
  });
  return (relevant, nodes) => {
    const blocksWithRelevant = new Set([...relevant].map((i) => nodes[i]?.block));
    const result: number[] = [];
    for (const [i, region] of regions) {
      const b = order[i] ?? -1;
      const matters =
        region === null ||
        inner.has(b) ||
        [...region].some((s) => s >= order.length || inner.has(order[s] ?? -1) || blocksWithRelevant.has(order[s]));
      if (!matters) continue;
      const at = nodes.findLastIndex((n) => n.block === b);
      if (at >= 0) result.push(at);
    }
    return result;
  };
}
