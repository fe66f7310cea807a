/** Nodes of the wait graph: whoever waits, and whatever is waited for. Equal kind and identity is the same node. */
import { hex } from '@dumpscope/core';

/** What a node of kind `object` is. A new kind of lock adds its name here and a file under sources/. */
export type ObjectKind =
  | 'executive resource'
  | 'mutant'
  | 'event'
  | 'semaphore'
  | 'timer'
  | 'queue'
  | 'gate'
  | 'thread object'
  | 'process object'
  | 'pushlock'
  | 'fast mutex'
  | 'guarded mutex'
  | 'ALPC message'
  | 'ALPC port'
  | 'LPC reply'
  | 'queued work'
  | 'IRP'
  | 'DPC queue'
  | 'IPI'
  | 'spin lock'
  | 'queued spin lock'
  | 'unknown object';

export type GraphNode =
  | { readonly kind: 'processor'; readonly number: number }
  | { readonly kind: 'thread'; readonly address: bigint }
  | { readonly kind: 'process'; readonly address: bigint }
  | { readonly kind: 'object'; readonly object: ObjectKind; readonly address: bigint }
  | { readonly kind: 'device'; readonly address: bigint }
  /** Nobody that the dump names: `id` keeps two of them apart, `label` says what is known. */
  | { readonly kind: 'unknown'; readonly id: string; readonly label: string };

/** The key of a node in maps. */
export function keyOf(node: GraphNode): string {
  switch (node.kind) {
    case 'processor':
      return `processor ${node.number}`;
    case 'object':
      return `object ${node.object} ${hex(node.address)}`;
    case 'unknown':
      return `unknown ${node.id}`;
    default:
      return `${node.kind} ${hex(node.address)}`;
  }
}
