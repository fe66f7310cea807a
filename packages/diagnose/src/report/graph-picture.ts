/** Parts of the wait graph as they are drawn. */
import type { Target } from '@dumpscope/debugger';
import { address, clock, json } from '../engine/words.ts';
import type { GraphNode } from '../waits/node.ts';
import type { GraphEdge } from '../waits/wait-edge.ts';
import type { FindingPicture, WaitNode } from './picture.ts';
import { lockNode, processorNode, threadNode, unknownNode, waitsPicture } from './wait-nodes.ts';

function graphNode(target: Target, node: GraphNode): WaitNode {
  switch (node.kind) {
    case 'processor':
      return processorNode(target, node.number);
    case 'thread':
      return threadNode(target, node.address);
    case 'object':
      return lockNode(target, node.object, node.address);
    case 'unknown':
      return unknownNode(node.id, node.label);
    default:
      return { kind: node.kind, id: json(node.address) ?? '', label: node.kind, detail: address(target, node.address) };
  }
}

const labels: Readonly<Record<GraphEdge['relation'], string>> = {
  'waits-for': 'waits for',
  'owned-by': 'owned by',
  'answered-by': 'answered by',
  'ends-with': 'ends with',
  'needs-processor': 'ready, needs',
  'runs-on': 'runs on',
  'spins-on': 'spins on',
};

/** Edges of the wait graph as they are drawn. */
export function graphPicture(target: Target, edges: readonly GraphEdge[]): FindingPicture {
  return waitsPicture(
    edges.map((edge) => ({
      from: graphNode(target, edge.from),
      to: graphNode(target, edge.to),
      label: `${labels[edge.relation]}${edge.access === null ? '' : `, ${edge.access}`}${edge.since === null ? '' : `, ${clock(edge.since.minSeconds)}`}`,
    })),
  );
}
