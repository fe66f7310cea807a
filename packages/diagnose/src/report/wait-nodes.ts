/** Nodes of the wait graph, named alike by every rule so that their edges meet. */
import type { Target } from '@dumpscope/debugger';
import { address, json } from '../engine/words.ts';
import type { WaitNode } from './picture.ts';

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
