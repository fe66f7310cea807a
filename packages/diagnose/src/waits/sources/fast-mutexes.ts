/**
 * Fast and guarded mutexes. The waiter's object is the event or gate inside, so the mutex around it is recognised: by the
 * wait reason of the thread (Vista and later), or, where the reason says nothing (XP, drivers with their own wait), by
 * everything that must hold at once. An event with a pointer to a thread before it is not enough.
 */
import {
  type FastMutex,
  fastMutexAround,
  OBJECT_TYPE,
  Structure,
  type Target,
  THREAD_STATE,
  type ThreadWait,
  WAIT_REASON,
  type WaitBlock,
} from '@dumpscope/debugger';
import { argument, plural } from '../../engine/words.ts';
import { listedThreads } from '../../facts/listed-threads.ts';
import { lockEntryIndex } from '../../facts/lock-entry-index.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import type { Certainty, EdgeProof } from '../wait-edge.ts';

/** APC_LEVEL: a fast mutex raises to it and keeps the level before. */
const APC_LEVEL = 1;

export const fastMutexes: EdgeSource = defineEdgeSource({
  id: 'fast-mutex',
  run(builder: WaitGraphBuilder): void {
    const known = new Map<bigint, Recognised | null>();
    const threads = builder.diagnosis.fact(listedThreads);
    for (const wait of builder.waits) {
      const [block] = wait.blocks;
      if (block === undefined || wait.blocks.length !== 1 || builder.claimed(block)) continue;
      if (block.type !== OBJECT_TYPE.synchronizationEvent && block.type !== OBJECT_TYPE.gate) continue;
      let found = known.get(block.object);
      if (found === undefined) {
        found = recognise(builder, block, threads);
        known.set(block.object, found);
        if (found !== null) addOwner(builder, found);
      }
      if (found !== null) claim(builder, wait, block, found);
    }
  },
});

interface Recognised {
  readonly mutex: FastMutex;
  readonly node: GraphNode;
  /** `recorded`: a waiter's reason names the kind of lock. `inferred`: its fields fit. */
  readonly certainty: Certainty;
  readonly how: string;
}

function recognise(builder: WaitGraphBuilder, block: WaitBlock, threads: ReadonlySet<bigint>): Recognised | null {
  const { target } = builder.diagnosis;
  const mutex = fastMutexAround(target, block.object);
  if (mutex === null || mutex.waiters === null || (mutex.signalState ?? 1) !== 0) return null;
  const node: GraphNode = { kind: 'object', object: mutex.kind, address: mutex.address };
  const waits = builder.waitsOn(block.object);
  const reasons = new Set(waits.map(({ wait }) => wait.reason));
  const named = reasons.has(WAIT_REASON.fastMutex) || reasons.has(WAIT_REASON.guardedMutex);
  if (named) {
    const reason = reasons.has(WAIT_REASON.fastMutex) ? 'WrFastMutex' : 'WrGuardedMutex';
    return { mutex, node, certainty: 'recorded', how: `the wait reason is ${reason}` };
  }
  // A gate or event of something else: only all of this together makes a mutex of it.
  const size = new Structure(target, '_DISPATCHER_HEADER', block.object).number('Size');
  const event = (target.layouts.table.struct('_KEVENT')?.size ?? 0) / 4;
  if (size !== event || mutex.waiters !== waits.length || mutex.contention < waits.length) return null;
  if (!threads.has(mutex.owner) || !isThread(target, mutex.owner)) return null;
  if (mutex.kind === 'fast mutex' && (mutex.oldIrql === null || mutex.oldIrql > APC_LEVEL)) return null;
  return {
    mutex,
    node,
    certainty: 'inferred',
    how: `Count, Owner, Contention and OldIrql before and behind the event fit together: ${plural(mutex.waiters, 'waiter')} counted and found`,
  };
}

/** KTHREAD.Header.Type of an owner that is a thread. */
function isThread(target: Target, address: bigint): boolean {
  const type = new Structure(target, '_DISPATCHER_HEADER', address).number('Type');
  return type !== undefined && (type & 0x7f) === OBJECT_TYPE.thread;
}

function claim(builder: WaitGraphBuilder, wait: ThreadWait, block: WaitBlock, found: Recognised): void {
  const { target } = builder.diagnosis;
  const { mutex } = found;
  builder.claim(wait, block, {
    to: found.node,
    certainty: found.certainty,
    proof: [
      {
        claim: `${argument(target, block.object)} is the ${mutex.kind === 'fast mutex' ? 'event' : 'gate'} of ${mutex.kind} ${argument(target, mutex.address)} (${found.how}): Count ${mutex.count.toString(16)}, Contention ${mutex.contention}`,
        address: mutex.address,
        length: mutex.size,
        command: `dt nt!${mutex.type} ${argument(target, mutex.address)}`,
        source: mutex.type,
      },
    ],
  });
}

function addOwner(builder: WaitGraphBuilder, found: Recognised): void {
  const { target } = builder.diagnosis;
  const { mutex } = found;
  const at = new Structure(target, mutex.type, mutex.address).addressOf('Owner') ?? null;
  const which = `${mutex.kind} ${argument(target, mutex.address)}`;
  if (mutex.owner === 0n) {
    builder.limit(`the owner of ${which}`, 'its Owner field is 0 although its count says that it is held');
    return;
  }
  const thread = target.thread(mutex.owner);
  const gone = !isThread(target, mutex.owner) || thread?.state === THREAD_STATE.terminated;
  const text = argument(target, mutex.owner);
  builder.add({
    from: found.node,
    to: { kind: 'thread', address: mutex.owner },
    relation: 'owned-by',
    certainty: found.certainty,
    proof: [
      {
        claim: `Owner of ${which} is thread ${text}${gone ? ', which has ended without letting go' : ''}`,
        address: at,
        length: target.pointerSize,
        command: null,
        source: `${mutex.type}.Owner`,
      },
      ...entryProof(builder, mutex),
    ],
  });
}

/** The owner's lock entry names a fast mutex too, from 8.1 on. */
function entryProof(builder: WaitGraphBuilder, mutex: FastMutex): EdgeProof[] {
  const { target } = builder.diagnosis;
  const entries = builder.diagnosis.fact(lockEntryIndex)?.ofThread(mutex.owner) ?? [];
  return entries
    .filter((entry) => entry.lock === mutex.address && entry.acquired)
    .map((entry) => ({
      claim: `lock entry ${argument(target, entry.address)} of thread ${argument(target, mutex.owner)} has acquired ${argument(target, mutex.address)} too`,
      address: entry.proof.address,
      length: entry.proof.length,
      command: `dt nt!_KLOCK_ENTRY ${argument(target, entry.address)}`,
      source: '_KLOCK_ENTRY',
    }));
}
