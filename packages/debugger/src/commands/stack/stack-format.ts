import type { Frame, Registers, StackTrace, Target } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { engineAddress, engineAddressOrGap, hexDigits } from '../format/address.ts';
import { nameIn, symbolText } from '../session/names.ts';

/** What the letters behind `k` ask for. */
export interface StackOptions {
  readonly args: boolean; // b, v
  readonly verbose: boolean; // v
  readonly clean: boolean; // c
  readonly numbers: boolean; // n
  readonly distance: boolean; // f
  readonly sourceLines: boolean; // not L
}

export interface FrameRow {
  readonly index: number;
  readonly childSp: bigint;
  readonly returnAddress: bigint | null;
  readonly pc: bigint;
  readonly symbol: string;
  readonly args: readonly (bigint | null)[];
  readonly trust: string;
  readonly trapFrame: bigint | null;
  readonly remark: string | null;
  readonly stack: string;
}

const WARN_UNWIND = 'WARNING: Stack unwind information not available. Following frames may be wrong.';
const WARN_MODULE = 'WARNING: Frame IP not in any known module. Following frames may be wrong.';

export function frameRow(session: Session, frame: Frame, process?: bigint | null): FrameRow {
  const { target } = session;
  return {
    index: frame.index,
    childSp: target.pointerSize === 4 ? (frame.childEbp ?? frame.sp) : frame.sp,
    returnAddress: frame.returnAddress,
    pc: frame.pc,
    symbol: frameSymbol(session, frame.pc, process),
    args: frame.args,
    trust: frame.trust,
    trapFrame: frame.trapFrame,
    remark: frame.remark,
    stack: frame.stack,
  };
}

function frameSymbol(session: Session, pc: bigint, process?: bigint | null): string {
  return symbolText(session, pc, process) ?? `0x${engineAddress(pc, session.target)}`;
}

function sourceText(session: Session, pc: bigint, process?: bigint | null): string {
  const { module } = nameIn(session, pc, process);
  const line = module?.debugInfo?.line(Number(pc - module.base));
  return line === undefined ? '' : ` [${line.file} @ ${line.line}] `;
}

/** The header line. `legacy` is the form without frame numbers that `!thread` prints on 64-bit targets too. */
export function stackHeader(target: Target, options: StackOptions, legacy = false): string {
  const { pointerSize } = target;
  if (options.clean) return pointerSize === 4 && !options.numbers ? 'Call Site' : ' # Call Site';
  const number = options.numbers ? ' # ' : '';
  const memory = options.distance ? '  Memory  ' : '';
  if (pointerSize === 4) {
    return `${number}${memory}ChildEBP RetAddr  ${options.args ? 'Args to Child              ' : ''}`;
  }
  const gap = legacy ? '           ' : '               ';
  const args = options.args ? `: Args to Child${' '.repeat(59)}: ` : '';
  return `${number}${memory}Child-SP          RetAddr${gap}${args}Call Site`;
}

function remarkOf(target: Target, frame: Frame): string {
  if (frame.remark !== null) return ` (${frame.remark})`;
  return frame.trapFrame === null ? '' : ` (TrapFrame @ ${engineAddress(frame.trapFrame, target)})`;
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
  for (const frame of trace.frames) {
    const warn = warning(session, frame, previous, process);
    if (warn !== null && !warned.has(warn)) {
      warned.add(warn);
      lines.push(warn);
    }
    lines.push(frameLine(session, frame, previous, options, { legacy, process }));
    previous = frame;
  }
  return lines;
}

function frameLine(
  session: Session,
  frame: Frame,
  previous: Frame | undefined,
  options: StackOptions,
  form: { readonly legacy: boolean; readonly process: bigint | null | undefined },
): string {
  const { target } = session;
  const { legacy, process } = form;
  const { pointerSize } = target;
  const number = options.numbers || (options.clean && pointerSize === 8) ? `${hexDigits(frame.index, 2)} ` : '';
  const symbol = frameSymbol(session, frame.pc, process);
  if (options.clean) return `${number}${symbol.replace(/\+0x[0-9a-f]+$/, '')}`;
  const sp = pointerSize === 4 ? (frame.childEbp ?? frame.sp) : frame.sp;
  const before = previous === undefined ? null : pointerSize === 4 ? (previous.childEbp ?? previous.sp) : previous.sp;
  const distance = options.distance
    ? `${(before === null || sp < before ? '' : (sp - before).toString(16)).padStart(9)} `
    : '';
  const returnAddress = engineAddress(frame.returnAddress ?? 0n, target);
  const head = `${number}${distance}${engineAddress(sp, target)} ${returnAddress}`;
  const source = options.sourceLines ? sourceText(session, frame.pc, process) : '';
  const tail = `${symbol}${options.verbose ? remarkOf(target, frame) : ''}${source}`;
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

/** Why a trace ended before the stack's base: worth a line, since WinDbg is silent about it. */
export function endNote(trace: StackTrace): string | null {
  return ['unreadable', 'did-not-advance', 'frame-limit'].includes(trace.endReason) ? trace.endText : null;
}

/** Walks from a context; the walk itself never fails, an unreadable stack gives its first frame alone. */
export function walk(session: Session, start: Registers, limit: number): StackTrace {
  return session.target.walkStack(start, { limit });
}
