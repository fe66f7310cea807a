/** Edges of the wait graph: `from` cannot go on before `to` does something. */
import type { ThreadWait } from '@dumpscope/debugger';
import type { GraphNode } from './node.ts';

/** A read that proves an edge: turned into an item of evidence where a finding cites the edge. */
export interface EdgeProof {
  readonly claim: string;
  /** Null where the claim follows from other reads and has no bytes of its own. */
  readonly address: bigint | null;
  readonly length: number | null;
  /** The debugger's command that shows it; null for the `d*` command of the address. */
  readonly command: string | null;
  /** Field or structure: `_KMUTANT.OwnerThread`. */
  readonly source: string;
}

export type Relation =
  /** A waiter and the object of its wait. */
  | 'waits-for'
  /** An object and who holds it: all of its owners must let go. */
  | 'owned-by'
  /** A request and who is to complete or answer it. */
  | 'answered-by'
  /** An object that is signalled by the end of a thread or process. */
  | 'ends-with'
  /** A ready thread and a processor that does not let it run. */
  | 'needs-processor'
  /** A thread and the processor that runs it. */
  | 'runs-on'
  /** A processor and the spin lock, IPI or device that it polls. */
  | 'spins-on';

/** `recorded`: a field names the other end. `inferred`: found by search or by what usually holds. */
export type Certainty = 'recorded' | 'inferred';

/**
 * How several edges of one relation out of one node combine. `all`: each of them keeps the node waiting (an object with
 * several owners, WaitAll). `any`: one of them lets it go on (WaitAny, a ready thread that may run on several processors).
 */
export type Combination = 'all' | 'any';

export interface GraphEdge {
  readonly from: GraphNode;
  readonly to: GraphNode;
  readonly relation: Relation;
  readonly certainty: Certainty;
  readonly combination: Combination;
  /** How the lock is wanted or held: `exclusive`, `shared`, `owner pointer`; null where there is one way only. */
  readonly access: string | null;
  /**
   * What ends the wait without `to`. `timeout`: a timer. `retry`: a timer after which the same wait begins again
   * (executive resources), so that it ends nothing. `alertable`: an alert or a user APC. Null: nothing; `unknown`: the
   * fields that tell could not be read.
   */
  readonly escape: 'timeout' | 'retry' | 'alertable' | 'unknown' | null;
  /** Bounds on how long the wait lasts, in seconds; null for edges that are no waits. */
  readonly since: WaitAge | null;
  readonly proof: readonly EdgeProof[];
}

export interface WaitAge {
  readonly minSeconds: number;
  readonly maxSeconds: number | null;
  readonly reason: string;
}

/** Escape of an ordinary wait: any timer ends it. */
export function escapeOf(wait: ThreadWait): GraphEdge['escape'] {
  if (wait.timeout === true) return 'timeout';
  if (wait.alertable === true) return 'alertable';
  return wait.timeout === null || wait.alertable === null ? 'unknown' : null;
}
