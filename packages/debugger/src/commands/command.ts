import type { Registers, Target } from '../target/model.ts';

/** State of one debugging session: what `~Ns`, `.trap`, `.thread` and `.asm` change. */
export interface Session {
  readonly target: Target;
  /** Current processor; the prompt's number. */
  processor: number;
  /** Context set by `.trap`, `.cxr`, `.thread`; null for the processor's own. */
  context: Registers | null;
  contextCommand: string | null;
  /** Default radix of the MASM evaluator. */
  radix: number;
  readonly asmOptions: Set<string>;
  /** User pseudo-registers $t0..$t19 and the automatic ones ($p, $exp). */
  readonly pseudo: Map<string, bigint>;
  /** Where a repeated `dd`, `u` goes on. */
  readonly continuations: Map<string, bigint>;
}

/** A user mistake: the text is WinDbg's where it is known. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** Rows are typed data for `--json`; addresses in them are bigint and become "0x…" strings at the edge. */
export interface CommandResult<Row = unknown> {
  readonly rows: readonly Row[];
  readonly text: string;
}

export interface Command {
  /** `!thread`, `k`, `.trap`; every spelling that runs it. */
  readonly names: readonly string[];
  readonly summary: string;
  readonly usage: string;
  /** How faithful the output is to WinDbg's, for docs/commands.md. */
  readonly fidelity: string;
  run(session: Session, args: string, name: string): CommandResult;
}

/** Identity function that checks the shape: one command a file, collected by commands/index.ts. */
export function defineCommand(command: Command): Command {
  return command;
}
