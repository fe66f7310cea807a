import { openTarget, type Target, versionLines } from '@dumpscope/debugger';
import { EXIT, type Io } from '../io.ts';
import { toJson } from '../json.ts';
import { openDumpFile } from '../open-dump-file.ts';

/** FILETIME to ISO 8601 in UTC; null outside of what a date can be. */
export function isoTime(filetime: bigint | null): string | null {
  if (filetime === null) return null;
  const ms = Number(filetime / 10_000n) - 11_644_473_600_000;
  return Math.abs(ms) > 8.64e15 ? null : new Date(ms).toISOString();
}

export interface DumpInfo {
  readonly path: string;
  readonly fileSize: number;
  readonly kind: string;
  readonly arch: string;
  readonly build: string | null;
  readonly buildNumber: number;
  readonly processors: number;
  readonly systemTime: string | null;
  readonly uptimeSeconds: number | null;
  readonly complete: boolean;
  readonly pages: number | null;
  readonly paging: string | null;
  readonly directoryTableBase: bigint | null;
  readonly kernelBase: bigint | null;
  readonly modules: number;
  readonly layouts: { readonly trust: string; readonly how: string };
  readonly bugcheck: {
    readonly code: bigint;
    readonly name: string | null;
    readonly parameters: readonly bigint[];
    readonly meaning: readonly (string | null)[];
  } | null;
  readonly bugcheckNote: string | null;
  readonly comment: string;
  readonly problems: readonly { readonly id: string; readonly message: string; readonly offset: number | null }[];
  readonly contexts: readonly { readonly processor: number; readonly trust: string; readonly pc: bigint | null }[];
}

export function dumpInfo(path: string, target: Target): DumpInfo {
  const { dump, bugcheck, time } = target;
  return {
    path,
    fileSize: dump.fileSize,
    kind: dump.kind,
    arch: dump.arch,
    build: target.build,
    buildNumber: dump.header.minorVersion,
    processors: dump.header.numberProcessors,
    systemTime: isoTime(time.systemTime),
    uptimeSeconds: time.uptime === null ? null : Number(time.uptime) / 1e7,
    complete: dump.complete,
    pages: dump.physical?.pageCount ?? null,
    paging: dump.paging === null ? null : `${dump.paging.mode} (${dump.paging.how})`,
    directoryTableBase: dump.header.directoryTableBase === null ? null : BigInt(dump.header.directoryTableBase),
    kernelBase: target.kernel?.base ?? null,
    modules: target.modules.length,
    layouts: { trust: target.layouts.trust, how: target.layouts.how },
    bugcheck:
      bugcheck === null
        ? null
        : {
            code: BigInt(bugcheck.code >>> 0),
            name: bugcheck.name,
            parameters: bugcheck.parameters,
            meaning: bugcheck.meanings,
          },
    bugcheckNote: target.bugcheckNote,
    comment: dump.header.comment,
    contexts: target.processors.map((p) => ({
      processor: p.number,
      trust: p.contextTrust,
      pc: p.registers?.pc ?? null,
    })),
    // Last: reading the rest finds more of them.
    problems: dump.problems.map((p) => ({ id: p.id, message: p.message, offset: p.offset ?? null })),
  };
}

function infoText(info: DumpInfo, target: Target): string {
  const { dump } = target;
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  const lines = [
    `${info.path}: ${info.kind} dump (type ${dump.header.dumpType}), ${info.arch}, ${info.fileSize} bytes, ${info.complete ? 'complete' : 'incomplete'}`,
    ...versionLines(target),
  ];
  if (info.bugcheck === null)
    lines.push(`Bugcheck: none${info.bugcheckNote === null ? '' : ` (${info.bugcheckNote})`}`);
  else {
    lines.push(
      `Bugcheck: ${hex(info.bugcheck.code)} ${info.bugcheck.name ?? '(unknown)'} (${info.bugcheck.parameters.map(hex).join(', ')})`,
    );
    info.bugcheck.meaning.forEach((meaning, i) => {
      if (meaning !== null) lines.push(`    parameter ${i + 1}: ${meaning}`);
    });
  }
  const captured = info.contexts.filter((c) => c.trust !== 'missing').length;
  lines.push(
    `Processors: ${info.processors}, ${info.contexts.length} with their blocks, ${captured} with a context${target.processorNote === null ? '' : ` (${target.processorNote})`}`,
  );
  if (info.pages !== null) lines.push(`Physical pages: ${info.pages}`);
  if (dump.triage !== null) lines.push(`Data blocks: ${dump.triage.blocks.length}`);
  if (info.paging !== null) lines.push(`Paging: ${info.paging}`);
  lines.push(`Modules: ${info.modules} loaded, ${target.unloadedModules.length} unloaded`);
  lines.push(`Layouts: ${info.layouts.trust}: ${info.layouts.how}`);
  if (dump.blobs.length > 0) lines.push(`Secondary data: ${dump.blobs.length} blobs`);
  if (info.comment !== '') lines.push(`Comment: ${info.comment}`);
  for (const problem of info.problems) lines.push(`Problem: ${problem.message}`);
  return lines.map((line) => `${line}\n`).join('');
}

export function runInfo(path: string, json: boolean, io: Io): number {
  const { dump, source } = openDumpFile(path);
  try {
    const target = openTarget(dump);
    const info = dumpInfo(path, target);
    io.out(json ? `${toJson(info, 2)}\n` : infoText(info, target));
    return EXIT.done;
  } finally {
    source.close();
  }
}
