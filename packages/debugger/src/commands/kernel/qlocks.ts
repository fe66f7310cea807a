import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { result } from '../format/lines.ts';
import { lockQueueLength, type QueuedLock, queuedLocks, type SlotState } from './queued-locks.ts';

function mark(state: SlotState): string {
  switch (state.kind) {
    case 'none':
      return '';
    case 'owner':
      return 'O';
    case 'waiting':
      return state.order === null ? '?' : String(state.order);
    case 'corrupt':
      return 'C';
    case 'unknown':
      return '?';
  }
}

/** Locks that this dump can tell about; throws with the reason where it can tell about none. */
function requireLocks(session: Session): readonly QueuedLock[] {
  const { target } = session;
  if (target.processors.length === 0) {
    throw new CommandError(`!qlocks: ${target.processorNote ?? 'no processor blocks in this dump'}`);
  }
  if (lockQueueLength(session) === 0) {
    throw new CommandError('!qlocks: nt!_KPRCB.LockQueue is not in the layouts of this kernel');
  }
  return queuedLocks(session);
}

export const qlocksCommand: Command = defineCommand({
  names: ['!qlocks'],
  summary: "show the kernel's numbered queued spin locks",
  usage: '!qlocks',
  fidelity:
    'Table as in WinDbg; ? where an entry or the lock word cannot be read. In-stack queued locks are not in it, as there.',
  run(session) {
    const locks = requireLocks(session);
    const { processors } = session.target;
    const numbers = processors.map((p) => String(p.number).padStart(3)).join('');
    const lines = [
      'Key: O = Owner, 1-n = Wait order, blank = not owned/waiting, C = Corrupt',
      '',
      `${' '.repeat(23)}Processor Number`,
      `${'    Lock Name'.padEnd(20)}${numbers}`,
      '',
      ...locks.map((lock) => `${lock.name.padEnd(20)}${lock.slots.map((s) => mark(s).padStart(3)).join('')}`),
    ];
    const rows = locks.map((lock) => ({
      index: lock.index,
      name: lock.name,
      lock: lock.lock,
      processors: lock.slots.map((state, i) => ({ processor: processors[i]?.number ?? i, ...state })),
    }));
    return result(rows, lines);
  },
});
