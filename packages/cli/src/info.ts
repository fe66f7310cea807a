import type { Subcommand } from './subcommand.ts';

export const infoCommand: Subcommand = {
  name: 'info',
  summary: 'header, kind, completeness, processors, bugcheck',
  declare(command) {
    command.argument('<dump>', 'a Windows kernel crash dump').option('--json', 'as one JSON object');
  },
  async run(args, options, io) {
    const { runInfo } = await import('./info/run-info.ts');
    return runInfo(args[0] as string, options['json'] === true, io);
  },
};
