/** What is queued, whether list and count agree, and who asked for it. */
import type { DpcQueue, QueuedDpc, Target } from '@dumpscope/debugger';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument, plural } from '../../engine/words.ts';
import { currentIrpOf, deviceOfDpc } from '../../facts/dpc-device.ts';

const MAX_NAMED = 8;

/** `sound`: list and count say the same. `broken`: they cannot both be right. `open`: not all could be read. */
export type QueueState = 'sound' | 'broken' | 'open';

export interface QueueView {
  readonly queue: DpcQueue;
  readonly state: QueueState;
  /** DPCs that wait: the count, else what the list shows. */
  readonly waiting: number;
  readonly problem: string | null;
}

export function viewQueue(target: Target, queue: DpcQueue): QueueView {
  const listed = queue.calls.length;
  const waiting = Math.max(queue.depth ?? 0, listed);
  const at = queue.endAt === null ? '' : address(target, queue.endAt);
  const broken = (problem: string): QueueView => ({ queue, state: 'broken', waiting: listed, problem });
  const open = (problem: string): QueueView => ({ queue, state: 'open', waiting, problem });
  if (queue.end === 'cycle') return broken(`the list comes back to ${at} and never ends`);
  if (queue.end === 'not-a-dpc') return broken(`the list leads to ${at}, which is no DPC by its Type`);
  if (queue.end === 'unreadable')
    return open(
      `the list cannot be read beyond ${at}: ${plural(listed, 'DPC')} of ${queue.depth ?? 'an unknown number'}`,
    );
  if (queue.end === 'limit') return open(`the list is longer than ${plural(listed, 'entry', 'entries')}`);
  if (queue.depth === null) return open('DpcQueueDepth could not be read');
  if (queue.depth === listed) return { queue, state: 'sound', waiting, problem: null };
  const differ = `the list holds ${plural(listed, 'DPC')}, DpcQueueDepth says ${queue.depth}`;
  // Both change under DpcLock: while it is taken, one of them may be a step ahead.
  return queue.locked === false
    ? broken(differ)
    : open(`${differ}, while DpcLock is ${queue.locked ? 'taken' : 'unread'}`);
}

export function queueEvidence(target: Target, number: number, view: QueueView, evidence: Evidence): void {
  const { queue } = view;
  const kind = queue.kind === 'threaded' ? 'threaded DPC' : 'DPC';
  const show = `!dpcs ${number.toString(16)}`;
  if (queue.depthAddress !== null && queue.depth !== null)
    evidence.memory(`${plural(queue.depth, kind)} queued to processor ${number}`, 'true', queue.depthAddress, 4, show);
  for (const dpc of queue.calls.slice(0, MAX_NAMED)) {
    const size = target.layouts.table.struct('_KDPC')?.size ?? target.pointerSize * 8;
    const routine = dpc.routine === null ? 'a routine that cannot be read' : target.nameOf(dpc.routine).text;
    evidence.memory(
      `${kind} ${address(target, dpc.address)}: ${routine}${importanceText(dpc)}`,
      'true',
      dpc.address,
      size,
      `dt nt!_KDPC ${argument(target, dpc.address)}`,
    );
    deviceEvidence(target, dpc, evidence);
  }
  evidence.fact(
    view.problem ?? `list and count agree on ${plural(queue.calls.length, kind)}`,
    view.state === 'sound' ? 'true' : view.state === 'broken' ? 'false' : 'undetermined',
    show,
    `KPRCB, list at ${argument(target, queue.head)}`,
  );
}

function importanceText(dpc: QueuedDpc): string {
  const words: Readonly<Record<number, string>> = { 0: ', low importance', 2: ', high importance' };
  return dpc.importance === null ? '' : (words[dpc.importance] ?? '');
}

/** A KDPC inside a DEVICE_OBJECT is the one that IoRequestDpc queues: its driver completes I/O there. */
function deviceEvidence(target: Target, dpc: QueuedDpc, evidence: Evidence): void {
  const device = deviceOfDpc(target, dpc.address);
  if (device === null) return;
  const current = currentIrpOf(target, device)?.value ?? 0n;
  evidence.memory(
    `it is the DPC of the device object ${address(target, device)}${current === 0n ? '' : `, whose current IRP ${address(target, current)} waits for it`}`,
    'true',
    device,
    target.pointerSize === 8 ? 0x40 : 0x20,
    `!devobj ${argument(target, device)}`,
  );
}
