import { parseAddress } from '../../expressions/range.ts';
import type { Registers } from '../../target/model.ts';
import { currentInstructionLines } from '../code/instruction-line.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress, hexDigits, plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { sessionScope } from '../session/scope.ts';
import { currentThread, resetContext } from '../session/session.ts';
import { threadRegisters } from '../session/thread-context.ts';
import { PARTIAL_NOTE, registerBlock, registerRow } from './register-block.ts';

function addressOf(session: Session, args: string): bigint {
  const parsed = parseAddress(args, sessionScope(session));
  if (args.slice(parsed.end).trim() !== '') throw new CommandError('Extra character error', { at: parsed.end });
  return parsed.address;
}

function setContext(session: Session, registers: Registers, command: string): void {
  session.context = registers;
  session.contextCommand = command;
  session.frame = 0;
}

function trap(session: Session, args: string): CommandResult {
  if (args === '') {
    resetContext(session);
    return result([], ['Resetting default scope']);
  }
  const { target } = session;
  const address = addressOf(session, args);
  const registers = target.trapFrame(address);
  if (registers === null) throw new CommandError(`Unable to read trap frame at ${engineAddress(address, target)}`);
  setContext(session, registers, `.trap ${plainAddress(address, target)}`);
  const head =
    target.arch === 'x86'
      ? [`ErrCode = ${hexDigits(registers.values.get('errcode') ?? 0n, 8)}`]
      : registers.partial
        ? PARTIAL_NOTE
        : [];
  const irql = target.trapFrameIrql(address);
  const row = { ...registerRow(registers), previousIrql: irql?.level ?? null };
  return result([row], [...head, ...registerBlock(registers), ...currentInstructionLines(session, registers)]);
}

export const trapCommand: Command = defineCommand({
  names: ['.trap'],
  summary: 'take the registers of a trap frame as context',
  usage: '.trap [address]',
  fidelity:
    'As in WinDbg; without address back to the processor. Registers that an x64 frame lacks print as 0, as there.',
  run: trap,
});

function contextRecord(session: Session, args: string): CommandResult {
  if (args === '') {
    resetContext(session);
    return result([], ['Resetting default scope']);
  }
  const { target } = session;
  const address = addressOf(session, args);
  const registers = target.contextRecord(address);
  if (registers === null) throw new CommandError(`Unable to read context record at ${engineAddress(address, target)}`);
  setContext(session, registers, `.cxr ${plainAddress(address, target)}`);
  return result(
    [registerRow(registers)],
    [...registerBlock(registers), ...currentInstructionLines(session, registers)],
  );
}

export const contextCommand: Command = defineCommand({
  names: ['.cxr', '.ecxr'],
  summary: 'take a CONTEXT record as context; .ecxr: that of the exception',
  usage: '.cxr [address] | .ecxr',
  fidelity: 'As in WinDbg. `.ecxr` takes the header CONTEXT, which is that of the exception only after an exception.',
  run(session, args, name) {
    if (name === '.cxr') return contextRecord(session, args);
    resetContext(session);
    session.processor = session.target.currentProcessor;
    return result([], ['Resetting default scope']);
  },
});

function thread(session: Session, args: string): CommandResult {
  const { target } = session;
  const text = args.replace(/^(?:\/[a-zA-Z]+\s*)+/, '');
  if (text === '') {
    session.thread = null;
    session.process = null;
    resetContext(session);
    const current = currentThread(session);
    return result(
      [{ thread: current }],
      [`Implicit thread is now ${current === null ? '(unknown)' : engineAddress(current, target)}`],
    );
  }
  const address = addressOf(session, text);
  const found = target.thread(address);
  if (found === null || (found.state === null && found.kernelStack === null)) {
    throw new CommandError(`Unable to read thread ${plainAddress(address, target)}`);
  }
  const registers = threadRegisters(target, address);
  session.thread = found.address;
  const lines: string[] = [];
  if (registers === null) {
    resetContext(session);
    lines.push(`Can't retrieve thread context, Win32 error 0n30`);
  } else setContext(session, registers, `.thread ${plainAddress(address, target)}`);
  if (/\/[a-zA-Z]*p/i.test(args)) {
    const process = found.process ?? found.owningProcess;
    session.process = process;
    if (process !== null) lines.push(`Implicit process is now ${engineAddress(process, target)}`);
  }
  lines.unshift(`Implicit thread is now ${engineAddress(address, target)}`);
  return result([{ thread: address, context: registers === null ? null : registerRow(registers) }], lines);
}

export const threadContextCommand: Command = defineCommand({
  names: ['.thread'],
  summary: 'take a thread as context',
  usage: '.thread [/p] [/r] [address]',
  fidelity:
    'Texts as in WinDbg; /r (reload user symbols) does nothing. Switched-out ARM64 threads have no context here.',
  run: thread,
});

function process(session: Session, args: string): CommandResult {
  const { target } = session;
  const text = args.replace(/^(?:\/[a-zA-Z]+\s*)+/, '');
  if (text === '') {
    session.process = null;
    const thread = currentThread(session);
    const current = thread === null ? null : (target.thread(thread)?.process ?? null);
    return result(
      [{ process: current }],
      [`Implicit process is now ${current === null ? '(unknown)' : engineAddress(current, target)}`],
    );
  }
  const address = addressOf(session, text);
  const found = target.process(address);
  if (found === null || found.directoryTableBase === null) {
    throw new CommandError(`Process ${engineAddress(address, target)} has invalid page directories`);
  }
  session.process = found.address;
  return result([{ process: address }], [`Implicit process is now ${engineAddress(address, target)}`]);
}

export const processContextCommand: Command = defineCommand({
  names: ['.process'],
  summary: 'take a process for user-mode addresses',
  usage: '.process [/p] [/r] [address]',
  fidelity: 'Texts as in WinDbg; page tables are always those of the process, as with /p.',
  run: process,
});
