import type { Va } from '@dumpscope/core';
import { threadIrps } from '../../nt/irp.ts';
import { enumName, Structure } from '../../nt/structure.ts';
import { OBJECT_TYPES, THREAD_STATES, WAIT_REASONS } from '../../nt/wait-names.ts';
import type { Thread } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { elapsedTicks, tickTime } from '../format/time.ts';
import { nameIn } from '../session/names.ts';
import { threadRegisters } from '../session/thread-context.ts';
import { type FrameRow, frameRows, stackLines, walk } from '../stack/stack-format.ts';
import { replyLines } from './thread-reply.ts';

/** The block of `!thread` as data. Times are ticks of 100 ns x increment; null is "could not be read". */
export interface ThreadRow {
  readonly address: bigint;
  readonly cid: { readonly process: number; readonly thread: number } | null;
  readonly teb: bigint | null;
  readonly win32Thread: bigint | null;
  readonly state: string | null;
  readonly processor: number | null;
  readonly waitReason: string | null;
  readonly waitObjects: readonly { readonly object: bigint; readonly type: string }[];
  readonly irps: readonly bigint[];
  readonly process: bigint | null;
  readonly attachedProcess: bigint | null;
  readonly image: string | null;
  readonly waitStartTick: number | null;
  readonly ticksSinceWait: number | null;
  readonly contextSwitches: number | null;
  readonly userTicks: number | null;
  readonly kernelTicks: number | null;
  readonly tickIncrement: number | null;
  readonly stackBase: bigint | null;
  readonly stackLimit: bigint | null;
  readonly kernelStack: bigint | null;
  readonly priority: number | null;
  readonly basePriority: number | null;
  readonly frames: readonly FrameRow[];
}

export interface ThreadBlock {
  readonly row: ThreadRow;
  readonly lines: readonly string[];
}

const MAX_WAIT_BLOCKS = 64;
const MAX_IRPS = 256;
const MAX_FRAMES = 0x400;

const label = (text: string): string => text.padEnd(26);
const unknown = (value: number | bigint | null): string => (value === null ? '?' : String(value));

/** Bit 0x2 of the flags: waits and the whole block; 0x4: the stack; 0x8: no arguments. */
export const THREAD_FLAGS = { block: 2, stack: 4, plain: 8 } as const;

function stateName(session: Session, thread: Thread): string | null {
  if (thread.state === null) return null;
  return (
    enumName(session.target, '_KTHREAD_STATE', thread.state) ?? THREAD_STATES[thread.state] ?? String(thread.state)
  );
}

function waitReasonName(session: Session, thread: Thread): string | null {
  if (thread.waitReason === null) return null;
  const name = enumName(session.target, '_KWAIT_REASON', thread.waitReason) ?? WAIT_REASONS[thread.waitReason];
  return name ?? 'Unknown';
}

function stateText(session: Session, thread: Thread, full: boolean): string {
  const state = stateName(session, thread);
  const on = thread.nextProcessor === null ? '?' : (thread.nextProcessor >>> 0).toString(16);
  switch (state) {
    case null:
      return '????';
    case 'Running':
      return `RUNNING on processor ${on}`;
    case 'Ready':
    case 'DeferredReady':
      return `${state.toUpperCase()} on processor ${on}`;
    case 'Waiting': {
      if (!full) return 'WAIT';
      const mode = thread.field('WaitMode');
      const alertable = thread.field('Alertable');
      const words = [
        `(${waitReasonName(session, thread) ?? 'Unknown'})`,
        mode === null ? '?' : mode === 0n ? 'KernelMode' : 'UserMode',
        alertable === null ? '?' : alertable === 0n ? 'Non-Alertable' : 'Alertable',
      ];
      return `WAIT: ${words.join(' ')}`;
    }
    default:
      return state.toUpperCase();
  }
}

/** `THREAD 830c07c0  Cid 0588.0528  Teb: 7ffa3000 Win32Thread: e29546a8 RUNNING on processor 0`. */
export function threadLine(session: Session, thread: Thread, full: boolean): string {
  const { target } = session;
  const id = (value: number | undefined): string =>
    value === undefined ? '????' : value.toString(16).padStart(4, '0');
  const cid = `${id(thread.cid?.process)}.${id(thread.cid?.thread)}`;
  // The target's `teb` is null for a null pointer too: the field itself tells 0 from unreadable.
  const teb = thread.teb ?? thread.field('Teb');
  const win32 = thread.win32Thread ?? thread.field('Win32Thread');
  return `THREAD ${plainAddress(thread.address, target)}  Cid ${cid}  Teb: ${plainAddress(teb, target)} Win32Thread: ${plainAddress(win32, target)} ${stateText(session, thread, full)}`;
}

interface WaitObject {
  readonly object: bigint;
  readonly type: string;
  readonly line: string;
}

/** Wait blocks from KTHREAD.WaitBlockList; a ring on old kernels, an array of WaitBlockCount on 8+. */
function waitObjects(session: Session, thread: Thread): WaitObject[] {
  const { target } = session;
  const first = thread.field('WaitBlockList');
  if (first === null || first === 0n) return [];
  const found: WaitObject[] = [];
  const seen = new Set<bigint>();
  const count = thread.field('WaitBlockCount');
  const limit = count === null ? MAX_WAIT_BLOCKS : Math.min(Math.max(1, Number(count)), MAX_WAIT_BLOCKS);
  const size = target.layouts.table.struct('_KWAIT_BLOCK')?.size ?? 0;
  let at = first;
  while (found.length < limit && at !== 0n && !seen.has(at)) {
    seen.add(at);
    const block = new Structure(target, '_KWAIT_BLOCK', at);
    const object = block.value('Object');
    if (object === undefined) break;
    found.push(waitObject(session, object));
    if (block.has('NextWaitBlock')) at = block.value('NextWaitBlock') ?? 0n;
    else if (size > 0) at += BigInt(size);
    else break;
  }
  return found;
}

function waitObject(session: Session, object: bigint): WaitObject {
  const { target } = session;
  const header = new Structure(target, '_DISPATCHER_HEADER', object);
  const number = header.number('Type');
  const masked = number === undefined ? undefined : number & 0x7f;
  const type = masked === undefined ? 'Unknown' : (OBJECT_TYPES[masked] ?? 'Unknown');
  let detail = type;
  if (masked === 5) {
    const limit = new Structure(target, '_KSEMAPHORE', object).value('Limit');
    detail = `Semaphore Limit 0x${limit === undefined ? '?' : limit.toString(16)}`;
  } else if (masked === 2) {
    const owner = new Structure(target, '_KMUTANT', object).value('OwnerThread');
    detail = `Mutant - owning thread ${owner === undefined || owner !== 0n ? plainAddress(owner, target) : '0'}`;
  }
  return { object, type, line: `    ${plainAddress(object, target)}  ${detail}` };
}

function irpList(
  session: Session,
  thread: Thread,
): { readonly irps: readonly bigint[]; readonly lines: readonly string[] } {
  const { target } = session;
  const list = threadIrps(target, thread, MAX_IRPS);
  if (list === null) return { irps: [], lines: [] };
  const { irps } = list;
  if (irps.length === 0) return { irps, lines: [] };
  const lines = ['IRP List:'];
  for (const address of irps) {
    const irp = new Structure(target, '_IRP', address);
    const hex = (value: number | undefined, digits: number): string =>
      value === undefined ? '?'.repeat(digits) : value.toString(16).padStart(digits, '0');
    const mdl = irp.value('MdlAddress');
    const mdlText = mdl === 0n ? '00000000' : plainAddress(mdl, target);
    lines.push(
      `    ${plainAddress(address, target)}: (${hex(irp.number('Type'), 4)},${hex(irp.number('Size'), 4)}) Flags: ${hex(irp.number('Flags'), 8)}  Mdl: ${mdlText}`,
    );
  }
  if (list.end !== 'head') lines.push(`    (the list is broken: ${list.end} at ${plainAddress(list.at, target)})`);
  return { irps, lines };
}

function impersonation(session: Session, thread: Thread): string[] {
  const active = thread.field('ActiveImpersonationInfo');
  if (active === null) return [];
  if (active === 0n) return ['Not impersonating'];
  const bits = thread.field('ClientSecurity.ImpersonationToken');
  const mask = session.target.pointerSize === 8 ? 0xffff_ffff_ffff_fff8n : 0xffff_fff8n;
  const token = bits === null ? null : bits & mask;
  const levels = ['Anonymous', 'Identification', 'Impersonation', 'Delegation'];
  const level = bits === null ? '?' : levels[Number(bits & 3n)];
  return [`Impersonation token:  ${plainAddress(token, session.target)} (Level ${level})`];
}

function startAddress(session: Session, name: string, value: bigint | null, process: Va | null): string[] {
  if (value === null || value === 0n) return [];
  const { target } = session;
  const symbol = nameIn(session, value, process);
  const address = `0x${plainAddress(value, target)}`;
  return [`${name} ${symbol.module === null ? address : `${symbol.text} (${address})`}`];
}

/** The form of the line changes with the kernel (and in WinDbg with the extension's age). */
function priorityLine(session: Session, thread: Thread): string {
  const build = session.target.dump.header.minorVersion;
  const priority = `Priority ${unknown(thread.priority)} BasePriority ${unknown(thread.basePriority)}`;
  const decrement = `PriorityDecrement ${unknown(thread.field('PriorityDecrement'))}`;
  if (build < 6000) return `${priority} ${decrement} DecrementCount ${unknown(thread.field('DecrementCount'))}`;
  const io = `IoPriority ${unknown(thread.field('ThreadIoPriority'))} PagePriority ${unknown(thread.field('ThreadPagePriority') ?? thread.field('PagePriority'))}`;
  if (build < 9200 || build >= 10240) return `${priority} ${decrement} ${io}`;
  const boost = `UnusualBoost ${unknown(thread.field('UnusualBoost'))} ForegroundBoost ${unknown(thread.field('ForegroundBoost'))}`;
  return `${priority} ${boost} ${io}`;
}

function stackLine(session: Session, thread: Thread): string[] {
  const { target } = session;
  const a = (value: bigint | null): string => plainAddress(value, target);
  const call = thread.field('CallbackStack');
  if (target.pointerSize === 4) {
    const callText = call === null ? '?' : call.toString(16);
    return [
      `Stack Init ${a(thread.initialStack)} Current ${a(thread.kernelStack)} Base ${a(thread.stackBase)} Limit ${a(thread.stackLimit)} Call ${callText}`,
    ];
  }
  return [
    `Stack Init ${a(thread.initialStack)} Current ${a(thread.kernelStack)}`,
    `Base ${a(thread.stackBase)} Limit ${a(thread.stackLimit)} Call ${a(call ?? (thread.fieldAddress('CallbackStack') === null ? 0n : null))}`,
  ];
}

/** Ticks since the last wait began: KeTickCount - KTHREAD.WaitTime, unsigned 32-bit. */
function ticksSince(session: Session, thread: Thread): number | null {
  const { tickCount } = session.target.time;
  if (tickCount === null || thread.waitTime === null) return null;
  return Number(BigInt.asUintN(32, tickCount - BigInt(thread.waitTime)));
}

function processOfThread(thread: Thread): { readonly owner: Va | null; readonly attached: Va | null } {
  const owner = thread.owningProcess ?? thread.process;
  return { owner, attached: thread.process !== null && thread.process !== owner ? thread.process : null };
}

/** The whole block of `!thread` in order: waits, IRPs, token, process, times, start, stack, priority, frames. */
export function threadBlock(session: Session, thread: Thread, flags: number): ThreadBlock {
  const { target } = session;
  const build = target.dump.header.minorVersion;
  const { owner, attached } = processOfThread(thread);
  const image = owner === null ? null : (target.process(owner)?.image ?? null);
  const ticks = ticksSince(session, thread);
  const waiting = stateName(session, thread) === 'Waiting';
  const full = (flags & THREAD_FLAGS.block) !== 0;
  const waits = full && waiting ? waitObjects(session, thread) : [];
  const irps = full ? irpList(session, thread) : { irps: [], lines: [] };
  const lines = [threadLine(session, thread, full)];
  let frames: readonly FrameRow[] = [];
  if (full) {
    const increment = target.time.tickIncrement;
    lines.push(
      ...waits.map((w) => w.line),
      ...(waiting ? replyLines(session, thread) : []),
      ...irps.lines,
      ...impersonation(session, thread),
    );
    const processes = owner === null ? null : target.process(owner);
    lines.push(`${label('DeviceMap')}${plainAddress(processes?.field('DeviceMap') ?? null, target)}`);
    lines.push(`${label('Owning Process')}${plainAddress(owner, target)}       Image:         ${image ?? '<Unknown>'}`);
    if (attached !== null) {
      const name = target.process(attached)?.image ?? '<Unknown>';
      lines.push(`${label('Attached Process')}${plainAddress(attached, target)}       Image:         ${name}`);
    } else if (build >= 9200) lines.push(`${label('Attached Process')}${'N/A'.padEnd(15)}Image:         N/A`);
    const elapsed = ticks !== null && ticks !== 0 && increment !== null ? ` (${elapsedTicks(ticks, increment)})` : '';
    lines.push(
      `${label('Wait Start TickCount')}${unknown(thread.waitTime).padEnd(15)}Ticks: ${unknown(ticks)}${elapsed}`,
      `${label('Context Switch Count')}${switchesText(thread, build)}`,
      `${label('UserTime')}${timeText(thread.userTime, increment)}`,
      `${label('KernelTime')}${timeText(thread.kernelTime, increment)}`,
    );
    const win32 = thread.field('Win32StartAddress');
    lines.push(...startAddress(session, 'Win32 Start Address', win32, owner));
    const start = thread.field('StartAddress');
    if (win32 === null || win32 === 0n || (build < 6000 && start !== win32)) {
      lines.push(...startAddress(session, 'Start Address', start, owner));
    }
    lines.push(...stackLine(session, thread), priorityLine(session, thread));
    if ((flags & THREAD_FLAGS.stack) !== 0) {
      const stack = threadStack(session, thread, (flags & THREAD_FLAGS.plain) === 0);
      frames = stack.frames;
      lines.push(...stack.lines);
    }
  }
  return { row: rowOf(session, thread, { owner, attached, image, ticks, waits, irps: irps.irps, frames }), lines };
}

function switchesText(thread: Thread, build: number): string {
  const count = unknown(thread.contextSwitches).padEnd(15);
  const ideal = thread.field('IdealProcessor');
  const middle = build >= 6000 ? `IdealProcessor: ${unknown(ideal)}`.padEnd(29) : ' '.repeat(5);
  const large = thread.field('LargeStack');
  return `${count}${middle}${large !== null && large !== 0n ? 'LargeStack' : ''}`;
}

function timeText(ticks: number | null, increment: number | null): string {
  if (ticks === null) return '??:??:??.???';
  return increment === null ? `${ticks} ticks` : tickTime(ticks, increment);
}

function threadStack(
  session: Session,
  thread: Thread,
  args: boolean,
): { readonly frames: readonly FrameRow[]; readonly lines: readonly string[] } {
  const { target } = session;
  if (thread.field('KernelStackResident') === 0n) return { frames: [], lines: ['Kernel stack not resident.'] };
  const registers = threadRegisters(target, thread.address);
  if (registers === null) return { frames: [], lines: ["(the thread's context is not in the dump: no stack)"] };
  const trace = walk(session, registers, MAX_FRAMES);
  const process = thread.process ?? thread.owningProcess;
  const options = { args, verbose: 'traps' as const, clean: false, numbers: false, distance: false, sourceLines: true };
  return {
    frames: frameRows(session, trace, process),
    lines: stackLines(session, trace, options, { legacy: true, process }),
  };
}

interface Gathered {
  readonly owner: bigint | null;
  readonly attached: bigint | null;
  readonly image: string | null;
  readonly ticks: number | null;
  readonly waits: readonly WaitObject[];
  readonly irps: readonly bigint[];
  readonly frames: readonly FrameRow[];
}

function rowOf(session: Session, thread: Thread, gathered: Gathered): ThreadRow {
  const waiting = stateName(session, thread) === 'Waiting';
  return {
    address: thread.address,
    cid: thread.cid,
    teb: thread.teb,
    win32Thread: thread.win32Thread,
    state: stateName(session, thread),
    processor: thread.nextProcessor,
    waitReason: waiting ? waitReasonName(session, thread) : null,
    waitObjects: gathered.waits.map(({ object, type }) => ({ object, type })),
    irps: gathered.irps,
    process: gathered.owner,
    attachedProcess: gathered.attached,
    image: gathered.image,
    waitStartTick: thread.waitTime,
    ticksSinceWait: gathered.ticks,
    contextSwitches: thread.contextSwitches,
    userTicks: thread.userTime,
    kernelTicks: thread.kernelTime,
    tickIncrement: session.target.time.tickIncrement,
    stackBase: thread.stackBase,
    stackLimit: thread.stackLimit,
    kernelStack: thread.kernelStack,
    priority: thread.priority,
    basePriority: thread.basePriority,
    frames: gathered.frames,
  };
}
