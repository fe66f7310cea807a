import { hex } from '@dumpscope/core';
import type { Processor, Target } from '@dumpscope/debugger';
import { json } from '../engine/words.ts';
import { completeFinding } from './blamed-module.ts';
import type { Finding, Report, ReportProcessor } from './report.ts';

/** Version of the rules: part of every report, so that two answers can be compared. */
export const RULES_VERSION = '1';

/** Frames of a processor's stack in the report; the debugger walks to the end. */
const MAX_FRAMES = 128;

/** Assembles the report around findings that are already in order. */
export function buildReport(
  target: Target,
  findings: readonly Finding[],
  toolVersion: string,
  unread: Report['limits'] = [],
): Report {
  const { dump, bugcheck } = target;
  const limits = [
    ...target.limits.map((limit) => ({ what: limit.what, why: limit.why, wouldNeed: limit.wouldNeed })),
    ...unread,
  ];
  const nullLimit = (what: string, why: string | null): void => {
    limits.push({ what, why: why ?? 'not in the dump', wouldNeed: null });
  };
  if (bugcheck === null) nullLimit('dump.bugcheck', target.bugcheckNote);
  if (target.build === null) nullLimit('dump.build', "NtBuildLab of the kernel's image could not be read");
  if (target.processors.length === 0) nullLimit('processors', target.processorNote);
  const uptime = dump.header.systemUpTime;
  if (uptime === null) nullLimit('dump.uptimeSeconds', 'the header field was not written');
  if (dump.header.systemTime === null) nullLimit('dump.systemTime', 'the header field was not written');
  const processors = target.processors.map((processor, index) => reportProcessor(target, processor, index, nullLimit));
  return {
    schemaVersion: 1,
    tool: { name: 'dumpscope', version: toolVersion, rules: RULES_VERSION },
    dump: {
      path: dump.name,
      kind: dump.kind,
      arch: target.arch,
      build: target.build,
      processors: dump.header.numberProcessors,
      systemTime: dump.header.systemTime === null ? null : fileTime(dump.header.systemTime),
      uptimeSeconds: uptime === null ? null : Number(uptime) / 1e7,
      bugcheck:
        bugcheck === null
          ? null
          : {
              code: hex(bugcheck.code),
              name: bugcheck.name,
              parameters: bugcheck.parameters.map(hex),
              meaning: [...bugcheck.meanings],
            },
      complete: dump.complete,
      problems: dump.problems.map((problem) => ({
        id: problem.id,
        message: problem.message,
        offset: problem.offset ?? null,
      })),
    },
    processors,
    modules: target.modules.map((module) => ({
      name: module.name,
      image: module.imageName,
      base: hex(module.base),
      size: module.size,
      timeDateStamp: module.timeDateStamp,
      pdb: module.pdb === null ? null : `${module.pdb.name} ${module.pdb.guid} ${module.pdb.age}`,
      symbols: module.symbolOrigin,
    })),
    findings: findings.map((finding) => completeFinding(target, finding)),
    limits,
  };
}

function reportProcessor(
  target: Target,
  processor: Processor,
  index: number,
  nullLimit: (what: string, why: string | null) => void,
): ReportProcessor {
  const path = `processors[${index}]`;
  const thread = processor.currentThread === null ? null : target.thread(processor.currentThread);
  const process = thread?.process ?? thread?.owningProcess ?? null;
  const image = process === null ? null : (target.process(process)?.image ?? null);
  const pc = processor.interrupted?.pc ?? processor.registers?.pc ?? null;
  if (processor.currentThread === null) nullLimit(`${path}.thread`, 'the PRCB could not be read');
  if (process === null) {
    const why = 'the thread is not in the dump as far as its process';
    nullLimit(`${path}.process`, why);
    nullLimit(`${path}.image`, why);
  } else if (image === null) nullLimit(`${path}.image`, 'the process object is not in the dump');
  if (processor.irql === null) {
    const why =
      processor.contextTrust === 'missing'
        ? processor.contextReason
        : 'nothing in the dump records the interrupted level of this processor';
    nullLimit(`${path}.irql`, why);
    nullLimit(`${path}.irqlSource`, why);
  }
  if (pc === null) {
    nullLimit(`${path}.pc`, processor.contextReason);
    nullLimit(`${path}.symbol`, processor.contextReason);
  }
  if (processor.idle === null) nullLimit(`${path}.idle`, processor.idleReason);
  if (processor.idleThread === null) nullLimit(`${path}.idleThread`, processor.idleReason);
  if (processor.dpcRoutineActive === null)
    nullLimit(`${path}.dpcActive`, 'DpcRoutineActive of the PRCB could not be read');
  const start = processor.interrupted ?? processor.registers;
  if (start === null) nullLimit(`${path}.stackEnd`, processor.contextReason);
  const trace = start === null ? null : target.walkStack(start, { limit: MAX_FRAMES });
  return {
    number: processor.number,
    prcb: hex(processor.prcb),
    thread: json(processor.currentThread),
    process: json(process),
    image,
    idleThread: processor.idleThread,
    idle: processor.idle,
    irql: processor.irql === null ? null : processor.irql.level,
    irqlSource:
      processor.irql === null
        ? null
        : `${processor.irql.kind === 'minimum' ? 'at least; ' : ''}${processor.irql.source}`,
    contextTrust: processor.contextTrust,
    pc: json(pc),
    symbol: pc === null ? null : target.nameOf(pc).text,
    interruptedFrom: processor.interruptedFrom,
    dpcActive: processor.dpcRoutineActive,
    stack: (trace?.frames ?? []).map((frame) => ({
      pc: hex(frame.pc),
      sp: hex(frame.sp),
      symbol: target.nameOf(frame.pc).text,
      trust: frame.trust,
      trapFrame: json(frame.trapFrame),
    })),
    stackEnd: trace === null ? null : trace.endText,
  };
}

/** FILETIME as ISO 8601 UTC with milliseconds; null where it is outside what a date can hold. */
function fileTime(value: bigint): string | null {
  const ms = Number(value / 10_000n) - 11_644_473_600_000;
  if (!Number.isFinite(ms) || ms < 0 || ms > 8.64e15) return null;
  return new Date(ms).toISOString();
}
