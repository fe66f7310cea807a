import { type Va, va } from '@dumpscope/core';
import type { Processor, Target } from '../target/model.ts';
import { Structure } from './structure.ts';

/** DPCs queued to a processor. */

export interface QueuedDpc {
  readonly kind: 'normal' | 'threaded';
  readonly address: Va;
  /** KDPC.DeferredRoutine; null where it cannot be read. */
  readonly routine: Va | null;
  readonly context: bigint | null;
  /** 0 low, 1 medium, 2 high, 3 medium-high; a low one asks for no interrupt while the queue is short. */
  readonly importance: number | null;
}

/** Why a walk ended: `end` where the list says so; `not-a-dpc` at an entry whose Type is no DPC's. */
export type DpcListEnd = 'end' | 'unreadable' | 'cycle' | 'limit' | 'not-a-dpc';

/** One KDPC_DATA, or XP's list in the KPRCB itself. */
export interface DpcQueue {
  readonly kind: 'normal' | 'threaded';
  /** Address of the list head. */
  readonly head: Va;
  /** Entries in the order in which they would run. */
  readonly calls: readonly QueuedDpc[];
  readonly end: DpcListEnd;
  /** The KDPC or head at which the walk ended early; null at `end`. */
  readonly endAt: Va | null;
  /** DpcQueueDepth; null where absent or unreadable. */
  readonly depth: number | null;
  readonly depthAddress: Va | null;
  /** DpcLock is taken: an insert or a removal was under way. Null where it cannot be read. */
  readonly locked: boolean | null;
  /** ActiveDpc (8.1 on): the KDPC that runs; null where absent, 0 or unreadable. */
  readonly active: Va | null;
}

const MAX_CALLS = 4096;

/** KOBJECTS: DpcObject, ThreadedDpcObject (2003 SP1 and later). The same on every build seen. */
const DPC_OBJECT = 0x13;
const THREADED_DPC_OBJECT = 0x1a;

interface Head {
  readonly kind: DpcQueue['kind'];
  readonly head: Va;
  /** Singly linked, ends in 0; otherwise a LIST_ENTRY that ends at its head. */
  readonly single: boolean;
  /** Path of the KDPC_DATA with its dot; empty before 5.2. */
  readonly path: string;
}

/**
 * KDPC_DATA holds a LIST_ENTRY in the layouts of 7601 (x86, x64) and a single list (DpcList.ListHead) in those from 9600
 * on; 5.1.2600 keeps one list head in the KPRCB and has no threaded DPCs.
 */
function headsOf(prcb: Structure): readonly Head[] {
  const heads: Head[] = [];
  for (const [i, kind] of [
    [0, 'normal'],
    [1, 'threaded'],
  ] as const) {
    const path = `DpcData[${i}].`;
    const double = prcb.addressOf(`${path}DpcListHead`);
    const single = prcb.addressOf(`${path}DpcList.ListHead`) ?? prcb.addressOf(`${path}DpcList`);
    if (double !== undefined) heads.push({ kind, head: double, single: false, path });
    else if (single !== undefined) heads.push({ kind, head: single, single: true, path });
  }
  const old = prcb.addressOf('DpcListHead');
  if (heads.length === 0 && old !== undefined) heads.push({ kind: 'normal', head: old, single: false, path: '' });
  return heads;
}

/** Queues of a processor, the normal one first; empty where the layouts lack them. */
export function dpcQueues(target: Target, processor: Processor): readonly DpcQueue[] {
  const prcb = new Structure(target, '_KPRCB', processor.prcb);
  const link = new Structure(target, '_KDPC', 0n).field('DpcListEntry');
  if (link === undefined) return [];
  return headsOf(prcb).map((head) => {
    const walked = walk(target, head, BigInt(link.offset));
    const active = prcb.value(`${head.path}ActiveDpc`);
    const lock = prcb.value(`${head.path}DpcLock`);
    return {
      kind: head.kind,
      head: head.head,
      ...walked,
      depth: prcb.number(`${head.path}DpcQueueDepth`) ?? null,
      depthAddress: prcb.addressOf(`${head.path}DpcQueueDepth`) ?? null,
      locked: lock === undefined ? null : lock !== 0n,
      active: active === undefined || active === 0n ? null : va(active),
    };
  });
}

function walk(target: Target, { kind, head, single }: Head, link: bigint): Pick<DpcQueue, 'calls' | 'end' | 'endAt'> {
  const calls: QueuedDpc[] = [];
  const seen = new Set<bigint>();
  let from = head;
  for (let at = target.memory.pointer(head); ; at = target.memory.pointer(at)) {
    if (at === undefined) return { calls, end: 'unreadable', endAt: from };
    if (single ? at === 0n : at === head) return { calls, end: 'end', endAt: null };
    const dpc = readDpc(target, at - link, kind);
    if (seen.has(at)) return { calls, end: 'cycle', endAt: dpc.address };
    if (calls.length >= MAX_CALLS) return { calls, end: 'limit', endAt: dpc.address };
    const type = target.memory.u8(dpc.address);
    if (type === undefined) return { calls, end: 'unreadable', endAt: dpc.address };
    if (type !== DPC_OBJECT && type !== THREADED_DPC_OBJECT) return { calls, end: 'not-a-dpc', endAt: dpc.address };
    seen.add(at);
    calls.push(dpc);
    from = dpc.address;
  }
}

export function readDpc(target: Target, address: bigint, kind: QueuedDpc['kind']): QueuedDpc {
  const dpc = new Structure(target, '_KDPC', address);
  const routine = dpc.value('DeferredRoutine');
  return {
    kind,
    address: dpc.address,
    routine: routine === undefined ? null : va(routine),
    context: dpc.value('DeferredContext') ?? null,
    importance: dpc.number('Importance') ?? null,
  };
}
