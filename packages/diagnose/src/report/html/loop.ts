/** The loop: its instructions, the way round and the ways out, the PC, and the captured values in place. */
import type { LoopLine } from '../picture.ts';
import type { Finding } from '../report.ts';
import { type Content, heading, html, type Markup, when } from './markup.ts';
import { type Arch, addressText, prose } from './words.ts';

interface Jump {
  readonly from: number;
  /** Line that it goes to; null where it leaves. */
  readonly to: number | null;
}

/** Jumps drawn side by side at most; the rest is told by the operands. */
const MAX_LANES = 4;

export function loopFigure(finding: Finding, arch: Arch, id: string, level: 2 | 3): Content {
  const { picture } = finding;
  if (picture === null || picture.loop.length === 0) return null;
  const lines = picture.loop;
  const lanes = assignLanes(jumpsOf(lines));
  const width = 12 + lanes.count * 11;
  const left = picture.loopLength === null ? 0 : picture.loopLength - lines.length;
  const what = picture.loopLength === null ? 'The captured part of the loop' : 'The loop';
  return html`<section class="figure">${heading(level, what, 'figure', id)}<figure><div class="scroll"><table class="loop">
<caption class="unseen">${what}, an instruction a line, with captured values</caption>
<thead><tr><th scope="col" style="width:${width}px"><span class="unseen">Flow</span></th><th scope="col">Address</th><th scope="col">Bytes</th><th scope="col">Instruction</th><th scope="col">With the captured values</th></tr></thead>
<tbody>${lines.map((line, i) => row(line, i, lanes.of, arch))}</tbody></table></div>
<figcaption>${caption(finding, left)}</figcaption></figure></section>`;
}

function caption(finding: Finding, left: number): Content {
  const exits = finding.loop?.exits.length ?? 0;
  const parts: Content[] = [
    html`<span class="pc-mark">▶</span> marks the instruction at which the processor was found. `,
    exits === 0 ? null : `${exits === 1 ? 'The way out is' : `The ${exits} ways out are`} marked “exit”. `,
    when(left > 0, () => `${left} more instructions are not shown. `),
  ];
  return parts;
}

function jumpsOf(lines: readonly LoopLine[]): Jump[] {
  const at = new Map(lines.map((line, i) => [line.address, i]));
  const jumps: Jump[] = [];
  lines.forEach((line, from) => {
    if (line.target === null) return;
    const to = at.get(line.target);
    if (to !== undefined) jumps.push({ from, to });
    else if (line.isExit && !/^(call|bl)\b/.test(line.text)) jumps.push({ from, to: null });
  });
  return jumps;
}

interface Lane extends Jump {
  readonly lane: number;
}

/** Shorter jumps lie nearer to the code; jumps to one line share a lane, as ways back to one header do. */
function assignLanes(jumps: readonly Jump[]): { of: readonly Lane[]; count: number } {
  const inside = jumps.filter((jump) => jump.to !== null);
  const targets = [...new Set(inside.map((jump) => jump.to))].map((to) => {
    const mine = inside.filter((jump) => jump.to === to);
    const ends = mine.flatMap((jump) => [jump.from, jump.to ?? jump.from]);
    return { mine, low: Math.min(...ends), high: Math.max(...ends) };
  });
  targets.sort((a, b) => a.high - a.low - (b.high - b.low));
  const busy: { low: number; high: number }[][] = [];
  const of: Lane[] = [];
  for (const { mine, low, high } of targets) {
    let lane = busy.findIndex((spans) => spans.every((span) => span.high < low || span.low > high));
    if (lane < 0) lane = busy.length;
    if (lane >= MAX_LANES) continue;
    busy[lane] = [...(busy[lane] ?? []), { low, high }];
    for (const jump of mine) of.push({ ...jump, lane });
  }
  return { of, count: busy.length };
}

function row(line: LoopLine, index: number, lanes: readonly Lane[], arch: Arch): Markup {
  return html`<tr class="${line.isPc ? 'pc' : ''} ${line.isExit ? 'exit' : ''}"><td class="flow">${segments(index, lanes)}</td>
<td><code>${line.isPc ? html`<span class="pc-mark" title="the processor was here">▶</span>` : null}${addressText(arch, line.address)}</code></td>
<td class="bytes"><code>${line.bytes}</code></td>
<td class="text"><code>${line.text}</code></td>
<td class="note">${line.isExit ? html`<span class="tag exit">exit</span> ` : null}${line.note === null ? null : prose(line.note)}</td></tr>`;
}

/** Pieces of the lines that pass this row: from its middle up or down, through it, and the stubs to the code. */
function segments(index: number, lanes: readonly Lane[]): Content {
  const out: Content[] = [];
  for (let lane = 0; lane < MAX_LANES; lane++) {
    const mine = lanes.filter((jump) => jump.lane === lane && jump.to !== null);
    if (mine.length === 0) continue;
    const ends = mine.flatMap((jump) => [jump.from, jump.to ?? jump.from]);
    const covering = mine.filter(
      (jump) => index >= Math.min(jump.from, jump.to ?? 0) && index <= Math.max(jump.from, jump.to ?? 0),
    );
    if (covering.length === 0) continue;
    const above = covering.some((jump) => Math.min(jump.from, jump.to ?? 0) < index);
    const below = covering.some((jump) => Math.max(jump.from, jump.to ?? 0) > index);
    const right = 4 + lane * 11;
    if (above) out.push(html`<i class="up" style="right:${right + 6}px"></i>`);
    if (below) out.push(html`<i class="down" style="right:${right + 6}px"></i>`);
    if (ends.includes(index)) out.push(html`<i class="stub" style="width:${right + 6}px"></i>`);
    if (covering.some((jump) => jump.to === index)) out.push(html`<i class="head"></i>`);
  }
  return out;
}
