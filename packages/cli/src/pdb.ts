import { Option } from 'commander';
import type { Subcommand } from './subcommand.ts';

export const pdbCommand: Subcommand = {
  name: 'pdb',
  summary: 'what our reader reads in a PDB',
  declare(command) {
    command
      .argument('<file>', 'a PDB, plain or in a cabinet (.pd_)')
      .addOption(new Option('--publics', 'public symbols'))
      .addOption(new Option('--types [name]', 'types, or one of them'))
      .addOption(new Option('--fpo', 'frame records: FPO and FrameData'))
      .addOption(new Option('--lines', 'source lines'))
      .addOption(new Option('--streams', 'streams of the container'))
      .option('--json', 'as one JSON object');
  },
  async run(args, options, io) {
    const { runPdb } = await import('./pdb/run-pdb.ts');
    const types = options['types'];
    return runPdb(
      {
        path: args[0] as string,
        json: options['json'] === true,
        publics: options['publics'] === true,
        types: types !== undefined,
        typeName: typeof types === 'string' ? types : null,
        fpo: options['fpo'] === true,
        lines: options['lines'] === true,
        streams: options['streams'] === true,
      },
      io,
    );
  },
};
