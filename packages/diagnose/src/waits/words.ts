/** Nodes and edges of the wait graph in words. */
import type { Target } from '@dumpscope/debugger';
import { address, clock } from '../engine/words.ts';
import type { GraphNode } from './node.ts';
import type { GraphEdge } from './wait-edge.ts';

export function nodeText(target: Target, node: GraphNode): string {
  switch (node.kind) {
    case 'processor':
      return `processor ${node.number}`;
    case 'thread':
      return threadText(target, node.address);
    case 'object':
      return `${node.object} ${address(target, node.address)}`;
    case 'unknown':
      return node.label;
    default:
      return `${node.kind} ${address(target, node.address)}`;
  }
}

/** `thread ffffdf82… (System)`. */
export function threadText(target: Target, thread: bigint): string {
  const process = target.thread(thread)?.owningProcess ?? null;
  const image = process === null ? null : (target.process(process)?.image ?? null);
  return `thread ${address(target, thread)}${image === null ? '' : ` (${image})`}`;
}

/** `for 3.200 s`, `for at least 3.200 s`; empty where the age is not known. */
export function ageText(edge: GraphEdge): string {
  const { since } = edge;
  if (since === null) return '';
  return since.maxSeconds === null ? ` for at least ${clock(since.minSeconds)}` : ` for ${clock(since.minSeconds)}`;
}

/** `waits for executive resource X (exclusive) for 3.200 s`, `is owned by thread Y`. */
export function edgeText(target: Target, edge: GraphEdge): string {
  const to = nodeText(target, edge.to);
  const access = edge.access === null ? '' : ` (${edge.access})`;
  switch (edge.relation) {
    case 'waits-for':
      return `waits for ${to}${access}${ageText(edge)}`;
    case 'owned-by':
      return `is owned${edge.access === 'exclusive' ? ' exclusively' : edge.access === null ? '' : ` ${edge.access}`} by ${to}`;
    case 'answered-by':
      return `is to be completed by ${to}`;
    case 'ends-with':
      return edge.to.kind === 'process' ? `is signalled when ${to} has ended` : `is signalled when ${to} ends`;
    case 'needs-processor':
      return `is ready${ageText(edge)} and needs ${to}`;
    case 'runs-on':
      return `runs on ${to}`;
    default:
      return `spins on ${to}`;
  }
}
