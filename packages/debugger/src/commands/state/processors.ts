import { type Command, CommandError, defineCommand } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';

export const processorsCommand: Command = defineCommand({
  names: ['~'],
  summary: 'list processors; ~Ns makes N the current one, ~N command runs there once',
  usage: '~ | ~Ns | ~N command',
  fidelity: "Switching is WinDbg's. The list is ours: in kernel mode WinDbg shows none.",
  run(session, args) {
    if (args !== '' && args !== '*') throw new CommandError('Syntax error', { at: 0 });
    const { target } = session;
    const rows = target.processors.map((p) => ({
      number: p.number,
      prcb: p.prcb,
      thread: p.currentThread,
      idleThread: p.idleThread,
      idle: p.idle,
      contextTrust: p.contextTrust,
      irql: p.irql?.level ?? null,
      pc: p.registers?.pc ?? null,
    }));
    if (rows.length === 0) {
      throw new CommandError(`No processors: ${target.processorNote ?? 'the dump holds no processor blocks'}`);
    }
    const lines = target.processors.map((p) => {
      const mark = p.number === session.processor ? '.' : ' ';
      const where = p.registers === null ? 'no context' : target.nameOf(p.registers.pc).text;
      return `${mark}${String(p.number).padStart(3)}  Prcb ${plainAddress(p.prcb, target)}  Thread ${plainAddress(p.currentThread, target)}  ${p.contextTrust.padEnd(11)}  ${where}`;
    });
    return result(rows, lines);
  },
});
