import type { Subcommand } from './subcommand.ts';

export const forgeCommand: Subcommand = {
  name: 'forge',
  summary: 'write a dump from a scenario: training dumps, fixtures (docs/forge.md)',
  declare(command) {
    command
      .argument('[scenario]', 'a shipped scenario by name, or a scenario file (.json)')
      .option('-o, --output <file>', 'the dump to write')
      .option('--symbols <dir>', 'write images and PDBs of the modules here, for -y')
      .option('--kind <kind>', 'container instead of the one of the scenario: full, bitmap-kernel, triage, …')
      .option('--memory <size>', 'physical memory of the machine, such as 64MiB or 64GiB')
      .option('--list', 'list the shipped scenarios');
  },
  async run(args, options, io) {
    const { runForge } = await import('./forge/run-forge.ts');
    const text = (name: string): string | null => (options[name] as string | undefined) ?? null;
    return runForge(
      {
        scenario: args[0] ?? null,
        output: text('output'),
        symbols: text('symbols'),
        kind: text('kind'),
        memory: text('memory'),
        list: options['list'] === true,
      },
      io,
    );
  },
};
