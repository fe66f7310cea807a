import { evaluateExpression } from '../../expressions/evaluate.ts';
import { targetAddress } from '../../expressions/scope.ts';
import type { Thread } from '../../target/model.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { sessionScope } from '../session/scope.ts';
import { currentThread } from '../session/session.ts';
import { processSummary } from './process-block.ts';
import { type ThreadRow, threadBlock } from './thread-block.ts';

const DEFAULT_FLAGS = 6;

export interface ExtensionArgs {
  readonly options: ReadonlySet<string>;
  readonly values: readonly bigint[];
  readonly words: readonly string[];
}

/** Splits `-p -t 1234 6 name`: options, then expressions until a word that is none. */
export function extensionArgs(session: Session, args: string, maxValues: number): ExtensionArgs {
  const options = new Set<string>();
  let text = args;
  for (let m = /^[-/]([A-Za-z]+)(?=\s|$)\s*/.exec(text); m !== null; m = /^[-/]([A-Za-z]+)(?=\s|$)\s*/.exec(text)) {
    options.add((m[1] as string).toLowerCase());
    text = text.slice(m[0].length);
  }
  const scope = sessionScope(session);
  const values: bigint[] = [];
  while (text !== '' && values.length < maxValues) {
    // Extension arguments are one expression a word: `0 -1` is two values.
    const word = /^(?:"[^"]*"|\([^)]*\)|\S)+/.exec(text)?.[0] ?? text;
    values.push(evaluateExpression(word, scope).value);
    text = text.slice(word.length).trimStart();
  }
  return { options, values, words: text === '' ? [] : text.split(/\s+/) };
}

/** The thread that an argument names: an ETHREAD, or with `-t` a thread id. */
export function threadArgument(session: Session, value: bigint | undefined, byId: boolean): Thread {
  const { target } = session;
  if (value === undefined || value === 0xffff_ffff_ffff_ffffn) {
    const current = currentThread(session);
    if (current === null) {
      throw new CommandError(
        `Unable to get the current thread of processor ${session.processor}: ${target.processorNote ?? 'its PRCB is not in the dump'}`,
      );
    }
    return requireThread(session, current);
  }
  if (byId) {
    const found = target.threads().find((t) => t.cid !== null && BigInt(t.cid.thread) === value);
    if (found === undefined) throw new CommandError(`No thread with id ${value.toString(16)} was found`);
    return found;
  }
  return requireThread(session, targetAddress(value, target.pointerSize));
}

function requireThread(session: Session, address: bigint): Thread {
  const thread = session.target.thread(address);
  if (thread === null || (thread.state === null && thread.cid === null && thread.initialStack === null)) {
    throw new CommandError(`*** Error in in reading nt!_ETHREAD @ ${plainAddress(address, session.target)}`);
  }
  return thread;
}

function run(session: Session, args: string): CommandResult<ThreadRow> {
  const { options, values } = extensionArgs(session, args, 2);
  const byId = options.has('t');
  const lines: string[] = [];
  if (byId && values[0] !== undefined) lines.push(`Looking for thread Cid = ${values[0].toString(16)} ...`);
  const thread = threadArgument(session, values[0], byId);
  const flags = values[1] === undefined ? DEFAULT_FLAGS : Number(values[1] & 0xffffn);
  if (options.has('p')) {
    const owner = thread.owningProcess ?? thread.process;
    if (owner !== null) lines.push(...processSummary(session, owner).lines, '');
  }
  const block = threadBlock(session, thread, flags);
  return result([block.row], [...lines, ...block.lines]);
}

export const threadCommand: Command = defineCommand({
  names: ['!thread'],
  summary: 'show a thread, its waits, times and stack',
  usage: '!thread [-p] [-t] [address | id [flags]]',
  fidelity:
    'Block as in WinDbg, the priority line by kernel version. Values that cannot be read print as question marks. The text of the ALPC message line is unconfirmed.',
  run,
});
