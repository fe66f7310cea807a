import type { Processor } from '../../target/model.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { processorRegisters } from '../session/session.ts';
import { stackLines, walk } from '../stack/stack-format.ts';
import { queuedLocks } from './queued-locks.ts';
import { extensionArgs } from './thread.ts';

/** The 16 characters of LockQueue[0..15]: `.` not used, `O` owned, `W` waiting. */
function lockCharacters(locks: ReturnType<typeof queuedLocks>, position: number): string {
  let text = '';
  for (let i = 0; i < 16; i++) {
    const state = locks[i]?.slots[position];
    text += state?.kind === 'owner' ? 'O' : state?.kind === 'waiting' ? 'W' : '.';
  }
  return text;
}

function mask(processors: readonly Processor[], wanted: (p: Processor) => boolean): bigint {
  let bits = 0n;
  for (const p of processors) if (p.number < 64 && wanted(p)) bits |= 1n << BigInt(p.number);
  return bits;
}

export const runningCommand: Command = defineCommand({
  names: ['!running'],
  summary: 'list the running threads by processor',
  usage: '!running [-i] [-t]',
  fidelity:
    'Table as in WinDbg. A processor counts as idle when its current thread is the idle thread, which says nothing about DPCs that run over it.',
  run(session, args) {
    const { target } = session;
    const { options } = extensionArgs(session, args, 0);
    const withIdle = options.has('i') || options.has('it') || options.has('ti');
    const withStack = options.has('t') || options.has('it') || options.has('ti');
    if (target.processors.length === 0)
      throw new CommandError(`!running: ${target.processorNote ?? 'no processor blocks in this dump'}`);
    const locks = queuedLocks(session);
    const system = mask(target.processors, () => true);
    const idle = mask(target.processors, (p) => p.idleThread === true);
    const lines: string[] = [];
    const wide = target.pointerSize === 8;
    if (wide) {
      lines.push(
        '',
        `System Processors:  (${plainAddress(system, target)})`,
        `  Idle Processors:  (${plainAddress(idle, target)})`,
      );
    } else
      lines.push(
        '',
        `System Processors ${system.toString(16)} (affinity mask)`,
        `  Idle Processors ${idle.toString(16)}`,
      );
    const shown = target.processors.filter((p) => withIdle || p.idleThread !== true);
    if (shown.length === 0) lines.push('All processors idle.');
    if (shown.length > 0) {
      lines.push(
        '',
        wide
          ? '       Prcbs             Current         (pri) Next            (pri) Idle'
          : '     Prcb      Current   Next',
      );
    }
    const rows = shown.map((processor) => {
      const position = target.processors.indexOf(processor);
      const characters = lockCharacters(locks, position);
      const head = `${String(processor.number).padStart(3)}`;
      const current = plainAddress(processor.currentThread, target);
      const next = processor.nextThread;
      if (wide) {
        const nextText =
          next === null || next === 0n ? ' '.repeat(21) : `${plainAddress(next, target)} (${priority(session, next)})`;
        lines.push(
          `${head}    ${plainAddress(processor.prcb, target)}  ${current} (${priority(session, processor.currentThread)}) ${nextText} ${plainAddress(processor.idleThreadAddress, target)}  ${characters}`,
        );
      } else {
        const nextText = next === null || next === 0n ? ' '.repeat(8) : plainAddress(next, target);
        lines.push(`${head}  ${plainAddress(processor.prcb, target)}  ${current}  ${nextText}  ${characters}`);
      }
      if (withStack) lines.push('', ...stackOf(session, processor), '');
      return {
        processor: processor.number,
        prcb: processor.prcb,
        currentThread: processor.currentThread,
        nextThread: processor.nextThread,
        idleThread: processor.idleThreadAddress,
        isIdleThread: processor.idleThread,
        idle: processor.idle,
        queuedLocks: characters,
      };
    });
    return result(rows, lines);
  },
});

function priority(session: Session, thread: bigint | null): string {
  const value = thread === null ? null : (session.target.thread(thread)?.priority ?? null);
  return value === null ? ' ?' : String(value).padStart(2);
}

function stackOf(session: Session, processor: Processor): string[] {
  const registers = processorRegisters(session, processor.number);
  if (registers === null) return [`(no context of processor ${processor.number}: ${processor.contextReason})`];
  const trace = walk(session, registers, 0x100);
  const options = {
    args: false,
    verbose: false,
    clean: false,
    numbers: session.target.pointerSize === 8,
    distance: false,
    sourceLines: true,
  };
  return stackLines(session, trace, options);
}
