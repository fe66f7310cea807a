import { debugCommand } from './debug.ts';
import { infoCommand } from './info.ts';
import { pdbCommand } from './pdb.ts';
import type { Subcommand } from './subcommand.ts';
import { symbolsCommand } from './symbols.ts';

/** Every subcommand, one a file; `diagnose` is also what `dumpscope FILE` means. */
export const subcommands: readonly Subcommand[] = [debugCommand, infoCommand, symbolsCommand, pdbCommand];

export const DEFAULT_SUBCOMMAND = 'diagnose';
