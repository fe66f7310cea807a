import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { hexDigits, plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';

function headerLines(session: Session): string[] {
  const { target } = session;
  const { dump } = target;
  const h = dump.header;
  const wide = dump.pointerSize === 8;
  const label = (name: string, value: string): string => `${name.padEnd(25)}${value}`;
  const optional = (value: bigint | number | null, digits: number): string =>
    value === null ? 'not set' : hexDigits(value, digits);
  const pointer = (value: bigint | null): string => (value === null ? 'not set' : plainAddress(value, target));
  const lines = [
    `----- ${wide ? '64' : '32'} bit Kernel ${dump.kind} Dump Analysis`,
    '',
    `DUMP_HEADER${wide ? '64' : '32'}:`,
    label('MajorVersion', hexDigits(h.majorVersion >>> 0, 8)),
    label('MinorVersion', hexDigits(h.minorVersion >>> 0, 8)),
    label('DirectoryTableBase', optional(h.directoryTableBase, wide ? 16 : 8)),
    label('PfnDataBase', pointer(h.pfnDatabase)),
    label('PsLoadedModuleList', pointer(h.psLoadedModuleList)),
    label('PsActiveProcessHead', pointer(h.psActiveProcessHead)),
    label('MachineImageType', hexDigits(h.machineImageType >>> 0, 8)),
    label('NumberProcessors', hexDigits(h.numberProcessors >>> 0, 8)),
    label('BugCheckCode', hexDigits(h.bugCheckCode >>> 0, 8)),
    ...h.bugCheckParameters.map((p, i) => label(`BugCheckParameter${i + 1}`, plainAddress(p, target))),
    label('KdDebuggerDataBlock', pointer(h.kdDebuggerDataBlock)),
    label('ProductType', optional(h.productType, 8)),
    label('SuiteMask', optional(h.suiteMask, 8)),
    label('WriterStatus', optional(h.writerStatus, 8)),
    label('DumpType', hexDigits(h.dumpType >>> 0, 8)),
    label('MiniDumpFields', optional(h.miniDumpFields, 8)),
    label('SecondaryDataState', optional(h.secondaryDataState, 8)),
    label('RequiredDumpSpace', optional(h.requiredDumpSpace, 16)),
    label('Attributes', optional(h.attributes, 8)),
    label('SystemUpTime', optional(h.systemUpTime, 16)),
    label('SystemTime', optional(h.systemTime, 16)),
  ];
  return lines;
}

function triageLines(session: Session): string[] {
  const { triage } = session.target.dump;
  if (triage === null) return [];
  const wide = session.target.pointerSize === 8;
  const label = (name: string, value: number): string => `${name.padEnd(25)}${hexDigits(value >>> 0, 8)}`;
  return [
    '',
    `TRIAGE_DUMP${wide ? '64' : '32'}:`,
    label('ServicePackBuild', triage.servicePackBuild),
    label('SizeOfDump', triage.sizeOfDump),
    label('PrcbOffset', triage.prcbOffset),
    label('ProcessOffset', triage.processOffset),
    label('ThreadOffset', triage.threadOffset),
    label('CallStackOffset', triage.callStackOffset),
    label('SizeOfCallStack', triage.callStackSize),
    label('BrokenDriverOffset', triage.brokenDriverOffset),
    label('TriageOptions', triage.options),
    `${'TopOfStack'.padEnd(25)}${plainAddress(triage.topOfStack, session.target)}`,
    label('DebuggerDataOffset', triage.kdbgOffset),
    label('DebuggerDataSize', triage.kdbgSize),
    label('DataBlocksCount', triage.blocks.length),
    label('DriverCount', triage.drivers.length),
  ];
}

export const dumpDebugCommand: Command = defineCommand({
  names: ['.dumpdebug'],
  summary: "show the dump file's headers and problems",
  usage: '.dumpdebug',
  fidelity: 'Our own layout with the field names of the headers; the problems of the file follow.',
  run(session) {
    const { dump } = session.target;
    const pages =
      dump.physical === null
        ? []
        : ['', `Physical pages in the file: ${dump.physical.pageCount} (0x${dump.physical.pageCount.toString(16)})`];
    const paging = dump.paging === null ? [] : [`Paging: ${dump.paging.mode} (${dump.paging.how})`];
    const problems = dump.problems.map((p) => `    ${p.message}`);
    const lines = [
      ...headerLines(session),
      ...triageLines(session),
      ...pages,
      ...paging,
      ...(problems.length === 0 ? [] : ['', 'Problems of the file:', ...problems]),
    ];
    const { context, ...header } = dump.header;
    const row = {
      kind: dump.kind,
      arch: dump.arch,
      fileSize: dump.fileSize,
      complete: dump.complete,
      header: { ...header, contextBytes: context?.length ?? null },
      problems: dump.problems,
    };
    return result([row], lines);
  },
});

const SHOWN = 0x100;

export const enumTagCommand: Command = defineCommand({
  names: ['.enumtag'],
  summary: 'list the secondary data blobs',
  usage: '.enumtag',
  fidelity: `Form as in WinDbg; at most ${SHOWN} bytes of a blob are shown.`,
  run(session) {
    const { dump } = session.target;
    if (dump.blobs.length === 0) throw new CommandError('No tagged data in this dump');
    const lines: string[] = [];
    for (const blob of dump.blobs) {
      lines.push(`{${blob.tag}} - 0x${blob.size.toString(16)} bytes`);
      const bytes = dump.fileBytes(blob.offset, Math.min(blob.size, SHOWN));
      for (let i = 0; i < bytes.length; i += 16) {
        const row = [...bytes.subarray(i, i + 16)];
        const hex = row.map((b) => hexDigits(b, 2).toUpperCase()).join(' ');
        const ascii = row.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.')).join('');
        lines.push(`  ${hex.padEnd(47)}  ${ascii}`);
      }
      lines.push('');
    }
    return result(dump.blobs, lines);
  },
});
