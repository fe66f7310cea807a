/** Who is held up by a part of the wait graph without being of it. */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { address, plural } from '../../engine/words.ts';
import type { GraphEdge } from '../../waits/wait-edge.ts';
import { waitGraph } from '../../waits/wait-graph.ts';

const MAX_NAMED = 16;
/** More edges than these would not be drawn anyway. */
const MAX_EDGES = 40;

export interface Behind {
  readonly threads: number;
  readonly processors: number;
  /** A sentence with a blank before it; empty where nobody waits. */
  readonly text: string;
  readonly lines: readonly string[];
  readonly edges: readonly GraphEdge[];
}

/** `own`: threads of the part itself, which are not counted. */
export function behind(diagnosis: Diagnosis, component: number, own: ReadonlySet<bigint>): Behind {
  const { target } = diagnosis;
  const graph = diagnosis.fact(waitGraph);
  const members = (graph.components[component] ?? []).filter(
    ({ node }) => node.kind !== 'thread' || !own.has(node.address),
  );
  const vertices = [...members, ...graph.upstream(component)];
  const threads = vertices.flatMap(({ node }) =>
    node.kind === 'thread' && !own.has(node.address) ? [node.address] : [],
  );
  const processors = vertices.filter(({ node }) => node.kind === 'processor').length;
  const parts = [
    ...(threads.length > 0 ? [plural(threads.length, 'other thread')] : []),
    ...(processors > 0 ? [plural(processors, 'processor')] : []),
  ];
  const lines = threads.slice(0, MAX_NAMED).map((thread) => `thread ${address(target, thread)}`);
  if (threads.length > MAX_NAMED) lines.push(`${threads.length - MAX_NAMED} more threads`);
  return {
    threads: threads.length,
    processors,
    text: parts.length === 0 ? '' : ` Behind it wait ${parts.join(' and ')}.`,
    lines,
    edges: vertices.flatMap(({ out }) => out).slice(0, MAX_EDGES),
  };
}
