import { type Command, CommandError, defineCommand } from '../command.ts';
import { engineAddress, hexDigits } from '../format/address.ts';
import { result } from '../format/lines.ts';

export const bugcheckCommand: Command = defineCommand({
  names: ['.bugcheck'],
  summary: 'show the bugcheck code and its parameters',
  usage: '.bugcheck',
  fidelity: 'As in WinDbg; where nobody bugchecked it says so.',
  run(session) {
    const { target } = session;
    const { bugcheck } = target;
    if (bugcheck === null) throw new CommandError(`No bugcheck: ${target.bugcheckNote ?? 'the header holds none'}`);
    const row = {
      code: BigInt(bugcheck.code >>> 0),
      name: bugcheck.name,
      parameters: bugcheck.parameters,
      meanings: bugcheck.meanings,
    };
    return result(
      [row],
      [
        `Bugcheck code ${hexDigits(bugcheck.code >>> 0, 8).toUpperCase()}`,
        `Arguments ${bugcheck.parameters.map((p) => engineAddress(p, target)).join(' ')}`,
      ],
    );
  },
});

export const lastEventCommand: Command = defineCommand({
  names: ['.lastevent'],
  summary: 'show why the dump was written',
  usage: '.lastevent',
  fidelity: 'Our own text: a kernel dump holds no debugger event.',
  run(session) {
    const { bugcheck, bugcheckNote } = session.target;
    const text =
      bugcheck === null
        ? `no bugcheck (${bugcheckNote ?? 'none in the header'})`
        : `bugcheck ${bugcheck.name ?? 'of unknown name'} (${bugcheck.baseCode.toString(16)})`;
    return result([{ event: text }], [`Last event: ${text}`]);
  },
});
