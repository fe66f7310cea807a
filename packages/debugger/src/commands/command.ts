import type { Va } from '@dumpscope/core';
import type { Registers, Target } from '../target/model.ts';

/** State of one debugging session: what `~Ns`, `.trap`, `.thread` and `.asm` change. */
export interface Session {
  readonly target: Target;
  /** Current processor; the prompt's number. */
  processor: number;
  /** Context set by `.trap`, `.cxr`, `.thread`; null for the processor's own. */
  context: Registers | null;
  contextCommand: string | null;
  /** Thread set by `.thread`, process set by `.process`; null for the processor's own. */
  thread: Va | null;
  process: Va | null;
  /** Local scope of `.frame`: index into the current stack. */
  frame: number;
  /** Default radix of the MASM evaluator. */
  radix: number;
  /** What `.effmach` chose: the 32-bit half of WOW64 threads; null for the dump's own machine. */
  machine: 'x86' | null;
  /** What `?` uses, `.expr` changes it. */
  evaluator: 'masm' | 'c++';
  readonly asmOptions: Set<string>;
  /** Whether source lines are shown; `.lines` changes it. */
  lines: boolean;
  /** User pseudo-registers $t0..$t19 and the automatic ones ($p, $exp). */
  readonly pseudo: Map<string, bigint>;
  /** Where a repeated `dd`, `u` goes on. */
  readonly continuations: Map<string, bigint>;
  /** The last d* command, which `d` repeats; the last `dt` type, which `.` names. */
  lastDisplay: string;
  lastType: string | null;
  /** Set by `q`: the front ends the session. */
  quit: boolean;
  /** Text of the symbol path the session was opened with. */
  readonly symbolPath: string;
  /** Text of the image path (`-i`); images are looked for there first, then along the symbol path. */
  readonly imagePath: string;
  /** Modules that `.reload /i` named: a PDB of another build may stand in for theirs. `*` for all. */
  mismatched: Set<string>;
  /** The verdict for `!analyze`; null where no diagnosis is at hand. */
  readonly analyze: AnalyzeProvider | null;
}

/** What a diagnosis tells `!analyze -v`. */
export interface AnalyzeVerdict {
  /** The module and place blamed: MODULE_NAME, IMAGE_NAME, SYMBOL_NAME; null when nobody is. */
  readonly blame: {
    readonly module: string;
    readonly image: string | null;
    /** `MyDriver!RcvData+98` or `MyDriver+98`. */
    readonly symbol: string | null;
  } | null;
  /** FAILURE_BUCKET_ID; null where none can be told. */
  readonly bucket: string | null;
  /** The verdict itself, lines ready to print. */
  readonly text: string;
  /** Findings as data for `--json`. */
  readonly rows: readonly unknown[];
}

/** Filled by the front, because the diagnosis lies in a layer above this one. */
export type AnalyzeProvider = () => AnalyzeVerdict;

/**
 * A user mistake: the text is WinDbg's where it is known. With `at` (an offset in the arguments) the front shows WinDbg's
 * caret line, `      ^ Extra character error in 'k foo'`; `partial` is output that came before the mistake.
 */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly at: number | null;
  readonly partial: CommandResult | null;

  constructor(message: string, options: { readonly at?: number; readonly partial?: CommandResult } = {}) {
    super(message);
    this.at = options.at ?? null;
    this.partial = options.partial ?? null;
  }
}

/** Rows are typed data for `--json`; addresses in them are bigint and become "0x…" strings at the edge. */
export interface CommandResult<Row = unknown> {
  readonly rows: readonly Row[];
  readonly text: string;
}

export interface Command {
  /** `!thread`, `k`, `.trap`; every spelling that runs it. */
  readonly names: readonly string[];
  /** More spellings than can be listed: `kvnL`. */
  readonly pattern?: RegExp;
  readonly summary: string;
  readonly usage: string;
  /** How faithful the output is to WinDbg's, for docs/commands.md. */
  readonly fidelity: string;
  /** Runs in the effective machine: `.effmach x86` gives it the 32-bit half of the current thread. */
  readonly effective?: boolean;
  /** Enter on an empty line goes on where the command stopped: it is run again without arguments. */
  readonly continues?: boolean;
  run(session: Session, args: string, name: string): CommandResult;
}

/** Identity function that checks the shape: one command a file, collected by commands/index.ts. */
export function defineCommand(command: Command): Command {
  return command;
}
