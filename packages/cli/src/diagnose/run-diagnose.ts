import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Target } from '@dumpscope/debugger';
import { atLeast, type Confidence, explain, type Report, redact, renderText } from '@dumpscope/diagnose';
import { EXIT, type Io, UsageError } from '../io.ts';
import { openDiagnosed, type SymbolOptions } from '../open-diagnosed.ts';

export interface DiagnoseRequest extends SymbolOptions {
  readonly path: string;
  readonly json: boolean;
  /** File for the HTML report, `-` for standard output. */
  readonly html: string | null;
  readonly failOn: string | null;
  readonly explain: string | null;
  readonly redact: boolean;
}

const confidences: readonly string[] = ['proven', 'strong', 'likely', 'possible'];

function isConfidence(text: string): text is Confidence {
  return confidences.includes(text);
}

/** `dumpscope diagnose`: the report as text or JSON on standard output or as an HTML file, warnings on standard error. */
export async function runDiagnose(request: DiagnoseRequest, io: Io): Promise<number> {
  const { failOn } = request;
  if (failOn !== null && !isConfidence(failOn))
    throw new UsageError(`--fail-on takes ${confidences.join(', ')}, not ${failOn}`);
  checkHtml(request);
  const { session: opened, diagnose } = await openDiagnosed(request.path, request, io);
  try {
    const full = diagnose();
    const report: Report = request.redact ? redact(full, processNames(opened.target)) : full;
    if (request.explain !== null) {
      const text = explain(report, request.explain);
      if (text === null)
        throw new UsageError(`--explain ${request.explain}: there is no such finding or evidence item in this report`);
      io.out(text);
    } else if (request.html !== null) await writeHtml(request.html, report, io);
    else if (request.json) io.out(`${JSON.stringify(report, null, 2)}\n`);
    else io.out(renderText(report));
    const fails =
      failOn !== null && isConfidence(failOn) && report.findings.some((finding) => atLeast(finding.confidence, failOn));
    return fails ? EXIT.finding : EXIT.done;
  } finally {
    opened.close();
  }
}

/** Names of processes; the kernel's own (up to pid 4) say nothing about anybody. */
function processNames(target: Target): string[] {
  const names = target.processes().flatMap(({ image, pid }) => (image === null || (pid ?? 0) <= 4 ? [] : [image]));
  return [...new Set(names)];
}

function checkHtml({ html, json, explain, path }: DiagnoseRequest): void {
  if (html === null) return;
  if (json || explain !== null) throw new UsageError(`--html and ${json ? '--json' : '--explain'} exclude each other`);
  if (resolve(html) === resolve(path)) throw new UsageError(`--html ${html} would overwrite the dump`);
}

async function writeHtml(file: string, report: Report, io: Io): Promise<void> {
  const { renderHtml } = await import('@dumpscope/diagnose');
  const page = renderHtml(report);
  if (file === '-') {
    io.out(page);
    return;
  }
  try {
    writeFileSync(file, page);
  } catch (error) {
    throw new UsageError(`--html ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  io.err(`dumpscope: report written to ${file}\n`);
}
