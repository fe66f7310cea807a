import type { Command } from 'commander';
import type { Io } from './io.ts';

/**
 * One subcommand, one file. The file declares arguments and options at once and loads its work when it runs, so that a
 * command does not pay for the code of the others.
 */
export interface Subcommand {
  readonly name: string;
  readonly summary: string;
  /** Adds arguments and options to the commander command of this name. */
  readonly declare: (command: Command) => void;
  /** Positional arguments and options as commander gives them; returns the exit status. */
  readonly run: (args: readonly string[], options: Readonly<Record<string, unknown>>, io: Io) => Promise<number>;
}

/** Commander collector for an option that may stand several times (`-y a -y b`). */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** `-y`, `-i` and `--offline`, which every command that opens a dump has. */
export function declareSymbolOptions(command: Command): void {
  command
    .option('-y, --symbols <path>', 'symbol path: folders, stores, srv*cache*url (may be repeated)', collect, [])
    .option('-i, --images <path>', 'further places for image files, in the same syntax (may be repeated)', collect, [])
    .option('--offline', 'ask no symbol server');
}

export interface SymbolOptions {
  readonly symbolPaths: readonly string[];
  readonly imagePaths: readonly string[];
  readonly offline: boolean;
}

/** The values of {@link declareSymbolOptions}. */
export function symbolOptions(options: Readonly<Record<string, unknown>>): SymbolOptions {
  return {
    symbolPaths: options['symbols'] as readonly string[],
    imagePaths: options['images'] as readonly string[],
    offline: options['offline'] === true,
  };
}
