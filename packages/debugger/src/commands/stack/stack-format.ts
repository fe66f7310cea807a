import type { InlineFrame } from '@dumpscope/symbols';
import type { Frame, Registers, StackTrace, Target } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { engineAddress, engineAddressOrGap, hexDigits } from '../format/address.ts';
import { nameIn, symbolText } from '../session/names.ts';
import { sourceAt, sourceText } from '../session/source-line.ts';
import { withTypesOf } from '../types/type-sources.ts';
import { codeAddress } from './code-address.ts';
import { localVariables } from './local-variables.ts';
import { parameterList } from './variable-text.ts';

/** What the letters behind `k` ask for. */
export interface StackOptions {
  readonly args: boolean; // b, v
  /** v; `traps`: trap frames alone, as the seed's page has them under !thread. */
  readonly verbose: boolean | 'traps';
  readonly clean: boolean; // c
  readonly numbers: boolean; // n
  readonly distance: boolean; // f
  readonly sourceLines: boolean; // not L
  /** p: parameters on the line, P: each on its own. */
  readonly parameters?: 'line' | 'block' | null;
}

export interface FrameRow {
  /** Number as shown: inlined calls count too. */
  readonly index: number;
  /** Name of the inlined function where the row is an inlined call: the other values are those of its real frame. */
  readonly inline: string | null;
  readonly childSp: bigint;
  readonly returnAddress: bigint | null;
  readonly pc: bigint;
  readonly symbol: string;
  readonly args: readonly (bigint | null)[];
  readonly trust: string;
  readonly trapFrame: bigint | null;
  readonly remark: string | null;
  readonly stack: string;
  readonly file: string | null;
  readonly line: number | null;
  /** On the last row: why the walk ended. */
  readonly end: { readonly reason: string; readonly text: string } | null;
}

/** A frame as it is listed, or a call inlined into one. */
export interface ShownFrame {
  readonly number: number;
  readonly frame: Frame;
  readonly inline: InlineFrame | null;
}

const WARN_UNWIND = 'WARNING: Stack unwind information not available. Following frames may be wrong.';
const WARN_MODULE = 'WARNING: Frame IP not in any known module. Following frames may be wrong.';

/** Frames with the calls inlined into them, innermost first, numbered as the debugger does. */
export function shownFrames(session: Session, trace: StackTrace, process?: bigint | null): ShownFrame[] {
  const shown: ShownFrame[] = [];
  for (const frame of trace.frames) {
    const at = codeAddress(frame);
    const { module } = nameIn(session, at, process);
    for (const inline of module?.debugInfo?.inlineFrames?.(Number(at - module.base)) ?? []) {
      shown.push({ number: shown.length, frame, inline });
    }
    shown.push({ number: shown.length, frame, inline: null });
  }
  return shown;
}

/** The trace as data. */
export function frameRows(session: Session, trace: StackTrace, process?: bigint | null): FrameRow[] {
  const shown = shownFrames(session, trace, process);
  return shown.map((item, i) => ({
    ...frameRow(session, item, process),
    end: i === shown.length - 1 ? { reason: trace.endReason, text: trace.endText } : null,
  }));
}

export function frameRow(session: Session, shown: ShownFrame, process?: bigint | null): FrameRow {
  const { target } = session;
  const { frame, inline } = shown;
  const source = inline ?? sourceOf(session, frame, process);
  return {
    index: shown.number,
    inline: inline?.name ?? null,
    childSp: target.pointerSize === 4 ? (frame.childEbp ?? frame.sp) : frame.sp,
    returnAddress: frame.returnAddress,
    pc: frame.pc,
    symbol: frameSymbol(session, frame.pc, process),
    args: frame.args,
    trust: frame.trust,
    trapFrame: frame.trapFrame,
    remark: frame.remark,
    stack: frame.stack,
    file: source?.file ?? null,
    line: source?.line ?? null,
    end: null,
  };
}

function frameSymbol(session: Session, pc: bigint, process?: bigint | null): string {
  return symbolText(session, pc, process) ?? `0x${engineAddress(pc, session.target)}`;
}

function sourceOf(
  session: Session,
  frame: Frame,
  process?: bigint | null,
): { readonly file: string; readonly line: number } | null {
  return sourceAt(session, codeAddress(frame), process);
}

/** The header line. `legacy` is the form without frame numbers that `!thread` prints on 64-bit targets too. */
export function stackHeader(target: Target, options: StackOptions, legacy = false): string {
  const { pointerSize } = target;
  // Also where numbers are not asked for; `kc` came with debuggers that number its rows.
  if (options.clean) return pointerSize === 4 ? ' #' : ' # Call Site';
  const number = options.numbers ? ' # ' : '';
  const memory = options.distance ? '  Memory  ' : '';
  if (pointerSize === 4) {
    return `${number}${memory}ChildEBP RetAddr  ${options.args ? 'Args to Child              ' : ''}`;
  }
  const gap = legacy ? '           ' : '               ';
  const args = options.args ? `: Args to Child${' '.repeat(59)}: ` : '';
  return `${number}${memory}Child-SP          RetAddr${gap}${args}Call Site`;
}

function remarkOf(
  session: Session,
  frame: Frame,
  verbose: StackOptions['verbose'],
  process: bigint | null | undefined,
): string {
  const { target } = session;
  if (verbose === false || (verbose === 'traps' && frame.trapFrame === null)) return '';
  const remark =
    frame.remark !== null
      ? ` (${frame.remark})`
      : frame.trapFrame === null
        ? ''
        : ` (TrapFrame @ ${engineAddress(frame.trapFrame, target)})`;
  return target.arch === 'x86' && verbose === true ? `${remark}${conventionOf(session, frame, process)}` : remark;
}

/** ` (CONV: stdcall)`: the calling convention, where private symbols know the function's type. */
function conventionOf(session: Session, frame: Frame, process: bigint | null | undefined): string {
  const { module, symbol } = nameIn(session, codeAddress(frame), process);
  const type = symbol === null ? undefined : module?.debugInfo?.symbolType?.(symbol);
  return type?.kind !== 'function' || type.convention === null ? '' : ` (CONV: ${type.convention})`;
}

/** Whether WinDbg would warn in front of this frame: it was found without data that says where it lies. */
function warning(session: Session, frame: Frame, previous: Frame | undefined, process?: bigint | null): string | null {
  if (nameIn(session, frame.pc, process).module === null) return WARN_MODULE;
  if (previous === undefined) return null;
  if (frame.trust === 'scan') return WARN_UNWIND;
  if (frame.trust !== 'frame-pointer') return null;
  const callee = nameIn(session, previous.pc, process).module;
  return callee === null || callee.debugInfo === null || callee.symbolOrigin === 'export' ? WARN_UNWIND : null;
}

/** Lines of a trace, header first; each warning once, before the first frame it concerns. */
export function stackLines(
  session: Session,
  trace: StackTrace,
  options: StackOptions,
  form: { readonly legacy?: boolean; readonly process?: bigint | null } = {},
): string[] {
  const { legacy = false, process } = form;
  const lines = [stackHeader(session.target, options, legacy)];
  const warned = new Set<string>();
  let previous: Frame | undefined;
  for (const shown of shownFrames(session, trace, process)) {
    const { frame } = shown;
    const warn = warning(session, frame, previous, process);
    if (warn !== null && !warned.has(warn)) {
      warned.add(warn);
      lines.push(warn);
    }
    lines.push(frameLine(session, shown, previous, options, { legacy, process }));
    if (shown.inline === null) previous = frame;
  }
  return lines;
}

/** `08 (Inline Function) --------`--------     Mem!invoke_main [file @ 78] `. */
function inlineLine(session: Session, shown: ShownFrame, options: StackOptions, form: Form): string {
  const { legacy, process } = form;
  const wide = session.target.pointerSize === 8;
  const number = options.numbers || options.clean ? `${hexDigits(shown.number, 2)} ` : '';
  const module = nameIn(session, shown.frame.pc, process).module?.name ?? '?';
  const name = `${module}!${shown.inline?.name ?? '?'}`;
  if (options.clean) return `${number}${name}`;
  const distance = options.distance ? ' '.repeat(10) : '';
  const source = options.sourceLines && session.lines ? sourceText(shown.inline) : '';
  if (!wide)
    return `${number}${distance}(Inline) -------- ${options.args ? `${'-------- '.repeat(3)}` : ''}${name}${source}`;
  const args = options.args ? `: ${'--------`-------- '.repeat(4)}: ` : '';
  return `${number}${distance}(Inline Function) --------\`--------${legacy ? ' ' : '     '}${args}${name}${source}`;
}

export interface Form {
  readonly legacy: boolean;
  readonly process: bigint | null | undefined;
}

/** `mod!Func(int n = 0n5)+0x10` where a private PDB tells the parameters. */
function withParameters(
  session: Session,
  frame: Frame,
  symbol: string,
  options: StackOptions,
  process: bigint | null | undefined,
): string {
  if (options.parameters == null) return symbol;
  const { module } = nameIn(session, frame.pc, process);
  if (module?.debugInfo?.locals === undefined) return symbol;
  const typed = withTypesOf(session, `${module.name}!x`);
  const list = parameterList(
    typed,
    localVariables(typed, frame, process),
    options.parameters === 'line' ? '' : '\n\t\t\t',
  );
  const plus = /\+0x[0-9a-f]+$/.exec(symbol)?.[0] ?? '';
  return `${symbol.slice(0, symbol.length - plus.length)}${list}${plus}`;
}

/** One row of a listing. `previous` is the frame above it, for the distance that `f` asks for. */
export function frameLine(
  session: Session,
  shown: ShownFrame,
  previous: Frame | undefined,
  options: StackOptions,
  form: Form,
): string {
  if (shown.inline !== null) return inlineLine(session, shown, options, form);
  const { target } = session;
  const { frame } = shown;
  const { legacy, process } = form;
  const { pointerSize } = target;
  const number = options.numbers || options.clean ? `${hexDigits(shown.number, 2)} ` : '';
  const symbol = frameSymbol(session, frame.pc, process);
  if (options.clean) return `${number}${symbol.replace(/\+0x[0-9a-f]+$/, '')}`;
  const sp = pointerSize === 4 ? (frame.childEbp ?? frame.sp) : frame.sp;
  const before = previous === undefined ? null : pointerSize === 4 ? (previous.childEbp ?? previous.sp) : previous.sp;
  const distance = options.distance
    ? `${(before === null || sp < before ? '' : (sp - before).toString(16)).padStart(9)} `
    : '';
  const returnAddress = engineAddress(frame.returnAddress ?? 0n, target);
  const head = `${number}${distance}${engineAddress(sp, target)} ${returnAddress}`;
  const source = options.sourceLines ? sourceText(sourceOf(session, frame, process)) : '';
  const tail = `${withParameters(session, frame, symbol, options, process)}${remarkOf(session, frame, options.verbose, process)}${source}`;
  if (pointerSize === 4) {
    const args = options.args ? `${frameArgs(target, frame, 3)} ` : '';
    return `${head} ${args}${tail}`;
  }
  const gap = legacy ? ' ' : '     ';
  const args = options.args ? `: ${frameArgs(target, frame, 4)} : ` : '';
  return `${head}${gap}${args}${tail}`;
}

function frameArgs(target: Target, frame: Frame, count: number): string {
  return Array.from({ length: count }, (_, i) => engineAddressOrGap(frame.args[i] ?? null, target)).join(' ');
}

/** Walks from a context; the walk itself never fails, an unreadable stack gives its first frame alone. */
export function walk(session: Session, start: Registers, limit: number): StackTrace {
  return session.target.walkStack(start, { limit });
}
