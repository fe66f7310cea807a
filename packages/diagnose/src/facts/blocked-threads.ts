/**
 * Threads that wait long inside a driver or for a device: in kernel mode, for no lock, not by design. Locks are left to the
 * wait chain, idle workers to passive-thread, and what user mode waits for is its own choice.
 */
import { bottomDevice, driverOfDevice, type Frame, type Module } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import type { GraphEdge } from '../waits/wait-edge.ts';
import { waitGraph } from '../waits/wait-graph.ts';
import { demandWaits } from './demand-waits.ts';
import { ownedWait } from './owned-waits.ts';
import { passiveThreads } from './passive-threads.ts';
import { type WaitStack, waitStack } from './wait-stacks.ts';
import { type WaitingThread, waitingThreads } from './waiting-threads.ts';

export type BlockedKind = 'software' | 'hardware' | 'timeout';

export interface Device {
  readonly address: bigint;
  readonly driver: Module | null;
  /** `\Driver\disk`; null where it could not be read. */
  readonly name: string | null;
  /** A device of the Plug and Play tree is at the bottom of its stack; null where that could not be read. */
  readonly enumerated: boolean | null;
  /** From the wait over the request to the device. */
  readonly edges: readonly GraphEdge[];
}

export interface BlockedThread extends WaitingThread {
  readonly seconds: number;
  readonly kind: BlockedKind;
  /** The driver that has the request, else the module just above the wait. */
  readonly module: Module | null;
  readonly caller: Frame | null;
  readonly stack: WaitStack | null;
  readonly device: Device | null;
  /** It is being terminated and cannot end before the wait does. */
  readonly dying: boolean;
}

/** Nothing that is well keeps a thread in the kernel for so long without a time-out. */
const MIN_SECONDS = 60;
/** A thread that is to end should have done so at once. */
const MIN_DYING_SECONDS = 10;
const DELAYS: ReadonlySet<number> = new Set([4, 11]);
const IO_HOPS = 4;

export const blockedThreads: FactKey<readonly BlockedThread[]> = defineFact(
  'blocked threads',
  (diagnosis: Diagnosis) => {
    const passive = diagnosis.fact(passiveThreads);
    const found: BlockedThread[] = [];
    const timed = diagnosis
      .fact(waitingThreads)
      .filter(
        ({ thread, wait }) =>
          (wait.timeout === true || DELAYS.has(thread.waitReason ?? -1)) && !passive.has(thread.address),
      );
    for (const [kind, waits] of [
      ['software', diagnosis.fact(demandWaits)],
      ['timeout', timed],
    ] as const) {
      // Oldest first: stacks are walked for so many threads only.
      const old = waits
        .filter(({ seconds, wait }) => seconds !== null && seconds >= MIN_DYING_SECONDS && wait.userMode === false)
        .sort((a, b) => (b.ticks ?? 0) - (a.ticks ?? 0));
      for (const waiting of old) {
        const blocked = blockedIn(diagnosis, waiting, kind);
        if (blocked !== null) found.push(blocked);
      }
    }
    return found;
  },
);

function blockedIn(diagnosis: Diagnosis, waiting: WaitingThread, kind: BlockedKind): BlockedThread | null {
  const { target } = diagnosis;
  const { thread, wait, seconds } = waiting;
  // Terminated is a bit of ETHREAD's cross-thread flags: set by whoever terminates it.
  const dying = thread.field('Terminated') === 1n;
  if (
    seconds === null ||
    (seconds < MIN_SECONDS && !dying) ||
    ownedWait(diagnosis, thread.address) !== null ||
    wait.alertable === true
  )
    return null;
  const device = kind === 'timeout' ? null : deviceOf(diagnosis, waiting);
  const stack = waitStack(diagnosis, thread);
  const caller = stack?.caller ?? null;
  const above = caller === null ? null : (target.moduleAt(caller.pc) ?? null);
  const module = device?.driver ?? above;
  // Neither a driver on the stack nor a device that has the request: the kernel waits for itself.
  if (module === null && device === null) return null;
  return {
    ...waiting,
    seconds,
    kind: device?.enumerated === true ? 'hardware' : kind,
    module,
    caller,
    stack,
    device,
    dying,
  };
}

/** The device whose driver has the request that the thread waits for, by the wait graph: object, IRP, device. */
function deviceOf(diagnosis: Diagnosis, { thread }: WaitingThread): Device | null {
  const { target } = diagnosis;
  const graph = diagnosis.fact(waitGraph);
  let vertex = graph.vertex({ kind: 'thread', address: thread.address });
  const edges: GraphEdge[] = [];
  for (let hop = 0; hop < IO_HOPS && vertex !== undefined; hop++) {
    const next: GraphEdge | undefined = vertex.out.find(
      ({ relation }) => relation === (hop === 0 ? 'waits-for' : 'answered-by'),
    );
    if (next === undefined) return null;
    edges.push(next);
    if (next.to.kind === 'device') {
      const { address } = next.to;
      const driver = driverOfDevice(target, address);
      const bottom = bottomDevice(target, address);
      return {
        address,
        driver: driver?.start == null ? null : (target.moduleAt(driver.start) ?? null),
        name: driver?.name ?? null,
        enumerated: bottom === null ? null : bottom.node !== null,
        edges,
      };
    }
    vertex = graph.vertex(next.to);
  }
  return null;
}
