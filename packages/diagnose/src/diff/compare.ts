import type { Target } from '@dumpscope/debugger';
import { clock, count, list, plural } from '../engine/words.ts';
import type { Report } from '../report/report.ts';
import type { DiffInput, DumpDiff, DumpSide, FindingDiff, ProcessorDiff, ThreadDiff } from './diff.ts';
import { compareFindings } from './findings.ts';
import { compareProcessors } from './processors.ts';
import { compareBoot, compareModules } from './same-boot.ts';
import { compareThreads } from './threads.ts';

const BRIEF_SECONDS = 0.1;

/**
 * Compares two dumps of one boot, in the order of their uptimes. Where they are of different boots only the checks are
 * filled in: addresses then mean nothing to each other.
 */
export function compareDumps(one: DiffInput, other: DiffInput): DumpDiff {
  const swapped = isLater(one.target, other.target);
  const [first, second] = swapped ? [other, one] : [one, other];
  const boot = compareBoot(first.target, second.target);
  const elapsed = elapsedBetween(first.target, second.target);
  const base = {
    schemaVersion: 1,
    tool: second.report.tool,
    first: side(first.report),
    second: side(second.report),
    swapped,
    boot,
    elapsed,
    bugcheck: bugchecks(first.report, second.report),
  } as const;
  if (boot.same === false)
    return {
      ...base,
      processors: [],
      threads: [],
      findings: [],
      modules: { loaded: [], unloaded: [] },
      verdict: { text: `not two dumps of one boot: ${boot.why}`, didNotMove: [], moved: [] },
    };
  const increment = second.target.time.tickIncrement ?? first.target.time.tickIncrement;
  const threads = compareThreads(first.target, second.target, {
    seconds: elapsed.seconds,
    tickSeconds: increment === null ? null : increment / 1e7,
  });
  const processors = compareProcessors(first.report, second.report, threads, elapsed.seconds);
  const findings = compareFindings(first.report.findings, second.report.findings, threads, elapsed.seconds);
  return {
    ...base,
    processors,
    threads,
    findings,
    modules: compareModules(first.target, second.target),
    verdict: verdictOf(elapsed.seconds, processors, threads, findings, second.target),
  };
}

function isLater(a: Target, b: Target): boolean {
  if (a.time.uptime !== null && b.time.uptime !== null && a.time.uptime !== b.time.uptime)
    return a.time.uptime > b.time.uptime;
  return a.time.systemTime !== null && b.time.systemTime !== null && a.time.systemTime > b.time.systemTime;
}

function elapsedBetween(first: Target, second: Target): DumpDiff['elapsed'] {
  const [a, b] = [first.time, second.time];
  if (a.uptime !== null && b.uptime !== null)
    return { seconds: Math.max(0, Number(b.uptime - a.uptime)) / 1e7, source: 'uptimes' };
  const increment = b.tickIncrement ?? a.tickIncrement;
  if (a.tickCount !== null && b.tickCount !== null && increment !== null && b.tickCount >= a.tickCount)
    return { seconds: (Number(b.tickCount - a.tickCount) * increment) / 1e7, source: 'tick counts' };
  if (a.systemTime !== null && b.systemTime !== null)
    return { seconds: Math.max(0, Number(b.systemTime - a.systemTime)) / 1e7, source: 'system times' };
  return { seconds: null, source: 'neither uptime, tick count nor system time is in both dumps' };
}

function side({ dump }: Report): DumpSide {
  return {
    path: dump.path,
    build: dump.build,
    systemTime: dump.systemTime,
    uptimeSeconds: dump.uptimeSeconds,
    bugcheck: bugcheckText(dump),
  };
}

function bugcheckText({ bugcheck }: Report['dump']): string | null {
  return bugcheck === null
    ? null
    : `${bugcheck.code}${bugcheck.name === null ? '' : ` ${bugcheck.name}`} (${bugcheck.parameters.join(', ')})`;
}

function bugchecks(first: Report, second: Report): DumpDiff['bugcheck'] {
  const [a, b] = [bugcheckText(first.dump), bugcheckText(second.dump)];
  return { first: a, second: b, same: a === null || b === null ? null : a === b };
}

function verdictOf(
  elapsed: number | null,
  processors: readonly ProcessorDiff[],
  threads: readonly ThreadDiff[],
  findings: readonly FindingDiff[],
  target: Target,
): DumpDiff['verdict'] {
  if (elapsed === 0)
    return { text: 'no time passed between the two dumps: nothing could move', didNotMove: [], moved: [] };
  const stuck = findings.filter((finding) => finding.moved === false);
  const named = new Set(stuck.map((finding) => finding.processor));
  const byAddress = new Map(threads.map((thread) => [thread.thread, thread]));
  const didNotMove = stuck.map((finding) => stuckText(finding, byAddress.get(finding.thread ?? ''), elapsed, target));
  for (const processor of processors)
    if (processor.moved === false && !named.has(processor.number))
      didNotMove.push(
        `processor ${processor.number} at ${processor.symbol.second ?? 'an unknown place'}: ${processor.why}`,
      );
  const moved = movedTexts(processors, threads, findings);
  // Less than a few ticks pass nothing by: whatever is there at all has not moved.
  const brief = elapsed !== null && elapsed < BRIEF_SECONDS ? ` (only ${clock(elapsed)} passed)` : '';
  if (didNotMove.length > 0) return { text: `did not move${brief}: ${didNotMove.join('; ')}`, didNotMove, moved };
  const unknown = processors.filter((processor) => processor.moved === null && processor.idle.second !== true);
  const rest =
    unknown.length === 0
      ? ''
      : `; of ${list(unknown.map((processor) => `processor ${processor.number}`))} it cannot be told`;
  return {
    text: `nothing was found that did not move${moved.length === 0 ? '' : `; moved: ${moved.join(', ')}`}${rest}`,
    didNotMove,
    moved,
  };
}

function stuckText(
  finding: FindingDiff,
  thread: ThreadDiff | undefined,
  elapsed: number | null,
  target: Target,
): string {
  const value = (what: string): string | null => {
    const item = finding.items.find((candidate) => candidate.what === what && candidate.same === true);
    return item?.second == null
      ? null
      : item.second.replace(/0x([0-9a-f]+)/g, (_, digits: string) => digits.padStart(target.pointerSize * 2, '0'));
  };
  const parts = ['loop', 'lock', 'predecessor']
    .map((what) => [what, value(what)] as const)
    .filter(([, text]) => text !== null)
    .map(([what, text]) => `same ${what} ${text}`);
  if (thread?.contextSwitches === 0) parts.push(`no context switch${elapsed === null ? '' : ` in ${clock(elapsed)}`}`);
  if (thread?.kernelSeconds != null)
    parts.push(`${clock(thread.kernelSeconds + (thread.userSeconds ?? 0))} of CPU time`);
  const who = finding.processor === null ? 'a thread' : `processor ${finding.processor}`;
  return `${who}${finding.thread === null ? '' : `, thread ${finding.thread.replace(/^0x/, '').padStart(target.pointerSize * 2, '0')}`} (${parts.join(', ')})`;
}

function movedTexts(
  processors: readonly ProcessorDiff[],
  threads: readonly ThreadDiff[],
  findings: readonly FindingDiff[],
): string[] {
  const out: string[] = [];
  const went = processors.filter((processor) => processor.moved === true);
  if (went.length > 0) out.push(list(went.map((processor) => `processor ${processor.number}`)));
  const number = (change: ThreadDiff['change']): number => threads.filter((thread) => thread.change === change).length;
  if (number('switched') > 0) out.push(`${plural(number('switched'), 'thread')} switched`);
  if (number('ran') > 0) out.push(`${count(number('ran'))} ran without a switch`);
  if (number('new') > 0) out.push(`${count(number('new'))} new`);
  if (number('gone') > 0) out.push(`${count(number('gone'))} gone`);
  const changed = findings.filter((finding) => finding.moved === true);
  for (const finding of changed.slice(0, 4))
    out.push(`${finding.title} (${finding.status === 'same' ? 'moved on' : finding.status})`);
  return out;
}
