import { Structure } from '../../nt/structure.ts';
import { type Command, CommandError, defineCommand } from '../command.ts';
import { result } from '../format/lines.ts';
import { irqlText } from './irql-names.ts';
import { processorArgument } from './processor-argument.ts';

export const irqlCommand: Command = defineCommand({
  names: ['!irql'],
  summary: 'show the IRQL of a processor and where it is known from',
  usage: '!irql [processor]',
  fidelity:
    "WinDbg's line, then what is really known: on a frozen processor DebuggerSavedIRQL is 0 because nobody wrote it.",
  run(session, args) {
    const processor = processorArgument(session, args);
    const { target } = session;
    const saved = new Structure(target, '_KPRCB', processor.prcb).number('DebuggerSavedIRQL');
    const lines: string[] = [];
    if (saved !== undefined) {
      lines.push(
        `Debugger saved IRQL for processor 0x${processor.number.toString(16)} -- ${irqlText(saved, target.arch)}`,
      );
    } else if (processor.irql === null) {
      throw new CommandError('Saved IRQL is not available: this kernel or dump does not record it');
    }
    const { irql } = processor;
    lines.push(
      irql === null
        ? `    interrupted level: unknown (${processor.contextTrust === 'frozen' ? 'the saved value of a frozen processor is not written' : processor.contextReason})`
        : `    interrupted level: ${irql.kind === 'minimum' ? 'at least ' : ''}${irqlText(irql.level, target.arch)}, from ${irql.source}`,
    );
    const row = {
      processor: processor.number,
      debuggerSavedIrql: saved ?? null,
      irql: irql?.level ?? null,
      irqlKind: irql?.kind ?? null,
      irqlSource: irql?.source ?? null,
    };
    return result([row], lines);
  },
});
