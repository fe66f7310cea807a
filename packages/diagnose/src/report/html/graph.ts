/** The wait graph over all findings: who waits for whom, and the cycle that nobody leaves. */
import type { WaitEdge } from '../picture.ts';
import type { Report } from '../report.ts';
import { layoutGraph, NODE, type PlacedEdge, type PlacedNode } from './graph-layout.ts';
import { type Content, html, type Markup } from './markup.ts';
import { arrowHeads, path, round, WIDTH } from './svg.ts';
import { prose, shorten } from './words.ts';

const PAD = { x: 1, y: 10 };
const ID = 'waits';
/** Edges drawn; what waits for the same node beyond MAX_ALIKE is one box. */
const MAX_EDGES = 60;
const MAX_ALIKE = 5;

export function graphFigure(report: Report): Content {
  const all = report.findings.flatMap((finding) => finding.picture?.waits ?? []);
  if (all.length === 0) return null;
  const waits = together(all).slice(0, MAX_EDGES);
  const layout = layoutGraph(waits);
  const [width, height] = [Math.max(layout.width + 2 * PAD.x, WIDTH), layout.height + 2 * PAD.y];
  const left = (width - layout.width) / 2;
  const sentences = waits.map((wait) => `${nameOf(wait.from)} → ${nameOf(wait.to)} (${wait.label})`);
  return html`<section class="figure"><h2 id="graph">Who waits for whom</h2><figure><div class="scroll">
<svg class="drawing" viewBox="${round(-left)} ${-PAD.y} ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="${ID}-t ${ID}-d"><title id="${ID}-t">Wait graph</title><desc id="${ID}-d">${sentences.join('; ')}.</desc>
${arrowHeads(ID)}${layout.edges.map((edge) => drawEdge(edge))}${layout.nodes.map(drawNode)}${layout.edges.map((edge) => drawLabel(edge))}</svg></div>
<figcaption>${caption(
    layout.cycles.map((cycle) => cycle.map(nameOf)),
    all.length - waits.length,
  )}</figcaption></figure></section>`;
}

/** Many that wait for the same thing, and that nobody waits for, are one box with their number. */
function together(waits: readonly WaitEdge[]): WaitEdge[] {
  const key = (node: WaitEdge['to']): string => `${node.kind} ${node.id}`;
  const awaited = new Set(waits.map((wait) => key(wait.to)));
  const groups = new Map<string, WaitEdge[]>();
  for (const wait of waits) {
    const group = awaited.has(key(wait.from)) ? `own ${groups.size}` : `${wait.from.kind} ${key(wait.to)}`;
    groups.set(group, [...(groups.get(group) ?? []), wait]);
  }
  return [...groups.values()].flatMap((group): WaitEdge[] => {
    const first = group[0];
    if (first === undefined || group.length <= MAX_ALIKE) return group;
    const from = {
      kind: first.from.kind,
      id: `${key(first.to)} and ${group.length}`,
      label: `${group.length} ${first.from.kind}s`,
      detail: `${shorten(first.from.label, 20)}, …`,
    };
    const label = group.every((wait) => wait.label === first.label) ? first.label : 'wait for it';
    return [{ from, to: first.to, label }];
  });
}

function nameOf(node: WaitEdge['from']): string {
  return node.kind === 'lock' || node.kind === 'memory' ? `${node.label} ${node.detail ?? ''}`.trim() : node.label;
}

function drawNode({ node, x, y, inCycle }: PlacedNode): Markup {
  const middle = x + NODE.width / 2;
  const one = node.detail === null;
  return html`<g><title>${node.label}${node.detail === null ? null : ` ${node.detail}`}</title><rect class="node ${node.kind === 'processor' || node.kind === 'thread' ? 'actor' : 'thing'} ${inCycle ? 'cycle' : ''}" x="${round(x)}" y="${round(y)}" width="${NODE.width}" height="${NODE.height}" rx="${node.kind === 'lock' ? 6 : NODE.height / 2}"/>
<text class="strong" x="${round(middle)}" y="${round(y + (one ? 28 : 20))}" text-anchor="middle">${shorten(node.label, 26)}</text>
${node.detail === null ? null : html`<text class="mono soft small" x="${round(middle)}" y="${round(y + 37)}" text-anchor="middle">${shorten(node.detail, 26)}</text>`}</g>`;
}

/** Start, end and the points that bend an edge between them. */
function curve({ from, to, opposed }: PlacedEdge): { d: string; x: number; y: number } {
  const [fx, tx] = [from.x + NODE.width / 2, to.x + NODE.width / 2];
  const [fy, ty] = [from.y + NODE.height / 2, to.y + NODE.height / 2];
  const half = NODE.height / 2;
  if (Math.abs(fx - tx) < 1) {
    const down = ty > fy;
    const [y1, y2] = [fy + (down ? half : -half), ty + (down ? -half - 2 : half + 2)];
    return { d: `M${round(fx)} ${round(y1)}L${round(tx)} ${round(y2)}`, x: fx, y: (y1 + y2) / 2 + 4 };
  }
  const right = tx > fx;
  const [x1, x2] = [right ? from.x + NODE.width : from.x, right ? to.x - 2 : to.x + NODE.width + 2];
  if (Math.abs(fy - ty) < 1) {
    // Opposite edges between two neighbours bow apart.
    const bow = opposed ? (right ? -12 : 12) : 0;
    const y = fy + 1.9 * bow;
    const middle = (x1 + x2) / 2;
    return {
      d: `M${round(x1)} ${round(fy + bow / 2)}C${round(middle)} ${round(y)} ${round(middle)} ${round(y)} ${round(x2)} ${round(ty + bow / 2)}`,
      x: middle,
      y: fy + 1.7 * bow + (bow > 0 ? 13 : -6),
    };
  }
  const middle = (x1 + x2) / 2;
  // Several may end in one place: the label stands where they are still apart.
  return {
    d: `M${round(x1)} ${round(fy)}C${round(middle)} ${round(fy)} ${round(middle)} ${round(ty)} ${round(x2)} ${round(ty)}`,
    x: x1 + (x2 - x1) * 0.27,
    y: fy + (ty > fy ? -4 : -6),
  };
}

function drawEdge(edge: PlacedEdge): Markup {
  return path(curve(edge).d, edge.inCycle ? 'arrow cycle' : 'arrow', ID);
}

function drawLabel(edge: PlacedEdge): Markup {
  const { x, y } = curve(edge);
  return html`<text class="small halo" x="${round(x)}" y="${round(y)}" text-anchor="middle">${shorten(edge.label, 34)}<title>${edge.label}</title></text>`;
}

function caption(cycles: readonly (readonly string[])[], merged: number): Content {
  const parts = cycles.map((cycle) => `Cycle: ${[...cycle, cycle[0] ?? ''].join(' → ')}.`);
  if (merged > 0) parts.push(`${merged} edges are drawn together with others like them or left out.`);
  return parts.length === 0 ? 'An arrow leads from who waits to what is waited for.' : prose(parts.join(' '));
}
