/** The processors: state, IRQL, what they execute. */
import type { Finding, Report, ReportProcessor } from '../report.ts';
import { type Content, html, type Markup } from './markup.ts';
import { addressCode, ranges } from './words.ts';

type State = 'spins' | 'busy' | 'idle' | 'unknown';

/** Squares in a row of the map, and of the machine: more are counted below it. */
const COLUMNS = 32;
const MAX_SQUARES = 1024;
const MAX_ROWS = 64;
const CELL = 30;
/** Findings that have a heading of their own on the page. */
const MAX_LINKED = 65;

export function stateOf(processor: ReportProcessor, findings: readonly Finding[]): State {
  const spins = findings.some(
    (finding) =>
      finding.pattern === 'dispatch-level-spin' &&
      finding.processor === processor.number &&
      finding.verdict !== 'transient' &&
      finding.verdict !== 'undetermined',
  );
  if (spins) return 'spins';
  return processor.idle === null ? 'unknown' : processor.idle ? 'idle' : 'busy';
}

const words: Readonly<Record<State, string>> = {
  spins: 'spins',
  busy: 'busy',
  idle: 'idle',
  unknown: 'not known',
};

export function processorsFigure(report: Report): Content {
  const { processors, findings } = report;
  if (processors.length === 0)
    return html`<section><h2 id="processors">Processors</h2><p>No processor could be read.</p></section>`;
  const states = new Map(processors.map((processor) => [processor.number, stateOf(processor, findings)]));
  const state = (processor: ReportProcessor): State => states.get(processor.number) ?? 'unknown';
  const count = (wanted: State): number => processors.filter((processor) => state(processor) === wanted).length;
  const summary = (['spins', 'busy', 'idle', 'unknown'] as const)
    .filter((wanted) => count(wanted) > 0)
    .map((wanted) => `${count(wanted)} ${words[wanted]}`)
    .join(', ');
  return html`<section><h2 id="processors">Processors</h2>
<figure>${map(processors, state, summary)}
<figcaption>${processors.length} ${processors.length === 1 ? 'processor' : 'processors'}: ${summary}.</figcaption></figure>
${table(report, state)}</section>`;
}

function map(
  processors: readonly ReportProcessor[],
  state: (processor: ReportProcessor) => State,
  summary: string,
): Markup {
  const shown = processors.slice(0, MAX_SQUARES);
  const columns = Math.min(COLUMNS, shown.length);
  const height = Math.ceil(shown.length / columns) * CELL;
  const squares = shown.map((processor, i) => {
    const x = (i % columns) * CELL;
    const y = Math.floor(i / columns) * CELL;
    const kind = state(processor);
    return html`<g transform="translate(${x} ${y})"><title>processor ${processor.number}: ${words[kind]}${processor.symbol === null ? null : `, ${processor.symbol}`}</title><rect class="cpu ${kind}" x="1.5" y="1.5" width="${CELL - 3}" height="${CELL - 3}" rx="4"/><text class="cpu ${kind}" x="${CELL / 2}" y="${CELL / 2 + 4}" text-anchor="middle">${processor.number}</text></g>`;
  });
  return html`<svg class="map" viewBox="0 0 ${columns * CELL} ${height}" width="${columns * CELL}" height="${height}" role="img" aria-labelledby="cpu-t cpu-d"><title id="cpu-t">Processors by state</title><desc id="cpu-d">${summary}${processors.length > shown.length ? `; the first ${shown.length} are drawn` : ''}. The table below says what each executes.</desc>${squares}</svg>`;
}

/** Everything that is not idle on a line of its own; idle ones that look alike together. */
function table(report: Report, state: (processor: ReportProcessor) => State): Markup {
  const groups = new Map<string, ReportProcessor[]>();
  for (const processor of report.processors) {
    const alike =
      state(processor) === 'idle'
        ? `idle ${processor.irql} ${processor.symbol} ${processor.contextTrust}`
        : `own ${processor.number}`;
    groups.set(alike, [...(groups.get(alike) ?? []), processor]);
  }
  const order: readonly State[] = ['spins', 'busy', 'unknown', 'idle'];
  const first = (group: readonly ReportProcessor[]): State => (group[0] === undefined ? 'idle' : state(group[0]));
  const sorted = [...groups.values()].sort((a, b) => order.indexOf(first(a)) - order.indexOf(first(b)));
  const rest = sorted.slice(MAX_ROWS).flat();
  return html`<div class="scroll"><table class="processors"><caption class="unseen">Processors, those that are not idle first</caption>
<thead><tr><th scope="col">Processor</th><th scope="col">State</th><th scope="col">IRQL</th><th scope="col">Executes</th><th scope="col">Thread</th><th scope="col">Process</th><th scope="col">Context</th></tr></thead>
<tbody>${sorted.slice(0, MAX_ROWS).map((group) => row(group, first(group), report))}</tbody></table></div>
${rest.length === 0 ? null : html`<p class="muted">And processors ${ranges(rest.map((processor) => processor.number))}.</p>`}`;
}

function row(group: readonly ReportProcessor[], kind: State, report: Report): Content {
  const { arch } = report.dump;
  const processor = group[0];
  if (processor === undefined) return null;
  const alone = group.length === 1;
  const atLeast = processor.irqlSource?.startsWith('at least') === true;
  const images = [...new Set(group.map((p) => p.image).filter((image) => image !== null))];
  const irql =
    processor.irql === null
      ? html`<span class="none">not read</span>`
      : html`<span title="${processor.irqlSource ?? ''}">${atLeast ? '≥ ' : ''}${processor.irql}</span>`;
  return html`<tr><th scope="row">${ranges(group.map((p) => p.number))}</th>
<td><span class="state ${kind}">${words[kind]}</span></td>
<td>${irql}</td>
<td>${processor.symbol === null ? addressCode(arch, processor.pc) : html`<code>${processor.symbol}</code>`}${processor.dpcActive === true ? html` <span class="tag">DPC active</span>` : null}${alone ? links(processor.number, report.findings) : null}</td>
<td>${alone ? addressCode(arch, processor.thread) : html`<span class="muted">${group.length} idle threads</span>`}</td>
<td>${images.length === 0 ? html`<span class="none">not read</span>` : images.slice(0, 4).join(', ')}</td>
<td>${processor.contextTrust}</td></tr>`;
}

/** To the findings that name it; the context of the dump (who took it) names one too, and is left out. */
function links(number: number, findings: readonly Finding[]): Content {
  return findings
    .slice(0, MAX_LINKED)
    .map((finding, i) =>
      finding.processor !== number || finding.pattern === 'manual-dump'
        ? null
        : html` <a class="tag" href="#${i === 0 ? 'verdict' : `finding-${i + 1}`}">${finding.verdict ?? finding.pattern}</a>`,
    );
}
