/** A finding in words: verdict first, then why, who, cleared, what would change it. */
import { clearedTogether, moduleText, sinceText } from '../phrases.ts';
import type { Confidence, Finding } from '../report.ts';
import { type Content, heading, html, type Markup, when } from './markup.ts';
import { type Arch, addressCode, code, containerText, prose, wordText } from './words.ts';

const meaning: Readonly<Record<Confidence, string>> = {
  proven: 'follows from captured bytes and instruction semantics',
  strong: 'one stated assumption',
  likely: 'best of several explanations; an alternative is not refuted',
  possible: 'not excluded; something that was not captured would decide',
};

/** Heading, badge, summary and what follows from it. `level` is the heading's: 1 for the verdict of the page. */
export function findingWords(finding: Finding, arch: Arch, level: 1 | 2, id: string): Markup {
  const title = prose(finding.title);
  const sub = (text: string): Markup => heading(level === 1 ? 2 : 3, text, 'sub');
  return html`<p class="badge"><span class="confidence ${finding.confidence}">${finding.confidence}</span>
<span>${finding.pattern}${finding.verdict === null ? null : html` · <strong>${finding.verdict}</strong>`}</span>
<span class="muted">${meaning[finding.confidence]}</span></p>
${heading(level, title, '', id)}
<div class="why">${sub('Why')}
<p>${prose(finding.summary)}</p></div>
${facts(finding, arch)}
<div class="answers">${who(finding, sub)}${list(
    sub,
    'Cleared',
    'cleared',
    clearedTogether(finding.cleared).map(
      ({ what, reason }) => html`<strong>${what}</strong> <span class="reason">${prose(reason)}</span>`,
    ),
  )}${list(sub, 'What would change this', 'change', finding.wouldChange.map(prose))}${list(sub, 'Assumed', 'assumed', finding.assumptions.map(prose))}${list(sub, 'Downstream', 'downstream', finding.downstream.map(prose))}</div>`;
}

function facts(finding: Finding, arch: Arch): Content {
  const rows: (readonly [string, Content])[] = [];
  const { since, lock, loop } = finding;
  if (since !== null) rows.push(['Since', html`${sinceText(since)}<span class="reason">${prose(since.reason)}</span>`]);
  if (finding.processor !== null) rows.push(['Processor', String(finding.processor)]);
  if (finding.thread !== null) rows.push(['Thread', addressCode(arch, finding.thread)]);
  if (finding.process !== null)
    rows.push([
      'Process',
      html`${addressCode(arch, finding.process)}${finding.image === null ? null : ` ${finding.image}`}`,
    ]);
  if (lock !== null)
    rows.push([
      'Lock',
      html`${addressCode(arch, lock.address)} ${lock.kind}${lock.word === null ? null : html`, word ${code(wordText(arch, lock.word))}`}${lock.container === null ? null : html`, in ${code(containerText(arch, lock.container))}`}`,
    ]);
  if (loop !== null)
    rows.push([
      'Loop',
      html`${addressCode(arch, loop.start)} to ${addressCode(arch, loop.end)}${loop.function === null ? null : html` in ${code(loop.function)}`}`,
    ]);
  if (finding.signature != null) rows.push(['Key', code(finding.signature.key)]);
  if (rows.length === 0) return null;
  return html`<dl class="facts">${rows.map(([term, value]) => html`<div><dt>${term}</dt><dd>${value}</dd></div>`)}</dl>`;
}

type Sub = (text: string) => Markup;

function who(finding: Finding, sub: Sub): Content {
  if (finding.blame.length === 0) return null;
  return html`<section>${sub('Who')}<ol class="who">${finding.blame.map(
    (blame) =>
      html`<li><code>${blame.function ?? blame.module}</code> <span class="role ${/victim|carrier|caller/.test(blame.role) ? 'bystander' : ''}">${blame.role}</span> <span class="reason">${prose(blame.reason)}${moduleText(blame) === null ? null : html` <span class="muted">(${moduleText(blame)})</span>`}</span></li>`,
  )}</ol></section>`;
}

function list(sub: Sub, title: string, kind: string, items: readonly Content[]): Content {
  return when(
    items.length > 0,
    () => html`<section>${sub(title)}<ul class="${kind}">${items.map((item) => html`<li>${item}</li>`)}</ul></section>`,
  );
}
