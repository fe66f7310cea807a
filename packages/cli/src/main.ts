import { Command, CommanderError } from 'commander';
import { EXIT, InputError, type Io, oneLine, UsageError } from './io.ts';
import { DEFAULT_SUBCOMMAND, subcommands } from './subcommands.ts';
import { version } from './version.ts';

/** `dumpscope FILE …` is `dumpscope diagnose FILE …`. */
function withSubcommand(argv: readonly string[]): readonly string[] {
  const first = argv[0];
  if (first === undefined || ['-h', '--help', '-V', '--version', 'help'].includes(first)) return argv;
  if (subcommands.some((s) => s.name === first)) return argv;
  return [DEFAULT_SUBCOMMAND, ...argv];
}

function programOf(io: Io, done: (status: number) => void): Command {
  const program = new Command('dumpscope')
    .description('Windows kernel crash-dump debugger and diagnostician')
    .usage('<dump> | <command> [options]')
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      outputError: (text, write) => write(`dumpscope: ${oneLine(text.replace(/^error: /, ''))}\n`),
    });
  for (const subcommand of subcommands) {
    const command = program.command(subcommand.name).description(subcommand.summary).exitOverride();
    command.configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      outputError: (text, write) => write(`dumpscope: ${oneLine(text.replace(/^error: /, ''))}\n`),
    });
    subcommand.declare(command);
    command.action(async () => {
      done(await subcommand.run(command.args, command.opts(), io));
    });
  }
  return program;
}

/** Runs one command line (without node and script) and returns the exit status. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  let status: number = EXIT.done;
  const program = programOf(io, (result) => {
    status = result;
  });
  if (argv.length === 0) {
    io.err(program.helpInformation());
    return EXIT.usage;
  }
  try {
    await program.parseAsync([...withSubcommand(argv)], { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (error instanceof UsageError || error instanceof InputError) {
      io.err(`dumpscope: ${oneLine(error.message)}\n`);
      return error instanceof UsageError ? EXIT.usage : EXIT.notADump;
    }
    throw error;
  }
}
