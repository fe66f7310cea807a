import { compileWildcard } from '../../expressions/wildcard.ts';
import { type Command, CommandError, defineCommand } from '../command.ts';
import { result } from '../format/lines.ts';
import { nameIn } from '../session/names.ts';
import { currentRegisters } from '../session/session.ts';
import { localVariables } from '../stack/local-variables.ts';
import { shownFrames, walk } from '../stack/stack-format.ts';
import { variableText, variableType } from '../stack/variable-text.ts';
import { withTypesOf } from '../types/type-sources.ts';

const NAME_WIDTH = 15;

export const localsCommand: Command = defineCommand({
  names: ['dv'],
  summary: 'show local variables and parameters of the current frame',
  usage: 'dv [/t] [/V] [pattern]',
  fidelity: 'As in WinDbg where a private PDB has the variables; /t adds types, /V addresses.',
  run(own, args) {
    const options = /^(?:\/\w+\s*)*/.exec(args)?.[0] ?? '';
    const matches = compileWildcard(args.slice(options.length).trim() || '*');
    const start = currentRegisters(own);
    if (start === null) throw new CommandError(`Unable to get the stack of processor ${own.processor}`);
    const shown = shownFrames(own, walk(own, start, own.frame + 1))[own.frame];
    if (shown === undefined) throw new CommandError(`Cannot find frame 0x${own.frame.toString(16)}`);
    const { module } = nameIn(own, shown.frame.pc);
    const session = module === null ? own : withTypesOf(own, `${module.name}!x`);
    const variables = localVariables(session, shown.frame).filter((v) => matches(v.name));
    if (variables.length === 0) {
      throw new CommandError(
        module?.debugInfo?.locals === undefined
          ? 'Unable to enumerate locals: the module has no private symbols here'
          : 'Unable to enumerate locals: there are none at this place',
      );
    }
    const rows = variables.map((v) => ({
      name: v.name,
      type: variableType(session, v),
      isParameter: v.isParameter,
      address: v.address,
      value: variableText(session, v),
    }));
    const lines = rows.map((row, i) => {
      const place = /V/.test(options)
        ? `${variables[i]?.address == null ? (variables[i]?.where ?? '') : `0x${variables[i]?.address?.toString(16)}`} `
        : '';
      const type = /t/.test(options) ? `${row.type} ` : '';
      return type === ''
        ? `${place}${row.name.padStart(NAME_WIDTH)} = ${row.value}`
        : `${place}${type}${row.name} = ${row.value}`;
    });
    return result(rows, lines);
  },
});
