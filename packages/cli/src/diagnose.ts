import type { Subcommand } from './subcommand.ts';
import { declareSymbolOptions, symbolOptions } from './subcommand.ts';

export const diagnoseCommand: Subcommand = {
  name: 'diagnose',
  summary: 'what is stuck, why it cannot continue, who is responsible (also `dumpscope <dump>`)',
  declare(command) {
    command
      .argument('<dump>', 'a Windows kernel crash dump')
      .option('--json', 'the report as JSON (docs/report-schema.json)')
      .option('--html <file>', 'the report as one HTML file with pictures; `-` for standard output')
      .option('--fail-on <confidence>', 'exit 1 when a finding is at least this sure: proven, strong, likely, possible')
      .option('--explain <id>', 'how one finding or evidence item was derived (`spin1`, `spin1.3`)')
      .option('--redact', 'leave out names of processes, files and users, and all memory bytes');
    declareSymbolOptions(command);
  },
  async run(args, options, io) {
    const { runDiagnose } = await import('./diagnose/run-diagnose.ts');
    const text = (name: string): string | null => (options[name] as string | undefined) ?? null;
    return runDiagnose(
      {
        path: args[0] as string,
        json: options['json'] === true,
        html: text('html'),
        failOn: text('failOn'),
        explain: text('explain'),
        redact: options['redact'] === true,
        ...symbolOptions(options),
      },
      io,
    );
  },
};
