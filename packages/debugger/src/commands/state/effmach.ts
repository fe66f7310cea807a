import { type Command, CommandError, defineCommand } from '../command.ts';
import { result } from '../format/lines.ts';
import { effectiveSession } from '../session/effective-machine.ts';
import { resetContext } from '../session/session.ts';

const MACHINES = { x86: 'x86 compatible (x86)', x64: 'x64 (AMD64)', arm64: 'ARM 64-bit (AArch64) (ARM64)' } as const;
const NAMES: Readonly<Record<string, keyof typeof MACHINES>> = { x86: 'x86', amd64: 'x64', x64: 'x64', arm64: 'arm64' };

export const machineCommand: Command = defineCommand({
  names: ['.effmach'],
  summary: 'show or set the effective machine',
  usage: '.effmach [.|#|x86|amd64|arm64]',
  fidelity:
    'x86 shows the 32-bit half of WOW64 threads in r, k, .frame, u, d*, ln and ?; other commands, and #, stay with the machine of the dump.',
  run(session, args) {
    const { arch } = session.target;
    const wanted = args === '.' || args === '#' ? arch : args === '' ? null : NAMES[args.toLowerCase()];
    if (wanted === undefined) throw new CommandError('Syntax error', { at: 0 });
    if (wanted === arch) {
      session.machine = null;
      // A frame of the other half, chosen by .frame /c.
      if (session.context !== null && session.context.arch !== arch) resetContext(session);
    } else if (wanted === 'x86' && arch === 'x64') {
      const before = session.machine;
      session.machine = 'x86';
      try {
        effectiveSession(session);
      } catch (error) {
        session.machine = before;
        throw error;
      }
    } else if (wanted !== null) throw new CommandError(`Machine type ${args} is not that of the dump`);
    // Where a repeated u or d goes on is an address of the other half.
    if (args !== '') session.continuations.clear();
    const machine = session.machine ?? arch;
    return result([{ machine }], [`Effective machine: ${MACHINES[machine]}`]);
  },
});
