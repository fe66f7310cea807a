/** Evidence, stacks, modules and limits. */
import { limitsTogether } from '../phrases.ts';
import type { EvidenceItem, Finding, Report, ReportProcessor } from '../report.ts';
import { type Content, html, type Markup } from './markup.ts';
import { type Arch, addressCode, addressText, byteText, code, prose, ranges } from './words.ts';

const SHOWN_BYTES = 16;
/** Different stacks shown; a machine has at most 2048 processors, and idle ones share one. */
const MAX_STACKS = 128;

const outcomes: Readonly<Record<EvidenceItem['outcome'], string>> = {
  true: 'true',
  false: 'false',
  undetermined: 'not determinable',
};

export function evidenceTable(finding: Finding, arch: Arch, title: string): Content {
  if (finding.evidence.length === 0) return null;
  return html`<h3>${prose(title)}</h3>
<div class="scroll"><table class="evidence"><caption class="unseen">Evidence of: ${title}</caption>
<thead><tr><th scope="col">Claim</th><th scope="col">Outcome</th><th scope="col">Address</th><th scope="col">Bytes</th><th scope="col">Shown by</th></tr></thead>
<tbody>${finding.evidence.map((item) => evidenceRow(item, arch))}</tbody></table></div>`;
}

function evidenceRow(item: EvidenceItem, arch: Arch): Markup {
  const bytes =
    item.address === null
      ? html`<span class="muted">${item.source}</span>`
      : item.bytes === null
        ? html`<span class="none">${item.source === 'missing' ? 'not in the dump' : 'not shown'}</span>`
        : html`<code>${byteText(item.bytes, SHOWN_BYTES)}</code>${item.source === 'dump' ? null : html` <span class="muted">from ${item.source}</span>`}`;
  return html`<tr><th scope="row" id="${item.id}"><span class="id">${item.id}</span> ${prose(item.claim)}</th>
<td><span class="outcome ${item.outcome}">${outcomes[item.outcome]}</span></td>
<td>${item.address === null ? null : html`<code>${addressText(arch, item.address)}</code>${item.length === null ? null : html`<span class="muted length">${item.length} ${item.length === 1 ? 'byte' : 'bytes'}</span>`}`}</td>
<td class="bytes">${bytes}</td>
<td>${item.command === null ? null : code(item.command)}</td></tr>`;
}

/** A stack once for all processors that have the same one. */
export function stacksSection(report: Report): Content {
  const { arch } = report.dump;
  const groups = new Map<string, ReportProcessor[]>();
  for (const processor of report.processors) {
    if (processor.stack.length === 0) continue;
    const alike =
      processor.idle === true
        ? processor.stack.map((frame) => frame.symbol).join('\n')
        : `own stack of ${processor.number}`;
    groups.set(alike, [...(groups.get(alike) ?? []), processor]);
  }
  if (groups.size === 0) return null;
  const sorted = [...groups.values()].sort((a, b) => Number(a[0]?.idle ?? false) - Number(b[0]?.idle ?? false));
  return html`<section><h2 id="stacks">Stacks</h2>${sorted.slice(0, MAX_STACKS).map((group) => stack(group, arch))}${
    sorted.length > MAX_STACKS
      ? html`<p class="muted">${sorted.length - MAX_STACKS} further stacks are in the JSON report.</p>`
      : null
  }</section>`;
}

function stack(group: readonly ReportProcessor[], arch: Arch): Content {
  const processor = group[0];
  if (processor === undefined) return null;
  const numbers = ranges(group.map((member) => member.number));
  const title = `Processor${group.length === 1 ? '' : 's'} ${numbers}${processor.idle === true ? ', idle' : ''}`;
  const alone = group.length === 1;
  return html`<details${{ markup: processor.idle === true ? '' : ' open' }}><summary><h3>${title}</h3>${alone && processor.interruptedFrom !== null ? html` <span class="muted">${prose(processor.interruptedFrom)}</span>` : null}</summary>
<div class="scroll"><table class="stack"><caption class="unseen">Stack of ${title}, innermost frame first</caption>
<thead><tr><th scope="col">#</th><th scope="col">Call site</th>${alone ? html`<th scope="col">SP</th>` : null}<th scope="col">Found by</th></tr></thead>
<tbody>${processor.stack.map(
    (frame, i) =>
      html`<tr${{ markup: frame.trust === 'scan' ? ' class="weak"' : '' }}><td>${i}</td><td><code>${frame.symbol}</code>${frame.trapFrame === null ? null : html` <span class="tag">trap frame ${alone ? addressText(arch, frame.trapFrame) : null}</span>`}</td>${alone ? html`<td>${addressCode(arch, frame.sp)}</td>` : null}<td>${frame.trust}</td></tr>`,
  )}</tbody></table></div>${processor.stackEnd === null ? null : html`<p class="muted">${prose(processor.stackEnd)}</p>`}</details>`;
}

export function modulesSection(report: Report): Content {
  const { modules, dump } = report;
  if (modules.length === 0) return null;
  const named = new Set(report.findings.flatMap((finding) => finding.blame.map((blame) => blame.module)));
  const onStacks = new Set(
    report.processors.flatMap((processor) => processor.stack.map((frame) => frame.symbol.split(/[!+]/)[0] ?? '')),
  );
  const use = (name: string): string => (named.has(name) ? 'named above' : onStacks.has(name) ? 'on a stack' : '');
  const weight = (name: string): number => (named.has(name) ? 0 : onStacks.has(name) ? 1 : 2);
  const sorted = [...modules].sort((a, b) => weight(a.name) - weight(b.name));
  return html`<section><details${{ markup: modules.length <= 40 ? ' open' : '' }}><summary><h2 id="modules">Modules</h2> <span class="muted">${modules.length}</span></summary>
<div class="scroll"><table class="modules"><caption class="unseen">Modules; those named by a finding first</caption>
<thead><tr><th scope="col">Module</th><th scope="col">Base</th><th scope="col">Size</th><th scope="col">Time stamp</th><th scope="col">Names from</th><th scope="col">PDB</th></tr></thead>
<tbody>${sorted.map(
    (module) =>
      html`<tr><th scope="row">${module.name} <span class="muted">${module.image}</span>${use(module.name) === '' ? null : html` <span class="tag">${use(module.name)}</span>`}</th><td>${addressCode(dump.arch, module.base)}</td><td><code>${module.size.toString(16)}</code></td><td>${module.timeDateStamp === null ? html`<span class="none">not read</span>` : code(module.timeDateStamp.toString(16).padStart(8, '0'))}</td><td>${module.symbols ?? html`<span class="none">none</span>`}</td><td class="pdb">${module.pdb === null ? null : code(module.pdb)}</td></tr>`,
  )}</tbody></table></div></details></section>`;
}

export function limitsSection(report: Report): Content {
  const limits = limitsTogether(report.limits);
  if (limits.length === 0) return null;
  return html`<section><h2 id="limits">What could not be read</h2>
<table class="limits"><caption class="unseen">What could not be read and why</caption><thead><tr><th scope="col">What</th><th scope="col">Why, and what it would need</th></tr></thead>
<tbody>${limits.map(({ what, why }) => html`<tr><th scope="row">${prose(what)}</th><td>${prose(why)}</td></tr>`)}</tbody></table></section>`;
}
