/** Places for the nodes of a wait graph: who waits on the left, what everything waits for on the right, cycles together. */
import type { WaitEdge, WaitNode } from '../picture.ts';

export interface PlacedNode {
  readonly node: WaitNode;
  readonly x: number;
  readonly y: number;
  readonly inCycle: boolean;
}

export interface PlacedEdge {
  readonly from: PlacedNode;
  readonly to: PlacedNode;
  readonly label: string;
  readonly inCycle: boolean;
  /** An edge leads back the same way. */
  readonly opposed: boolean;
}

export interface GraphLayout {
  readonly nodes: readonly PlacedNode[];
  readonly edges: readonly PlacedEdge[];
  readonly width: number;
  readonly height: number;
  /** Nodes of each cycle, in the order of its edges. */
  readonly cycles: readonly (readonly WaitNode[])[];
}

export const NODE = { width: 208, height: 48 } as const;
const GAP = { x: 220, y: 26, ring: 64 };

const keyOf = (node: WaitNode): string => `${node.kind} ${node.id}`;

interface Graph {
  readonly nodes: readonly WaitNode[];
  readonly out: readonly (readonly number[])[];
  readonly edges: readonly { readonly from: number; readonly to: number; readonly label: string }[];
}

export function layoutGraph(waits: readonly WaitEdge[]): GraphLayout {
  const graph = graphOf(waits);
  const parts = components(graph);
  const partOf = new Map<number, number>();
  parts.forEach((part, i) => {
    for (const node of part) partOf.set(node, i);
  });
  const ranks = ranksOf(graph, parts, partOf);
  const last = Math.max(0, ...ranks);
  const columns: number[][] = Array.from({ length: last + 1 }, () => []);
  ranks.forEach((rank, part) => {
    columns[last - rank]?.push(part);
  });
  const blocks = parts.map((part) => block(graph, part));
  const placed: PlacedNode[] = [];
  const columnHeight = (column: readonly number[]): number =>
    column.reduce((sum, part) => sum + (blocks[part]?.height ?? 0) + GAP.y, -GAP.y);
  const height = Math.max(...columns.map(columnHeight), NODE.height);
  let x = 0;
  for (const column of columns) {
    let y = (height - columnHeight(column)) / 2;
    let width = 0;
    for (const part of column) {
      const own = blocks[part];
      if (own === undefined) continue;
      for (const { node, dx, dy } of own.places) {
        const what = graph.nodes[node];
        if (what !== undefined) placed[node] = { node: what, x: x + dx, y: y + dy, inCycle: own.places.length > 1 };
      }
      y += own.height + GAP.y;
      width = Math.max(width, own.width);
    }
    x += width + GAP.x;
  }
  const edges = graph.edges.flatMap((edge): PlacedEdge[] => {
    const [from, to] = [placed[edge.from], placed[edge.to]];
    if (from === undefined || to === undefined) return [];
    const inCycle = partOf.get(edge.from) === partOf.get(edge.to);
    const opposed = graph.out[edge.to]?.includes(edge.from) === true;
    return [{ from, to, label: edge.label, inCycle, opposed }];
  });
  const cycles = parts
    .filter((part) => part.length > 1)
    .map((part) => ringOrder(graph, part).flatMap((node) => graph.nodes[node] ?? []));
  return { nodes: placed, edges, width: Math.max(NODE.width, x - GAP.x), height, cycles };
}

function graphOf(waits: readonly WaitEdge[]): Graph {
  const nodes: WaitNode[] = [];
  const index = new Map<string, number>();
  const edges: { from: number; to: number; label: string }[] = [];
  const out: number[][] = [];
  const add = (node: WaitNode): number => {
    let i = index.get(keyOf(node));
    if (i === undefined) {
      i = nodes.length;
      index.set(keyOf(node), i);
      nodes.push(node);
      out.push([]);
    }
    return i;
  };
  for (const wait of waits) {
    const [from, to] = [add(wait.from), add(wait.to)];
    if (from === to || edges.some((edge) => edge.from === from && edge.to === to)) continue;
    edges.push({ from, to, label: wait.label });
    out[from]?.push(to);
  }
  return { nodes, out, edges };
}

/** Strongly connected components, sinks first (Tarjan, iterative). */
function components(graph: Graph): number[][] {
  const order: (number | undefined)[] = [];
  const low: number[] = [];
  const onStack = new Set<number>();
  const stack: number[] = [];
  const found: number[][] = [];
  let counter = 0;
  for (let root = 0; root < graph.nodes.length; root++) {
    if (order[root] !== undefined) continue;
    const work: { node: number; next: number }[] = [{ node: root, next: 0 }];
    for (let frame = work.at(-1); frame !== undefined; frame = work.at(-1)) {
      const { node } = frame;
      if (frame.next === 0) {
        order[node] = low[node] = counter++;
        stack.push(node);
        onStack.add(node);
      }
      const to = graph.out[node]?.[frame.next++];
      if (to !== undefined) {
        if (order[to] === undefined) work.push({ node: to, next: 0 });
        else if (onStack.has(to)) low[node] = Math.min(low[node] ?? 0, order[to] ?? 0);
        continue;
      }
      work.pop();
      const parent = work.at(-1)?.node;
      if (parent !== undefined) low[parent] = Math.min(low[parent] ?? 0, low[node] ?? 0);
      if (low[node] !== order[node]) continue;
      const part: number[] = [];
      for (let member = stack.pop(); member !== undefined; member = stack.pop()) {
        onStack.delete(member);
        part.push(member);
        if (member === node) break;
      }
      found.push(part);
    }
  }
  return found;
}

/** Distance of each component to the furthest sink; components come sinks first, so one pass is enough. */
function ranksOf(graph: Graph, parts: readonly number[][], partOf: ReadonlyMap<number, number>): number[] {
  const ranks: number[] = [];
  parts.forEach((part, i) => {
    let rank = 0;
    for (const node of part)
      for (const to of graph.out[node] ?? []) {
        const other = partOf.get(to);
        if (other !== undefined && other !== i) rank = Math.max(rank, (ranks[other] ?? 0) + 1);
      }
    ranks[i] = rank;
  });
  return ranks;
}

/** Nodes of a component along its edges, starting at a processor where there is one. */
function ringOrder(graph: Graph, part: readonly number[]): number[] {
  const members = new Set(part);
  const sorted = [...part].sort((a, b) => a - b);
  const first = sorted.find((node) => graph.nodes[node]?.kind === 'processor') ?? sorted[0] ?? 0;
  const ring: number[] = [];
  const left = new Set(sorted);
  let at: number | undefined = first;
  while (at !== undefined) {
    ring.push(at);
    left.delete(at);
    at = graph.out[at]?.find((to) => members.has(to) && left.has(to));
    if (at === undefined && left.size > 0) at = Math.min(...left);
  }
  return ring;
}

interface Block {
  readonly width: number;
  readonly height: number;
  readonly places: readonly { readonly node: number; readonly dx: number; readonly dy: number }[];
}

/** Half the height that two opposite edges between neighbours need beside the nodes. */
const BOW = 8;

/** One node, or a ring: the first half along the top, the rest back along the bottom. */
function block(graph: Graph, part: readonly number[]): Block {
  const ring = ringOrder(graph, part);
  if (ring.length <= 2) {
    return {
      width: ring.length * NODE.width + (ring.length - 1) * GAP.x,
      // Room for the edges that curve above and below.
      height: NODE.height + (ring.length - 1) * 2 * BOW,
      places: ring.map((node, i) => ({ node, dx: i * (NODE.width + GAP.x), dy: (ring.length - 1) * BOW })),
    };
  }
  const top = Math.ceil(ring.length / 2);
  return {
    width: top * NODE.width + (top - 1) * GAP.x,
    height: 2 * NODE.height + GAP.ring,
    places: ring.map((node, i) => ({
      node,
      dx: (i < top ? i : ring.length - 1 - i) * (NODE.width + GAP.x),
      dy: i < top ? 0 : NODE.height + GAP.ring,
    })),
  };
}
