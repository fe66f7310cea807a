/** The report as one HTML file: no script, no request, everything inline, so that it can be read anywhere and archived. */
import { uptime } from '../phrases.ts';
import type { Finding, Report } from '../report.ts';
import { graphFigure } from './graph.ts';
import { loopFigure } from './loop.ts';
import { type Content, html, type Markup, when } from './markup.ts';
import { processorsFigure } from './processors.ts';
import { profileFigure } from './profile.ts';
import { queueFigure } from './queue.ts';
import { STYLE } from './style.ts';
import { evidenceTable, limitsSection, modulesSection, stacksSection } from './tables.ts';
import { findingWords } from './verdict.ts';
import { type Arch, addressText, code, prose } from './words.ts';

export interface HtmlExtras {
  /** Title of the page; default the dump's name and the first finding. */
  readonly title?: string;
}

/** Findings with words and pictures of their own; more are told by their titles. */
const MAX_FINDINGS = 64;

/** Same report, same bytes. Everything that comes from the dump is escaped; a policy forbids scripts and requests besides. */
export function renderHtml(report: Report, extras: HtmlExtras = {}): string {
  const { arch } = report.dump;
  const [verdict, ...others] = report.findings;
  const name = report.dump.path.split(/[\\/]/).at(-1) ?? report.dump.path;
  const title = extras.title ?? `${name}: ${verdict === undefined ? 'no finding' : verdict.title}`;
  const page = html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="dumpscope ${report.tool.version}">
<title>${title}</title>
<style>${{ markup: STYLE }}</style>
</head>
<body>
<a class="skip" href="#verdict">To the verdict</a>
<header><p class="product">dumpscope <span>crash dump report</span></p>${contents(report)}</header>
<main>
<article class="verdict">${verdict === undefined ? html`<h1 id="verdict">No finding: nothing in this dump matches a rule</h1>` : findingWords(verdict, arch, 1, 'verdict')}</article>
${dumpFacts(report)}
${processorsFigure(report)}
${verdict === undefined ? null : pictures(verdict, arch, 1)}
${graphFigure(report)}
${others.slice(0, MAX_FINDINGS).map((finding, i) => html`<article class="other">${findingWords(finding, arch, 2, `finding-${i + 2}`)}${pictures(finding, arch, i + 2)}</article>`)}
${others.length > MAX_FINDINGS ? html`<section><h2>Further findings</h2><ul>${others.slice(MAX_FINDINGS, 1000).map((finding) => html`<li>${prose(finding.title)} <span class="muted">${finding.pattern}, ${finding.confidence}</span></li>`)}</ul></section>` : null}
${when(
  report.findings.some((finding) => finding.evidence.length > 0),
  () =>
    html`<section><h2 id="evidence">Evidence</h2>${report.findings.slice(0, MAX_FINDINGS).map((finding) => evidenceTable(finding, arch, finding.title))}</section>`,
)}
${stacksSection(report)}
${modulesSection(report)}
${limitsSection(report)}
</main>
<footer><p>dumpscope ${report.tool.version}, rules ${report.tool.rules}, report schema ${report.schemaVersion}. Commands under “shown by” work in <code>dumpscope debug</code> and in WinDbg.</p></footer>
</body>
</html>
`;
  return page.markup;
}

function pictures(finding: Finding, arch: Arch, number: number): Content {
  const level = number === 1 ? 2 : 3;
  return [
    loopFigure(finding, arch, `loop-${number}`, level),
    profileFigure(finding, arch, `samples-${number}`, level),
    queueFigure(finding, arch, `queue-${number}`, level),
  ];
}

function contents(report: Report): Markup {
  const { findings } = report;
  const picture = findings[0]?.picture ?? null;
  const links: (readonly [string, string, boolean])[] = [
    ['verdict', 'Verdict', true],
    ['dump', 'Dump', true],
    ['processors', 'Processors', true],
    ['loop-1', 'Loop', (picture?.loop.length ?? 0) > 0],
    ['queue-1', 'Lock', picture?.queue != null && picture.queue.stacks.length + picture.queue.entries.length > 0],
    ['graph', 'Waits', findings.some((finding) => (finding.picture?.waits.length ?? 0) > 0)],
    ['finding-2', findings.length === 2 ? 'Other finding' : 'Other findings', findings.length > 1],
    ['evidence', 'Evidence', findings.some((finding) => finding.evidence.length > 0)],
    ['stacks', 'Stacks', report.processors.some((processor) => processor.stack.length > 0)],
    ['modules', 'Modules', report.modules.length > 0],
    ['limits', 'Limits', report.limits.length > 0],
  ];
  return html`<nav aria-label="Contents"><ul>${links.filter(([, , there]) => there).map(([id, text]) => html`<li><a href="#${id}">${text}</a></li>`)}</ul></nav>`;
}

function dumpFacts(report: Report): Markup {
  const { dump } = report;
  const { bugcheck } = dump;
  const rows: (readonly [string, Content])[] = [
    ['File', dump.path],
    [
      'System',
      `${dump.arch}, ${dump.build ?? 'build unknown'}, ${dump.processors} processor${dump.processors === 1 ? '' : 's'}`,
    ],
    ['Kind', `${dump.kind}${dump.complete ? '' : ', incomplete'}`],
    ['Written at', dump.systemTime ?? html`<span class="none">not read</span>`],
    ['Up for', dump.uptimeSeconds === null ? html`<span class="none">not read</span>` : uptime(dump.uptimeSeconds)],
    [
      'Bugcheck',
      bugcheck === null
        ? 'none happened or none is recorded'
        : html`<strong>${code(bugcheck.code)} ${bugcheck.name}</strong>${parameters(bugcheck, dump.arch)}`,
    ],
  ];
  return html`<section><h2 id="dump">Dump</h2><dl class="facts dump">${rows.map(([term, value]) => html`<div><dt>${term}</dt><dd>${value}</dd></div>`)}</dl>
${when(dump.problems.length > 0, () => html`<h3>Problems of the file</h3><ul>${dump.problems.map((problem) => html`<li>${problem.message}</li>`)}</ul>`)}</section>`;
}

function parameters(bugcheck: NonNullable<Report['dump']['bugcheck']>, arch: Arch): Markup {
  return html`<ol class="parameters">${bugcheck.parameters.map(
    (parameter, i) =>
      html`<li><code>${addressText(arch, parameter)}</code>${bugcheck.meaning[i] == null ? null : html` <span class="reason">${bugcheck.meaning[i] ?? ''}</span>`}</li>`,
  )}</ol>`;
}
