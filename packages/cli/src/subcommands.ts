import { debugCommand } from './debug.ts';
import { diagnoseCommand } from './diagnose.ts';
import { diffCommand } from './diff.ts';
import { forgeCommand } from './forge.ts';
import { infoCommand } from './info.ts';
import { pdbCommand } from './pdb.ts';
import type { Subcommand } from './subcommand.ts';
import { symbolsCommand } from './symbols.ts';

/** Every subcommand, one a file; `diagnose` is also what `dumpscope FILE` means. */
export const subcommands: readonly Subcommand[] = [
  diagnoseCommand,
  diffCommand,
  debugCommand,
  infoCommand,
  symbolsCommand,
  pdbCommand,
  forgeCommand,
];

export const DEFAULT_SUBCOMMAND = 'diagnose';
