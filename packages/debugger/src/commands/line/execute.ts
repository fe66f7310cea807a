import { type Command, CommandError, type CommandResult, type Session } from '../command.ts';
import { effectiveSession } from '../session/effective-machine.ts';
import { processorOf, promptOf, resetContext } from '../session/session.ts';
import { type CommandRegistry, parseCommand } from './registry.ts';
import { splitLine } from './split.ts';

/** One command as it ran. `error` is null when it succeeded; text and rows may be there beside an error. */
export interface ExecutedCommand {
  /** Text as typed. */
  readonly command: string;
  /** Prompt in front of it: the processor may have changed since the line began. */
  readonly prompt: string;
  readonly rows: readonly unknown[];
  readonly text: string;
  readonly error: string | null;
  /** True for a defect of ours: no user mistake and no missing memory leads there. */
  readonly internal: boolean;
}

const EMPTY: CommandResult = { rows: [], text: '' };

/**
 * Runs a line: commands separated by `;`, each on its own. Unlike WinDbg, an error does not drop the rest of the line.
 * `repeat` is Enter on an empty line: commands that continue run without their arguments.
 */
export function* executeLine(
  registry: CommandRegistry,
  session: Session,
  line: string,
  repeat = false,
): Generator<ExecutedCommand> {
  for (const segment of splitLine(line)) {
    if (session.quit) return;
    yield runSegment(registry, session, segment.text, repeat);
  }
}

function runSegment(registry: CommandRegistry, session: Session, text: string, repeat: boolean): ExecutedCommand {
  const prompt = promptOf(session);
  const done = (result: CommandResult, error: string | null, internal = false): ExecutedCommand => ({
    command: text,
    prompt,
    rows: result.rows,
    text: result.text,
    error,
    internal,
  });
  let argsAt = 0;
  try {
    if (text.startsWith('*') || text.startsWith('$$')) return done(EMPTY, null);
    const prefix = /^(?:~\s*(\d+)\s*|(\d+)\s*(?=[A-Za-z!.?]))/.exec(text);
    if (prefix === null) {
      const parsed = parseCommand(registry, text);
      if (parsed === undefined) throw unknownCommand(text);
      argsAt = parsed.argsAt;
      const args = repeat && parsed.command.continues === true ? '' : parsed.args;
      return done(run(parsed.command, session, args, parsed.name), null);
    }
    const number = Number(prefix[1] ?? prefix[2]);
    const rest = text.slice(prefix[0].length);
    requireProcessor(session, number);
    if (prefix[1] !== undefined && /^s?$/.test(rest.trim())) {
      session.processor = number;
      session.thread = null;
      resetContext(session);
      return done(EMPTY, null);
    }
    const parsed = parseCommand(registry, rest);
    if (parsed === undefined) throw unknownCommand(rest);
    argsAt = prefix[0].length + parsed.argsAt;
    return done(
      onProcessor(session, number, () => run(parsed.command, session, parsed.args, parsed.name)),
      null,
    );
  } catch (error) {
    if (!(error instanceof CommandError)) {
      const what = error instanceof Error ? error.message : String(error);
      return done(EMPTY, `Internal error in '${text}': ${what}`, true);
    }
    const message = error.at === null ? error.message : caretLine(prompt, text, argsAt + error.at, error.message);
    return done(error.partial ?? EMPTY, message);
  }
}

function run(command: Command, session: Session, args: string, name: string): CommandResult {
  return command.run(command.effective === true ? effectiveSession(session) : session, args, name);
}

/** `      ^ Extra character error in 'k foo'`: the caret stands under the word as it was typed behind the prompt. */
function caretLine(prompt: string, text: string, offset: number, message: string): string {
  const blanks = /^\s*/.exec(text.slice(offset))?.[0].length ?? 0;
  return `${' '.repeat(prompt.length + offset + blanks)}^ ${message} in '${text}'`;
}

function unknownCommand(text: string): CommandError {
  if (text.startsWith('!')) {
    const name = /^!(?:[A-Za-z0-9_]+\.)*([A-Za-z0-9_]*)/.exec(text)?.[1] ?? '';
    return new CommandError(`No export ${name} found`);
  }
  return new CommandError('Syntax error', { at: 0 });
}

function requireProcessor(session: Session, number: number): void {
  if (processorOf(session, number) !== null) return;
  const { target } = session;
  if (target.processors.length === 0 && number === target.currentProcessor) return;
  const note = target.processorNote === null ? '' : ` (${target.processorNote})`;
  throw new CommandError(`${number} is not a valid processor number${note}`);
}

/** Runs with another processor as the current one, as `2k` and `~2 r` do. */
function onProcessor(session: Session, number: number, run: () => CommandResult): CommandResult {
  const { processor, context, contextCommand, thread } = session;
  session.processor = number;
  if (number !== processor) {
    session.context = null;
    session.contextCommand = null;
    session.thread = null;
  }
  try {
    return run();
  } finally {
    session.processor = processor;
    session.context = context;
    session.contextCommand = contextCommand;
    session.thread = thread;
  }
}
