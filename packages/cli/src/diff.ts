import type { Subcommand } from './subcommand.ts';
import { declareSymbolOptions, symbolOptions } from './subcommand.ts';

export const diffCommand: Subcommand = {
  name: 'diff',
  summary: 'two dumps of one boot: what moved and what did not',
  declare(command) {
    command
      .argument('<first>', 'a Windows kernel crash dump')
      .argument('<second>', 'another dump of the same boot')
      .option('--json', 'the comparison as JSON');
    declareSymbolOptions(command);
  },
  async run(args, options, io) {
    const { runDiff } = await import('./diff/run-diff.ts');
    return runDiff(
      {
        paths: [args[0] as string, args[1] as string],
        json: options['json'] === true,
        ...symbolOptions(options),
      },
      io,
    );
  },
};
