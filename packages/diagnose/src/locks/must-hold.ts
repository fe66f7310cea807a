/**
 * Is a lock held at a place in a function? Forward data flow over its graph: acquires make it held, releases end that,
 * and where paths disagree the answer is "on some paths". What a call does to the lock is asked of the caller.
 */
import type { Block, FlowGraph, Instruction } from '@dumpscope/cpu';

/** `unreadable`: what would tell is not in the dump; `unknown`: it is, and could not be followed. */
export type LockEffect = 'acquires' | 'releases' | 'none' | 'unknown' | 'unreadable';

export interface HoldState {
  /** `unclear`: acquired, and behind that a call whose code is not in the dump may have released it. */
  readonly held: 'on-all-paths' | 'on-some-paths' | 'unclear' | 'no';
  /** Acquires that reach the place without a release between. */
  readonly acquiredAt: readonly bigint[];
  /** Instructions on the way whose effect is not known: each weakens the answer. */
  readonly unknown: readonly bigint[];
  /** Those of them whose code or pointer is not in the dump. */
  readonly unreadable: readonly bigint[];
}

type Flow = 'free' | 'held' | 'mixed' | 'unclear';

const heldOf: Readonly<Record<Flow, HoldState['held']>> = {
  free: 'no',
  held: 'on-all-paths',
  mixed: 'on-some-paths',
  unclear: 'unclear',
};

/** State just before the instruction at `place` runs; null where the graph does not have it. */
export function holdAt(
  graph: FlowGraph,
  place: bigint,
  effectOf: (instruction: Instruction) => LockEffect,
): HoldState | null {
  const entry = graph.blocks.find((block) => graph.roots.includes(block.start));
  const goal = graph.blocks.find((block) => block.instructions.some((instruction) => instruction.address === place));
  if (entry === undefined || goal === undefined) return null;
  const effects = new Map<bigint, LockEffect>();
  const effect = (instruction: Instruction): LockEffect => {
    let known = effects.get(instruction.address);
    if (known === undefined) {
      known = effectOf(instruction);
      effects.set(instruction.address, known);
    }
    return known;
  };
  const before: (Flow | undefined)[] = new Array(graph.blocks.length).fill(undefined);
  const origins: Set<bigint>[] = graph.blocks.map(() => new Set<bigint>());
  before[entry.index] = 'free';
  const queue = [entry.index];
  // Each block changes its state at most three times, so this ends.
  while (queue.length > 0) {
    const index = queue.pop() ?? 0;
    const block = graph.blocks[index];
    const start = before[index];
    if (block === undefined || start === undefined) continue;
    const end = through(block.instructions, start, new Set(origins[index]), effect);
    for (const edge of block.successors) {
      const joined = join(before[edge.block], end.state);
      const target = origins[edge.block];
      const grown = target !== undefined && [...end.origins].some((origin) => !target.has(origin));
      if (grown) for (const origin of end.origins) target.add(origin);
      if (joined !== before[edge.block] || grown) {
        before[edge.block] = joined;
        queue.push(edge.block);
      }
    }
  }
  const start = before[goal.index];
  if (start === undefined) return null;
  const until = goal.instructions.slice(
    0,
    goal.instructions.findIndex((instruction) => instruction.address === place),
  );
  const at = through(until, start, new Set(origins[goal.index]), effect);
  const way = wayTo(graph, goal, place);
  const unknown = way.filter((address) => ['unknown', 'unreadable'].includes(effects.get(address) ?? 'none'));
  const unreadable = way.filter((address) => effects.get(address) === 'unreadable');
  return {
    held: heldOf[at.state],
    acquiredAt: [...at.origins],
    unknown,
    unreadable,
  };
}

/** Instructions from which the one at `place` can be reached. */
function wayTo(graph: FlowGraph, goal: Block, place: bigint): bigint[] {
  const before = new Set<number>();
  const work = [...goal.predecessors];
  for (let index = work.pop(); index !== undefined; index = work.pop()) {
    if (before.has(index)) continue;
    before.add(index);
    work.push(...(graph.blocks[index]?.predecessors ?? []));
  }
  const out = graph.blocks.flatMap((block) => (before.has(block.index) ? block.instructions : []));
  if (!before.has(goal.index)) out.push(...goal.instructions.filter((instruction) => instruction.address < place));
  return out.map((instruction) => instruction.address);
}

function through(
  instructions: readonly Instruction[],
  state: Flow,
  origins: Set<bigint>,
  effect: (instruction: Instruction) => LockEffect,
): { state: Flow; origins: Set<bigint> } {
  for (const instruction of instructions) {
    const does = effect(instruction);
    if (does === 'acquires') {
      state = 'held';
      origins = new Set([instruction.address]);
    } else if (does === 'releases') {
      state = 'free';
      origins = new Set();
    } else if (does === 'unreadable' && state !== 'free') state = 'unclear';
  }
  return { state, origins };
}

function join(a: Flow | undefined, b: Flow): Flow {
  if (a === 'unclear' || b === 'unclear') return 'unclear';
  return a === undefined || a === b ? b : 'mixed';
}
