import { declareSymbolOptions, type Subcommand, symbolOptions } from './subcommand.ts';

export const symbolsCommand: Subcommand = {
  name: 'symbols',
  summary: 'which PDBs and images the dump wants, which were found where',
  declare(command) {
    command
      .argument('<dump>', 'a Windows kernel crash dump')
      .option('--json', 'as one JSON object')
      .option('--all', 'ask symbol servers for every file, not only for those of the stacks')
      .option('--import <folder>', 'file the PDBs, images and ISF files of a folder into the symbol cache first');
    declareSymbolOptions(command);
  },
  async run(args, options, io) {
    const { runSymbols } = await import('./symbols/run-symbols.ts');
    return runSymbols(
      {
        path: args[0] as string,
        json: options['json'] === true,
        all: options['all'] === true,
        importFolder: (options['import'] as string | undefined) ?? null,
        ...symbolOptions(options),
      },
      io,
    );
  },
};
