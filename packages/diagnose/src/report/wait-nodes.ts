/** Nodes of the wait graph, named alike by every rule so that their edges meet. */
import type { Target } from '@dumpscope/debugger';
import { address, clock, json } from '../engine/words.ts';
import type { FindingPicture, WaitEdge, WaitNode } from './picture.ts';

export function processorNode(target: Target, number: number): WaitNode {
  const thread = target.processors.find((processor) => processor.number === number)?.currentThread ?? null;
  return {
    kind: 'processor',
    id: String(number),
    label: `processor ${number}`,
    detail: thread === null ? null : `thread ${address(target, thread)}`,
  };
}

export function threadNode(target: Target, thread: bigint): WaitNode {
  const process = target.thread(thread)?.owningProcess ?? null;
  const image = process === null ? null : (target.process(process)?.image ?? null);
  return { kind: 'thread', id: json(thread) ?? '', label: `thread ${address(target, thread)}`, detail: image };
}

export function lockNode(target: Target, kind: string, lock: bigint): WaitNode {
  return { kind: 'lock', id: json(lock) ?? '', label: kind, detail: address(target, lock) };
}

/** What holds or answers is not known, or nobody does. */
export function unknownNode(id: string, label: string): WaitNode {
  return { kind: 'unknown', id, label, detail: null };
}

/** A picture that is a part of the wait graph and nothing else. */
export function waitsPicture(waits: readonly WaitEdge[]): FindingPicture {
  return { loop: [], loopLength: null, queue: null, waits, profile: null };
}

/** Edges to more processors than this would tell less than the words do. */
const MAX_PROCESSORS = 4;

/** Ready threads and the processors that keep them waiting. */
export function readyPicture(
  target: Target,
  threads: readonly { readonly thread: { readonly address: bigint }; readonly readySeconds: number }[],
  processors: readonly { readonly processor: { readonly number: number } }[],
): FindingPicture | null {
  if (processors.length > MAX_PROCESSORS) return null;
  return waitsPicture(
    threads.flatMap(({ thread, readySeconds }) =>
      processors.map(({ processor }) => ({
        from: threadNode(target, thread.address),
        to: processorNode(target, processor.number),
        label: `ready for ${clock(readySeconds)}`,
      })),
    ),
  );
}

const MAX_DPCS = 8;

/** DPCs and the processor that does not come to run them. */
export function dpcPicture(
  target: Target,
  processor: number,
  dpcs: readonly { readonly address: bigint; readonly routine: bigint | null }[],
): FindingPicture {
  return waitsPicture(
    dpcs.slice(0, MAX_DPCS).map(({ address: at, routine }) => ({
      from: {
        kind: 'dpc',
        id: json(at) ?? '',
        label: `DPC ${address(target, at)}`,
        detail: routine === null ? null : target.nameOf(routine).text,
      },
      to: processorNode(target, processor),
      label: 'queued',
    })),
  );
}
