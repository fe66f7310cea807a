import { createDisassembler, type Disassembler } from '@dumpscope/cpu';
import type { Registers, Target, Wow64Thread } from '../../target/model.ts';
import { CommandError, type Session } from '../command.ts';
import { currentProcess, currentRegisters, currentThread, processorOf } from './session.ts';
import { withMembers } from './with-members.ts';

interface Narrow {
  readonly thread: Wow64Thread;
  readonly registers: Registers;
}

/**
 * The 32-bit half of the current thread, from the registers that its code goes on with: those of the interrupted 32-bit
 * code, or what the 64-bit half saved when it was called.
 */
function narrowThread(session: Session): Narrow {
  const thread = currentThread(session);
  const half = thread === null ? null : (session.target.wow64?.(thread) ?? null);
  const name = thread === null ? 'the current thread' : `thread ${thread.toString(16)}`;
  if (half === null) throw new CommandError(`There is no WOW64 half of ${name} in the dump`);
  const start = currentRegisters(session);
  if (start?.arch === 'x86') return { thread: half, registers: start };
  const trace = start === null ? null : session.target.walkStack(start);
  const first = trace?.frames.find((frame) => frame.registers.arch === 'x86');
  if (first === undefined)
    throw new CommandError(
      `The 32-bit registers of ${name} are not in the dump, or its stack cannot be followed so far`,
    );
  return { thread: half, registers: first.registers };
}

let x86: Disassembler | undefined;

function narrowTarget(session: Session, { thread, registers }: Narrow): Target {
  const { target } = session;
  const process = currentProcess(session);
  x86 ??= createDisassembler('x86');
  const current = processorOf(session);
  return withMembers(target, {
    arch: 'x86',
    pointerSize: 4,
    memory: thread.memory,
    memoryOf: () => thread.memory,
    disassembler: x86,
    code: (at, length) => thread.memory.bytes(at, length) ?? null,
    walkStack: (start, options) => thread.walk(start, options),
    moduleAt: (address, of) => target.moduleAt(address, of ?? process),
    nameOf: (address, of) => target.nameOf(address, of ?? process),
    processors: target.processors.map((p) => (p === current ? withMembers(p, { registers }) : p)),
  });
}

/** The session as commands see it that run in the effective machine; the session itself where that is the dump's own. */
export function effectiveSession(session: Session): Session {
  if (session.machine === null) return session;
  const narrow = narrowThread(session);
  const context = session.context === null ? null : narrow.registers;
  // What commands set goes to the session, or the view would go on showing what it was made with.
  const view: Session = withMembers(session, { target: narrowTarget(session, narrow) });
  return context === null ? view : withMembers(view, { context });
}
