/**
 * What waits for a processor that does not come to run its DPCs: the queue itself, the device objects whose DPC is in it,
 * and the timers of its table that are overdue, so that a wait with a time limit does not end by that limit.
 */
import type { Processor } from '@dumpscope/debugger';
import { argument, clock, plural } from '../../engine/words.ts';
import { currentIrpOf, deviceOfDpc } from '../../facts/dpc-device.ts';
import { type DpcState, dpcStates, heldBy } from '../../facts/dpc-state.ts';
import { lateTimers } from '../../facts/late-timers.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import type { EdgeProof } from '../wait-edge.ts';

export const dpcQueueSource: EdgeSource = defineEdgeSource({
  id: 'dpc-queue',
  run(builder: WaitGraphBuilder): void {
    for (const state of builder.diagnosis.fact(dpcStates)) {
      const held = heldBy(builder.diagnosis, state);
      if (held === null) continue;
      const why: EdgeProof = {
        claim: `processor ${state.processor.number} ${held.why}`,
        address: held.at?.address ?? null,
        length: held.at?.size ?? null,
        command: null,
        source: '_KPRCB',
      };
      addQueues(builder, state, why);
      addTimers(builder, state.processor, why);
    }
  },
});

function addQueues(builder: WaitGraphBuilder, { processor, queues }: DpcState, why: EdgeProof): void {
  const { target } = builder.diagnosis;
  for (const queue of queues) {
    if (queue.calls.length === 0 && (queue.depth ?? 0) === 0) continue;
    const node: GraphNode = { kind: 'object', object: 'DPC queue', address: queue.head };
    add(builder, node, processor, [
      {
        claim: `${plural(queue.depth ?? queue.calls.length, 'DPC')} queued to processor ${processor.number}`,
        address: queue.depthAddress,
        length: queue.depthAddress === null ? null : 4,
        command: `!dpcs ${processor.number.toString(16)}`,
        source: '_KDPC_DATA.DpcQueueDepth',
      },
      why,
    ]);
    for (const dpc of queue.calls) {
      const device = deviceOfDpc(target, dpc.address);
      const irp = device === null ? null : currentIrpOf(target, device);
      if (device === null || irp === null) continue;
      builder.add({
        from: { kind: 'object', object: 'IRP', address: irp.value },
        to: node,
        relation: 'answered-by',
        certainty: 'inferred',
        proof: [
          {
            claim: `the queued DPC ${argument(target, dpc.address)} is that of device ${argument(target, device)}, whose current IRP is ${argument(target, irp.value)}`,
            address: irp.address,
            length: target.pointerSize,
            command: `!devobj ${argument(target, device)}`,
            source: '_DEVICE_OBJECT.Dpc, CurrentIrp',
          },
        ],
      });
    }
  }
}

function addTimers(builder: WaitGraphBuilder, processor: Processor, why: EdgeProof): void {
  const { target } = builder.diagnosis;
  const late = lateTimers(builder.diagnosis, processor);
  if (late === null) return;
  for (const timer of late.timers) {
    if (timer.waiters.length === 0) continue;
    for (const thread of timer.waiters) ownTimer(builder, thread, timer.address);
    add(builder, { kind: 'object', object: 'timer', address: timer.address }, processor, [
      {
        claim: `the timer ${argument(target, timer.address)} is in the table of processor ${processor.number} and ${clock(Number(late.now - timer.due) / 1e7)} late`,
        address: timer.address,
        length: target.layouts.table.struct('_KTIMER')?.size ?? 0x28,
        command: `dt nt!_KTIMER ${argument(target, timer.address)}`,
        source: '_KTIMER.DueTime, KPRCB.TimerTable',
      },
      why,
    ]);
  }
}

function add(builder: WaitGraphBuilder, from: GraphNode, processor: Processor, proof: readonly EdgeProof[]): void {
  builder.add({
    from,
    to: { kind: 'processor', number: processor.number },
    relation: 'answered-by',
    certainty: 'recorded',
    proof,
  });
}

/** A thread's own timer is not among the objects of its wait: it waits for this one, too. */
function ownTimer(builder: WaitGraphBuilder, address: bigint, timer: bigint): void {
  const { target } = builder.diagnosis;
  const wait = builder.waitOf(address);
  if (wait === undefined || wait.thread.fieldAddress('Timer') !== timer) return;
  builder.neverExpires(address);
  builder.add({
    from: { kind: 'thread', address },
    to: { kind: 'object', object: 'timer', address: timer },
    relation: 'waits-for',
    certainty: 'recorded',
    combination: 'any',
    escape: wait.alertable === false ? null : wait.alertable === true ? 'alertable' : 'unknown',
    proof: [
      {
        claim: `the time limit of the wait is the thread's own timer ${argument(target, timer)}`,
        address: timer,
        length: target.pointerSize * 3,
        command: `!thread ${argument(target, address)}`,
        source: '_KTHREAD.Timer',
      },
    ],
  });
}
