import { currentInstructionLines } from '../code/instruction-line.ts';
import { type Command, type CommandResult, defineCommand, type Session } from '../command.ts';
import { hexDigits, plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { processorRegisters } from '../session/session.ts';
import { stackLines, walk } from '../stack/stack-format.ts';
import { PARTIAL_NOTE, registerBlock } from '../state/register-block.ts';
import { buildLab, systemName } from './version-target.ts';

const STARS = '*'.repeat(79);
const MAX_FRAMES = 0x400;

function banner(): string[] {
  const blank = `*${' '.repeat(77)}*`;
  return [STARS, blank, `*${' '.repeat(24)}Bugcheck Analysis${' '.repeat(36)}*`, blank, STARS];
}

/** Wraps a text at words, as the description under the title is. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  if (line !== '') lines.push(line);
  return lines;
}

function titleLines(session: Session): string[] {
  const { bugcheck, bugcheckNote } = session.target;
  if (bugcheck === null) {
    return ['No bugcheck', ...wrapped(bugcheckNote ?? 'Nothing in this dump says that the system bugchecked.', 78)];
  }
  const code = bugcheck.baseCode.toString(16);
  const lines = [
    bugcheck.name === null ? `Unknown bugcheck code (${code})` : `${bugcheck.name} (${code})`,
    'Arguments:',
  ];
  bugcheck.parameters.forEach((value, i) => {
    const meaning = bugcheck.meanings[i];
    const digits = session.target.pointerSize * 2;
    lines.push(
      `Arg${i + 1}: ${hexDigits(BigInt.asUintN(digits * 4, value), digits)}${meaning == null ? '' : `, ${meaning}`}`,
    );
  });
  return lines;
}

/** The trap frame on the bugchecking stack, with its registers, as TRAP_FRAME shows it. */
function trapLines(session: Session, address: bigint): string[] {
  const { target } = session;
  const registers = target.trapFrame(address);
  if (registers === null) return [];
  const text = plainAddress(address, target);
  return [
    `TRAP_FRAME:  ${text} -- (.trap 0x${text})`,
    ...(target.arch === 'x86'
      ? [`ErrCode = ${hexDigits(registers.values.get('errcode') ?? 0n, 8)}`]
      : registers.partial
        ? PARTIAL_NOTE
        : []),
    ...registerBlock(registers),
    ...currentInstructionLines(session, registers),
    'Resetting default scope',
    '',
  ];
}

/** Fields of the engine's own: code, process, trap frame, stack. */
function detailLines(session: Session): string[] {
  const { target } = session;
  const lines: string[] = [];
  const field = (name: string, value: string, blanks = 2): void => {
    lines.push(`${name}:${' '.repeat(blanks)}${value}`, '');
  };
  const { bugcheck } = target;
  if (bugcheck !== null) {
    field('BUGCHECK_CODE', bugcheck.baseCode.toString(16));
    bugcheck.parameters.forEach((value, i) => {
      field(`BUGCHECK_P${i + 1}`, value.toString(16), 1);
    });
  }
  const name = /[^\\/]*$/.exec(target.dump.name)?.[0] ?? target.dump.name;
  field('FILE_IN_CAB', name);
  const { attributes } = target.dump.header;
  if (attributes !== null) field('DUMP_FILE_ATTRIBUTES', `0x${(attributes >>> 0).toString(16)}`, 1);
  const processor = target.processors.find((p) => p.number === target.currentProcessor);
  const thread = processor?.currentThread == null ? null : target.thread(processor.currentThread);
  const process = thread?.process ?? thread?.owningProcess ?? null;
  const image = process === null ? null : (target.process(process)?.image ?? null);
  if (image !== null) field('PROCESS_NAME', image);
  if (processor?.irql != null) {
    const { level, kind, source } = processor.irql;
    field('CURRENT_IRQL', `${level.toString(16)}${kind === 'minimum' ? ' or above' : ''} (${source})`);
  }
  const registers = processorRegisters(session, target.currentProcessor);
  if (registers !== null) {
    const trace = walk(session, registers, MAX_FRAMES);
    const trapped = trace.frames.find((frame) => frame.trapFrame !== null);
    if (trapped?.trapFrame != null) lines.push(...trapLines(session, trapped.trapFrame));
    const options = { args: true, verbose: true, clean: false, numbers: false, distance: false, sourceLines: false };
    lines.push('STACK_TEXT:  ', ...stackLines(session, trace, options).slice(1), '', '');
  }
  return lines;
}

function analyze(session: Session, args: string): CommandResult {
  const { target } = session;
  const verbose = /(?:^|\s)-v/.test(args);
  const verdict = session.analyze?.() ?? null;
  const lines = [...banner(), '', ...titleLines(session), ''];
  const rows: unknown[] = [
    {
      bugcheck:
        target.bugcheck === null
          ? null
          : { code: target.bugcheck.baseCode, name: target.bugcheck.name, parameters: target.bugcheck.parameters },
      module: verdict?.blame?.module ?? null,
      symbol: verdict?.blame?.symbol ?? null,
      bucket: verdict?.bucket ?? null,
    },
    ...(verdict?.rows ?? []),
  ];
  if (verbose) {
    lines.push('Debugging Details:', '------------------', '', '', ...detailLines(session));
  }
  const blame = verdict?.blame ?? null;
  if (blame !== null) {
    if (blame.symbol !== null) lines.push(`SYMBOL_NAME:  ${blame.symbol}`, '');
    lines.push(`MODULE_NAME: ${blame.module}`, '');
    if (blame.image !== null) lines.push(`IMAGE_NAME:  ${blame.image}`, '');
  }
  if (verbose) lines.push('STACK_COMMAND:  .cxr; .ecxr ; kb', '');
  if (verdict?.bucket != null) lines.push(`FAILURE_BUCKET_ID:  ${verdict.bucket}`, '');
  if (verbose) {
    const lab = buildLab(target);
    if (lab !== null) lines.push(`BUILDLAB_STR:  ${lab}`, '');
    const platform = { x86: 'x86', x64: 'x64', arm64: 'arm64' }[target.arch];
    lines.push(`OSPLATFORM_TYPE:  ${platform}`, '', `OSNAME:  ${systemName(target.dump.header.minorVersion)}`, '');
  }
  lines.push(`Followup:     ${blame === null ? 'MachineOwner' : blame.module}`, '---------', '');
  if (verdict !== null) lines.push(...verdict.text.replace(/\n+$/, '').split('\n'));
  else lines.push('(no diagnosis in this session)');
  return result(rows, lines);
}

export const analyzeCommand: Command = defineCommand({
  names: ['!analyze'],
  summary: "our verdict under WinDbg's headings",
  usage: '!analyze [-v] [-hang]',
  fidelity:
    "WinDbg's headings and field names, only those whose values we know; descriptions and verdict are our own, after the dashes. No FAILURE_ID_HASH.",
  run: analyze,
});
