/** Collects what the sources say and turns the waits of threads into edges. */
import type { ThreadWait, WaitBlock } from '@dumpscope/debugger';
import type { Diagnosis } from '../engine/diagnosis.ts';
import { argument, clock, count } from '../engine/words.ts';
import { threadWaits } from '../facts/thread-waits.ts';
import { threadTimes } from '../facts/times.ts';
import type { Claim, NewEdge, WaitGraphBuilder } from './edge-source.ts';
import type { GraphNode } from './node.ts';
import { escapeOf, type GraphEdge, type WaitAge } from './wait-edge.ts';

export interface GraphLimit {
  readonly what: string;
  readonly why: string;
}

export class GraphBuilder implements WaitGraphBuilder {
  readonly diagnosis: Diagnosis;
  readonly waits: readonly ThreadWait[];
  readonly edges: GraphEdge[] = [];
  readonly limits: GraphLimit[] = [];
  /** Threads that have been given what they wait for and have not run since. */
  readonly woken: Set<bigint> = new Set<bigint>();
  readonly #byObject = new Map<bigint, { wait: ThreadWait; block: WaitBlock }[]>();
  readonly #byThread: ReadonlyMap<bigint, ThreadWait>;
  readonly #claims = new Map<WaitBlock, Claim>();
  readonly #overdue = new Set<bigint>();

  constructor(diagnosis: Diagnosis) {
    this.diagnosis = diagnosis;
    this.#byThread = diagnosis.fact(threadWaits);
    this.waits = [...this.#byThread.values()];
    for (const wait of this.waits) {
      for (const block of wait.blocks) {
        const known = this.#byObject.get(block.object);
        if (known === undefined) this.#byObject.set(block.object, [{ wait, block }]);
        else known.push({ wait, block });
      }
    }
  }

  waitsOn(object: bigint): readonly { readonly wait: ThreadWait; readonly block: WaitBlock }[] {
    return this.#byObject.get(object) ?? [];
  }

  waitOf(thread: bigint): ThreadWait | undefined {
    return this.#byThread.get(thread);
  }

  claimed(block: WaitBlock): boolean {
    return this.#claims.has(block);
  }

  claim(_wait: ThreadWait, block: WaitBlock, claim: Claim): void {
    if (!this.#claims.has(block)) this.#claims.set(block, claim);
  }

  add(edge: NewEdge): void {
    this.edges.push({ combination: 'all', access: null, escape: null, since: null, ...edge });
  }

  neverExpires(thread: bigint): void {
    this.#overdue.add(thread);
  }

  limit(what: string, why: string): void {
    this.limits.push({ what, why });
  }

  /** Edges of every wait, by its claims. A wait of which a block is satisfied in mode `any` keeps nobody. */
  waitEdges(): void {
    const { target } = this.diagnosis;
    for (const wait of this.waits) {
      const claims = wait.blocks.map((block) => this.#claims.get(block) ?? unclaimed(block));
      const over = (claim: Claim): boolean => claim.satisfied === true;
      if (claims.length > 0 && (wait.mode === 'all' ? claims.every(over) : claims.some(over))) {
        this.woken.add(wait.thread.address);
        continue;
      }
      const since = this.waitAge(wait);
      const show = `!thread ${argument(target, wait.thread.address)}`;
      const overdue = this.#overdue.has(wait.thread.address);
      const plain = escapeOf(overdue ? { ...wait, timeout: false } : wait);
      wait.blocks.forEach((block, index) => {
        const claim = claims[index];
        if (claim === undefined || claim.satisfied === true) return;
        this.add({
          from: { kind: 'thread', address: wait.thread.address },
          to: claim.to,
          relation: 'waits-for',
          certainty: claim.certainty,
          combination: !overdue && (wait.mode === 'all' || wait.mode === 'single') ? 'all' : 'any',
          access: claim.access ?? null,
          escape: claim.retries === true && (plain === 'timeout' || plain === 'unknown') ? 'retry' : plain,
          since: claim.retries === true && wait.timeout !== false ? atLeast(since) : since,
          proof: [
            {
              claim: `wait block ${argument(target, block.address)} of thread ${argument(target, wait.thread.address)} points at ${argument(target, block.object)}`,
              address: block.address,
              length: target.layouts.table.struct('_KWAIT_BLOCK')?.size ?? target.pointerSize * 6,
              command: show,
              source: '_KWAIT_BLOCK.Object',
            },
            ...claim.proof,
          ],
        });
      });
    }
  }

  /** WaitTime is a tick count: the wait began within that tick, whose length is read and not assumed. */
  private waitAge(wait: ThreadWait): WaitAge | null {
    const { ticksSinceWait, tickSeconds } = threadTimes(this.diagnosis, wait.thread);
    if (ticksSinceWait === null || tickSeconds === null) return null;
    return {
      minSeconds: Math.max(0, ticksSinceWait - 1) * tickSeconds,
      maxSeconds: (ticksSinceWait + 1) * tickSeconds,
      reason: `the wait began ${count(ticksSinceWait)} ticks of ${trim(tickSeconds * 1000)} ms = ${clock(ticksSinceWait * tickSeconds)} before the dump`,
    };
  }
}

/** The wait that WaitTime dates is the latest of many. */
function atLeast(since: WaitAge | null): WaitAge | null {
  return since === null
    ? null
    : {
        ...since,
        maxSeconds: null,
        reason: `${since.reason}; such a wait begins again every few seconds, so it may be older`,
      };
}

function unclaimed(block: WaitBlock): Claim {
  const to: GraphNode = { kind: 'object', object: 'unknown object', address: block.object };
  return { to, certainty: 'recorded', proof: [] };
}

function trim(value: number): string {
  return value.toFixed(4).replace(/\.?0+$/, '');
}
