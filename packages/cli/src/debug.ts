import type { Subcommand } from './subcommand.ts';
import { collect, declareSymbolOptions, symbolOptions } from './subcommand.ts';

export const debugCommand: Subcommand = {
  name: 'debug',
  summary: "answer WinDbg's commands; without -c or --script a prompt",
  declare(command) {
    command
      .argument('<dump>', 'a Windows kernel crash dump')
      .option('-c, --command <commands>', 'run these commands, separated by ";" (may be repeated)', collect, [])
      .option('--script <file>', 'run the commands of a file, a line each')
      .option('--json', 'one object a command: {command, rows, text, error}');
    declareSymbolOptions(command);
  },
  async run(args, options, io) {
    const { runDebug } = await import('./debug/run-debug.ts');
    return runDebug(
      {
        path: args[0] as string,
        commands: options['command'] as readonly string[],
        script: (options['script'] as string | undefined) ?? null,
        json: options['json'] === true,
        ...symbolOptions(options),
      },
      io,
    );
  },
};
