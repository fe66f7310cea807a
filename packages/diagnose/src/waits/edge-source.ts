/**
 * The port through which a kind of lock, object or request enters the wait graph: a file under sources/ with one
 * EdgeSource, and a line in sources.ts.
 *
 * A source does two things, either alone or both. It claims waits: a thread's wait block points at a dispatcher object,
 * and the source knows which lock that object is part of (the event of an executive resource, the gate of a guarded
 * mutex, the event of a wait block on a stack). And it adds edges: who owns an object, who is to answer a request, what
 * else waits without any wait block.
 *
 * Sources run once, in the order of sources.ts. The first claim of a wait block counts: those of locks come before those
 * of bare dispatcher objects. What nobody claims becomes an `unknown object`.
 */
import type { ThreadWait, WaitBlock } from '@dumpscope/debugger';
import type { Diagnosis } from '../engine/diagnosis.ts';
import type { GraphNode } from './node.ts';
import type { Certainty, EdgeProof, GraphEdge } from './wait-edge.ts';

export interface Claim {
  /** What the thread really waits for. */
  readonly to: GraphNode;
  readonly certainty: Certainty;
  readonly access?: string | null;
  /** The lock's own code waits again when its timer expires. */
  readonly retries?: boolean;
  /** The object does not keep this thread: it owns the mutant already, the object is signalled. No edge is made. */
  readonly satisfied?: boolean;
  readonly proof: readonly EdgeProof[];
}

/** An edge as a source gives it: `all`, no access, nothing that ends it and no age where it says nothing else. */
export type NewEdge = Omit<GraphEdge, 'combination' | 'access' | 'escape' | 'since'> &
  Partial<Pick<GraphEdge, 'combination' | 'access' | 'escape' | 'since'>>;

export interface WaitGraphBuilder {
  readonly diagnosis: Diagnosis;
  /** Waits of all threads in state Waiting; threads whose wait blocks cannot be read have none. */
  readonly waits: readonly ThreadWait[];
  /** Waits by the dispatcher object that a wait block points at. */
  waitsOn(object: bigint): readonly { readonly wait: ThreadWait; readonly block: WaitBlock }[];
  waitOf(thread: bigint): ThreadWait | undefined;
  /** Whether a block has been claimed already. */
  claimed(block: WaitBlock): boolean;
  claim(wait: ThreadWait, block: WaitBlock, claim: Claim): void;
  add(edge: NewEdge): void;
  /** The thread's own timer is overdue and nobody expires it: its time limit ends no wait. */
  neverExpires(thread: bigint): void;
  /** What a source could not read, and what that hides: weakens findings that rest on the absence of an owner. */
  limit(what: string, why: string): void;
}

export interface EdgeSource {
  /** `executive-resource`, `mutant`. */
  readonly id: string;
  run(builder: WaitGraphBuilder): void;
}

export function defineEdgeSource(source: EdgeSource): EdgeSource {
  return source;
}
